"""A Python that has the libraries imported already, and forks to run a module.

Usage: python -m commands.sweep.warm FOLDER [MODULE ...]

Of the seconds that a short trial takes most are two imports of TensorFlow, the same each time. So a node's clone keeps
one process that did them, and `python -m stages.NAME` in a trial becomes a fork of it: what then runs is the stage, as
DVC asked for it, with the code that lies where it is asked for, and gives the same bytes. FOLDER/python is what the
trials find first on their PATH; where this process does not answer, that is Python itself. MODULE is imported, too.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from digits.foundation.processor import PARAMETERS, Instructions, chosen_instructions

SOCKET, CLIENT = "socket", "python"
OWN = frozenset(["commands", "digits", "stages"])  # imported anew, from where the module is to run
MOST_BYTES = 2**20  # of what a trial sends along, its environment for the most part

# Hands its files, arguments and environment over, and ends as the stage does.
SHIM = """#!{python} -IS
import json, os, socket, sys
PYTHON = {python!r}
try:
    if sys.argv[1:2] != ["-m"] or not sys.argv[2:]:
        raise OSError
    server = socket.socket(socket.AF_UNIX)
    server.connect({socket!r})
    asked = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode() + b"\\n"
    socket.send_fds(server, [asked[:1]], [0, 1, 2])
    server.sendall(asked[1:])
except OSError:
    os.execv(PYTHON, [PYTHON, *sys.argv[1:]])
ended = server.recv(16)
sys.exit(int(ended) if ended else 1)
"""


def main() -> None:
    """Import what the stages need, then run what is asked for, until whoever started this ends."""
    if not hasattr(os, "pidfd_open"):
        return  # not Linux: Python itself will do
    starter = os.pidfd_open(os.getppid())  # which Ray may kill without a word to this process
    folder = Path(sys.argv[1])
    for module in ("digits.network.epoch", "pandas", "sklearn.metrics", *sys.argv[2:]):
        importlib.import_module(module)
    gc.freeze()  # what a collector touches, a fork copies
    imported_for = chosen_instructions(PARAMETERS)
    path = folder / SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those end who wait for a fork
        shim = folder / f"{CLIENT}.partial"
        shim.write_text(SHIM.format(python=sys.executable, socket=str(path)))
        shim.chmod(0o755)
        shim.replace(folder / CLIENT)
        waited_for: list[Any] = [server, starter]
        while starter not in select.select(waited_for, [], [])[0]:
            client, _ = server.accept()
            with client:
                if not os.fork():
                    server.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    serve(client, starter, imported_for)
                    os._exit(0)


def serve(client: socket.socket, starter: int, imported_for: Instructions) -> None:
    """Run the module that the client asks for, with its files, and tell it how that ended.

    The module ends too if the client goes, or whoever started this process, of whom `starter` is a pidfd.
    """
    first, files, *_ = socket.recv_fds(client, 1, 3)
    with client.makefile("rb") as words:
        asked = first + words.readline(MOST_BYTES)
    if not asked.endswith(b"\n"):
        return
    running = os.fork()
    if not running:
        run_module(files, imported_for, *json.loads(asked))
    for file in files:
        os.close(file)
    ended = os.pidfd_open(running)
    waited_for: list[Any] = [ended, client, starter]
    readable, _, _ = select.select(waited_for, [], [])
    if ended not in readable:
        os.kill(running, signal.SIGKILL)
    _, status = os.waitpid(running, 0)
    os.close(ended)
    code = os.waitstatus_to_exitcode(status)
    if ended in readable:
        with contextlib.suppress(OSError):
            client.sendall(str(code if code >= 0 else 128 - code).encode())


def run_module(
    files: list[int], imported_for: Instructions, arguments: list[str], folder: str, environment: dict[str, str]
) -> None:
    """Become the process that `python -m` of these arguments would be."""
    code: object = 1
    try:
        for place, file in enumerate(files):
            os.dup2(file, place)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        if chosen_instructions(PARAMETERS) != imported_for:  # which TensorFlow has read when it was imported
            os.execv(sys.executable, [sys.executable, "-m", *arguments])
        for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
            del sys.modules[name]
        tempfile.tempdir = None  # else that of this process
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv, sys.orig_argv = arguments[:], ["python", "-m", *arguments]
        sys.path[0] = folder
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as leave:
        code = leave.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
