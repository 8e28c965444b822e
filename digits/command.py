"""How a command ends: done, refused with one sentence for the person who typed it, or interrupted."""

import sys
from collections.abc import Callable
from types import TracebackType


class Refusal(Exception):
    """Something a person gave cannot be used; the message names it, its value and what was expected."""


def run(main: Callable[[], None]) -> None:
    """Run a command's `main` and turn what people cause into one line and an exit code; a traceback means our bug.

    Exits with 1 after a `Refusal` or a file that cannot be read or written; with 130 after Ctrl-C, wherever it comes.
    """
    try:
        main()
    except Refusal as refusal:
        sys.exit(f"error: {refusal}")
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; `dvc repro` makes what the pipeline can make")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")


def _end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.__excepthook__(kind, error, traceback)


# Imported before the libraries, which take seconds: Ctrl-C ends in one line during their import too.
sys.excepthook = _end
