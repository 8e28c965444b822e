"""Files as they were at a commit, in an experiment, or as they are."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import dvc.api
from dvc.exceptions import DvcException, PathMissingError
from dvc.scm import Git, RevError

from digits.foundation.command import Refusal

WORKSPACE = "workspace"  # DVC's own name for the files as they are


def read_file(revision: str, path: Path) -> bytes:
    """Read a file of this repository, of those in Git or in DVC's cache, as it was at a revision.

    Args:
        revision: whatever Git calls a commit, a DVC experiment's name, or `workspace`.
        path: relative to the project's folder, in which we are.

    Raises:
        Refusal: there is no such revision, or it has no such file.
    """
    if revision == WORKSPACE:
        return path.read_bytes()
    try:
        if not revision:  # for DVC, the workspace: here, most likely a variable that was never set
            raise RevError("no revision")
        here = folder_in_git()
        # DVC looks for a path in Git's root, and finds a project below it only where it is told of the root (dvc#4969)
        root = None if here == Path() else str(Path.cwd().parents[len(here.parts) - 1])
        with what_dvc_keeps():
            return dvc.api.read(str(here / path), repo=root, rev=revision, mode="rb")
    except PathMissingError as error:
        raise Refusal(f"{revision} has no {path}") from error
    except (RevError, AttributeError, ValueError) as error:  # the last two: a file or a folder, no UTF-8 or too long
        expected = f"a Git revision, an experiment of `dvc exp list --all` or {WORKSPACE}"
        raise Refusal(f"{revision!r:.60} names no commit or several, expected {expected}") from error
    except DvcException as error:
        raise Refusal(f"{path} at {revision} cannot be read: {' '.join(str(error).split())}") from error


@contextlib.contextmanager
def what_dvc_keeps() -> Iterator[None]:
    """Refuse in a sentence where DVC, in the block, cannot write down what it knows of files, below /var/tmp."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:  # for the minute that DVC waits
            raise Refusal(f"DVC: {error}, expected another dvc that is at work here to have ended") from error
        raise Refusal(f"DVC: {error}, expected a folder that can be written to: DVC_SITE_CACHE_DIR names it") from error


def folder_in_git() -> Path:
    """The project's folder, relative to the root of the Git repository: empty, unless it is a part of a larger one.

    Raises:
        SCMError: there is no Git repository.
    """
    with contextlib.closing(Git()) as scm:
        return Path.cwd().relative_to(Path(scm.root_dir).resolve())
