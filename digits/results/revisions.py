"""Files as they were at a commit, in an experiment, or as they are."""

from pathlib import Path

import dvc.api
from dvc.exceptions import DvcException, PathMissingError
from dvc.scm import RevError

from digits.foundation.command import Refusal

WORKSPACE = "workspace"  # DVC's own name for the files as they are


def read_file(revision: str, path: Path) -> bytes:
    """Read a file of this repository, of those in Git or in DVC's cache, as it was at a revision.

    Args:
        revision: whatever Git calls a commit, a DVC experiment's name, or `workspace`.
        path: relative to the repository's root.

    Raises:
        Refusal: there is no such revision, or it has no such file.
    """
    if revision == WORKSPACE:
        return path.read_bytes()
    try:
        if not revision:  # for DVC, the workspace: here, most likely a variable that was never set
            raise RevError("no revision")
        return dvc.api.read(str(path), rev=revision, mode="rb")
    except PathMissingError as error:
        raise Refusal(f"{revision} has no {path}") from error
    except (RevError, AttributeError, ValueError) as error:  # the last two: a file or a folder, no UTF-8 or too long
        expected = f"a Git revision, an experiment of `dvc exp list --all` or {WORKSPACE}"
        raise Refusal(f"{revision!r:.60} names no commit or several, expected {expected}") from error
    except DvcException as error:
        raise Refusal(f"{path} at {revision} cannot be read: {' '.join(str(error).split())}") from error
