"""How a command ends: done, refused with one sentence for the person who typed it, or interrupted."""

import sys
from collections.abc import Callable


class Refusal(Exception):
    """Something a person gave cannot be used; the message names it, its value and what was expected."""


def run(main: Callable[[], None]) -> None:
    """Run a command's `main` and turn what people cause into one line and an exit code; a traceback means our bug.

    Exits with 1 after a `Refusal` or a file that cannot be read or written, with 130 after Ctrl-C.
    """
    try:
        main()
    except Refusal as refusal:
        sys.exit(f"error: {refusal}")
    except FileNotFoundError as error:
        sys.exit(f"error: {error.filename} is missing; `dvc repro` makes what the pipeline can make")
    except OSError as error:
        sys.exit(f"error: {error.filename or 'a file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
