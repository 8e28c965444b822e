"""A Python that has TensorFlow imported already, and forks to run a stage: `python -m commands.sweep.warm FOLDER`.

Of the seconds that a short trial takes most are two imports of TensorFlow, the same each time. So a node's clone keeps
one process that did them, and `python -m stages.NAME` in a trial becomes a fork of it: what then runs is the stage, as
DVC asked for it, and gives the same bytes. FOLDER/python is what the trials find first on their PATH; where this
process does not answer, that is Python itself.
"""

import contextlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from digits.foundation.processor import PARAMETERS, Instructions, chosen_instructions

SOCKET, CLIENT = "socket", "python"
MOST_BYTES = 2**20  # of what a trial sends along, its environment for the most part

# Hands its files, arguments and environment over, and ends as the stage does.
SHIM = """#!{python} -IS
import json, os, socket, sys
PYTHON = {python!r}
try:
    if sys.argv[1:2] != ["-m"] or not sys.argv[2:3] or not sys.argv[2].startswith("stages."):
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
    """Import what the stages need, then run them one after the other, until whoever started this ends."""
    if not hasattr(os, "pidfd_open"):
        return  # not Linux: Python itself will do
    starter = os.pidfd_open(os.getppid())  # which Ray may kill without a word to this process
    folder = Path(sys.argv[1])
    import pandas  # noqa: F401
    import sklearn.metrics  # noqa: F401

    import digits.network.epoch  # noqa: F401

    imported_for = chosen_instructions(PARAMETERS)
    path = folder / SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        shim = folder / f"{CLIENT}.partial"
        shim.write_text(SHIM.format(python=sys.executable, socket=str(path)))
        shim.chmod(0o755)
        shim.replace(folder / CLIENT)
        waited_for: list[Any] = [server, starter]
        while starter not in select.select(waited_for, [], [])[0]:
            client, _ = server.accept()
            with client:
                serve(client, starter, imported_for)


def serve(client: socket.socket, starter: int, imported_for: Instructions) -> None:
    """Run the stage that the client asks for, with its files, and tell it how that ended.

    The stage ends too if the client goes, or whoever started this process, of whom `starter` is a pidfd.
    """
    first, files, *_ = socket.recv_fds(client, 1, 3)
    with client.makefile("rb") as words:
        asked = first + words.readline(MOST_BYTES)
    if not asked.endswith(b"\n"):
        return
    stage = os.fork()
    if not stage:
        run_stage(files, imported_for, *json.loads(asked))
    for file in files:
        os.close(file)
    ended = os.pidfd_open(stage)
    waited_for: list[Any] = [ended, client, starter]
    readable, _, _ = select.select(waited_for, [], [])
    if ended not in readable:
        os.kill(stage, signal.SIGKILL)
    _, status = os.waitpid(stage, 0)
    os.close(ended)
    code = os.waitstatus_to_exitcode(status)
    if ended in readable:
        with contextlib.suppress(OSError):
            client.sendall(str(code if code >= 0 else 128 - code).encode())


def run_stage(
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
