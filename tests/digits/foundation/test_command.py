"""Ctrl-C counts wherever it comes, also where a library would drop it; what takes long tells how far it is."""

import os
import select
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from digits.foundation.command import progress
from tests.conftest import ROOT

COMMAND = """
import atexit, ctypes, os, signal, time, weakref
from pathlib import Path
from digits.foundation.command import Refusal, begin, run

def ctrl_c(*_):
    os.kill(os.getpid(), signal.SIGINT)

class Left:
    pass

class Cleaned:
    def __del__(self):
        ctrl_c()
"""
IGNORED = {
    "a __del__": "Cleaned()",
    "a weak reference's callback": "left = Left(); noticed = weakref.ref(left, ctrl_c); del left",
    "a callback from C": "ctypes.CFUNCTYPE(None)(ctrl_c)()",
}
WORK = """
from digits.foundation.files import replacing
begin()

def main():
    with replacing(Path("result")) as partial:
        partial.write_text("whole")
        {interrupted}
        time.sleep(10)
    print("went on")

run(main)
"""
IMPORT = """
begin()
{interrupted}
time.sleep(10)
print("went on")
"""
TURNED = """
begin()

def main():
    try:
        ctrl_c()
    except BaseException:
        {instead}

run(main)
"""


def ended(script: str, folder: Path) -> tuple[int, str, str]:
    """What a process gives that runs it: exit code, output, errors."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{COMMAND}{script}"]
    process = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    return process.returncode, process.stdout, process.stderr


@pytest.mark.parametrize("interrupted", IGNORED.values(), ids=IGNORED)
def test_ctrl_c_that_python_ignores_comes_again(workspace: Path, interrupted: str):
    assert ended(WORK.format(interrupted=interrupted), workspace) == (130, "", "interrupted\n")
    assert not list(workspace.iterdir())


@pytest.mark.parametrize("interrupted", IGNORED.values(), ids=IGNORED)
def test_ctrl_c_that_python_ignores_during_an_import_comes_again(workspace: Path, interrupted: str):
    assert ended(IMPORT.format(interrupted=interrupted), workspace) == (130, "", "interrupted\n")


@pytest.mark.parametrize("instead", ["pass", "raise ValueError", "raise Refusal('no')", "raise SystemExit(0)"])
def test_ctrl_c_that_a_library_turns_into_something_else_is_no_success(workspace: Path, instead: str):
    assert ended(TURNED.format(instead=instead), workspace) == (130, "", "interrupted\n")


@pytest.mark.parametrize("lines", [1, 100_000])
def test_where_nobody_reads_on_it_ends_without_a_word(workspace: Path, lines: int):
    script = f"begin(); run(lambda: [print('a line') for _ in range({lines})])"
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{COMMAND}{script}"]
    process = subprocess.run(command, cwd=workspace, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (process.returncode, process.stderr) == (141, b"")


def test_ctrl_c_while_python_ends_is_no_success(workspace: Path):
    assert ended("begin(); atexit.register(ctrl_c); run(lambda: None)", workspace) == (-signal.SIGINT, "", "")


def test_ctrl_c_stays_ignored_where_it_is_ignored(workspace: Path):
    script = "signal.signal(signal.SIGINT, signal.SIG_IGN); begin(); run(lambda: [ctrl_c(), print('went on')])"
    assert ended(script, workspace) == (0, "went on\n", "")


def test_a_user_whom_the_machine_does_not_know_has_a_name_and_a_home():
    asks = (
        "import pwd; pwd.getpwuid = {}.__getitem__; from digits.foundation import command; command.begin();"
        "import getpass, pathlib; print(getpass.getuser(), pathlib.Path.home())"
    )
    known = {name: value for name, value in os.environ.items() if name not in ("HOME", "LOGNAME", "LNAME", "USERNAME")}
    known.pop("USER", None)
    ended = subprocess.run([sys.executable, "-c", asks], env=known, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{os.getuid()} /\n"


def test_where_nothing_can_be_written_it_is_said_in_a_sentence(tmp_path: Path):
    missing = [str(tmp_path / "missing")]
    program = (
        f"import tempfile; tempfile._candidate_tempdir_list = lambda: {missing};"
        "from digits.foundation.command import begin; begin()"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    said = f"No usable temporary directory found in {missing}, expected one that can be written to: TMPDIR names it"
    assert (ended.returncode, ended.stderr) == (1, f"error: {said}\n")


def test_what_is_printed_is_in_the_log_at_once():
    """A training tells each epoch, and one that is read through a pipe had nothing to say until it ended."""
    program = "from digits.foundation.command import begin\nbegin()\nprint('an epoch')\nopen(0).read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": ""}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert select.select([process.stdout], [], [], 60)[0], "it waits for what is typed, and has said nothing"
        assert process.stdout.readline() == "an epoch\n"
        process.communicate()


@pytest.mark.parametrize(("seconds", "told"), [(0, True), (30, False)])
def test_in_a_log_what_takes_long_tells_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, seconds: int, told: bool
):
    """Though nothing has come to its end meanwhile."""
    monkeypatch.setattr("digits.foundation.command.UNWATCHED_S", seconds)
    with progress(total=4, unit="stages") as bar:
        bar.update(0)
    assert ("0 of 4 stages" in capsys.readouterr().err) == told
