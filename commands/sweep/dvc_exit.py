"""A command of DVC's whose exit code tells what failed: `python -m commands.sweep.dvc_exit exp run ...`.

DVC's own exit code is 255 for a stage that failed as for a remote that is away. Here the exception tells the two apart.
What failed is the last line that is printed.
"""

import sys
from collections.abc import Iterator

from dvc.cli import parse_args
from dvc.dependency.base import DependencyDoesNotExistError
from dvc.exceptions import InvalidArgumentError
from dvc.parsing import ResolveError
from dvc.stage.exceptions import StageCmdFailedError

REFUSED = 3  # the setting cannot be run, here or elsewhere
MISSING = 4  # a file is not there; any other code but 0: this node is in trouble
CODES: dict[int, tuple[type[BaseException], ...]] = {
    REFUSED: (StageCmdFailedError, InvalidArgumentError, ResolveError),
    MISSING: (FileNotFoundError, DependencyDoesNotExistError),
}


def main() -> None:
    """Do what DVC's command line does, but for what it makes of an exception."""
    arguments = parse_args(sys.argv[1:])
    try:
        sys.exit(arguments.func(arguments).do_run())
    except Exception as error:
        causes = list(_causes(error))
        print(": ".join(" ".join(str(cause).split()) or type(cause).__name__ for cause in causes), flush=True)
        sys.exit(next((code for code, kinds in CODES.items() for cause in causes if isinstance(cause, kinds)), 1))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__


if __name__ == "__main__":
    main()
