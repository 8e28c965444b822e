"""How a command begins, tells how far it is and ends: done, refused with one sentence, or interrupted."""

import argparse
import gc
import io
import logging
import os
import pwd
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from digits.foundation import processor

# What the numerical libraries read from the environment: it can change every result, and dvc.yaml does not name it.
LIBRARIES = (
    "BLIS_", "DNNL_", "GOMP_", "GOTO_", "KERAS_", "KMP_", "MATPLOTLIBRC", "MKL_", "MPLBACKEND", "NPY_", "NUMEXPR_",
    "OMP_", "ONEDNN_", "OPENBLAS_", "SCIPY_", "SKLEARN_", "TF_", "TFE_", "VECLIB_", "XLA_",
)  # fmt: skip
SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": os.devnull,  # where no keras.json can be
    "TF_CPP_MIN_LOG_LEVEL": "3",
}

WATCHED_S, UNWATCHED_S = 2, 30  # seconds until a bar shows, on a terminal and in a log
YOUNG = 50_000  # objects before the garbage collector looks at them, not 700: an import makes so many, and they last

_interrupted = False


class Refusal(Exception):
    """Something a person gave cannot be used; the message names it, its value and what was expected."""

    exit_code = 1


def begin() -> None:
    """Prepare the process, before the libraries are imported, which takes seconds and reads the environment.

    From here on, Ctrl-C ends it in one line, unless it is set to ignore Ctrl-C; the libraries find no settings but
    those that are made here, any name can be printed, and what is printed is read at once, in a log too.
    """
    sys.excepthook = _end
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _interrupt_again
    for name in [name for name in os.environ if name.startswith(LIBRARIES)]:
        del os.environ[name]
    os.environ |= SETTINGS | processor.settings(processor.chosen_instructions(processor.PARAMETERS))
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a user whom the machine does not know, as in a container: libraries ask for name and home
        os.environ |= {"HOME": "/", "USER": str(os.getuid())} | os.environ
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:  # as in a container in which nothing can be written; libraries would trace it
        _refuse(f"{error.strerror}, expected one that can be written to: TMPDIR names it")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where its cache cannot be kept
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no such letter gets its number, and a log each line when it is printed.
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    gc.set_threshold(YOUNG)


def run(main: Callable[[], None]) -> None:
    """Run a command's `main` and turn what people cause into one line and an exit code; a traceback means our bug.

    Exits with 1, or as the `Refusal` has it, after a refusal or a file that cannot be read or written; with 130 after
    Ctrl-C, wherever it comes; with 141 and without a word where nobody reads on, as before `head`.
    """
    try:
        _call_interruptibly(main)
        sys.stdout.flush()
    except Refusal as refusal:
        _refuse(str(refusal), refusal.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its end
        sys.exit(141)  # as a shell tells of SIGPIPE
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename:
            _refuse(f"{error.filename} is missing; `dvc repro` makes what the pipeline can make")
        _refuse(f"{error.filename or 'a file'}: {error.strerror or error}")
    finally:
        gc.freeze()  # what is left ends with the process; to look through TensorFlow for garbage takes a second


def _refuse(sentence: str, exit_code: int = Refusal.exit_code) -> None:
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(exit_code)


def progress(things: Iterable[Any] | None = None, *, total: int | None = None, unit: str) -> Any:
    """A bar on standard error of how far something is that may take long; in a log, a new one each half minute.

    Args:
        things: what is gone through, if it is to be counted as it is.
        total: how many there are to come, if they are counted by `update`.
        unit: what they are.
    """
    from tqdm import tqdm  # type: ignore[import-untyped] # most commands need none

    watched = sys.stderr.isatty()
    pace = {"delay": WATCHED_S} if watched else {"delay": UNWATCHED_S, "mininterval": UNWATCHED_S, "miniters": 0}
    told = f"{{l_bar}}{{bar}}| {{n_fmt}} of {{total_fmt}} {unit}, {{elapsed}}, {{remaining}} left"
    return tqdm(things, total=total, bar_format=told, file=sys.stderr, leave=False, **pace)


def png_path(name: str) -> Path:
    """The path that a command line names for a picture to draw.

    Raises:
        argparse.ArgumentTypeError: it does not end in .png.
    """
    path = Path(name)
    if path.suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{name}, expected a name that ends in .png")
    return path


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Take Ctrl-C down, and raise KeyboardInterrupt: a library may drop it, or make an error of its own of it."""
    global _interrupted
    _interrupted = True
    signal.default_int_handler(number, frame)


def _interrupt_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Send Ctrl-C anew where Python cannot raise it: in a `__del__`, or a callback from C, that has ended by then."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(ignored)


def _call_interruptibly(main: Callable[[], None]) -> None:
    """Call it, and raise KeyboardInterrupt if Ctrl-C came meanwhile, whatever became of it there."""
    try:
        main()
    finally:
        _interrupt_no_more()
        if _interrupted:
            raise KeyboardInterrupt


def _interrupt_no_more() -> None:
    """Let Ctrl-C kill the process while Python ends, when it can be raised no more, or pass if one ends it already."""
    if signal.getsignal(signal.SIGINT) is _interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN if _interrupted else signal.SIG_DFL)


def _end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        _interrupt_no_more()
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.__excepthook__(kind, error, traceback)
