"""What goes wrong around a stage: Ctrl-C, a kill, a disk that takes no more. `make torture` does more of it."""

import io
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from digits.foundation.command import run
from digits.network import reproducibility
from stages import evaluate, fetch, page, plot, prepare, train
from tests.conftest import ONE_EPOCH, Repository


def start(repository: Repository, *command: str, warm: bool = False) -> subprocess.Popen[str]:
    """Start a command in a process group of its own, for which Ctrl-C is what it is on a terminal, unless `warm`."""
    return subprocess.Popen(
        command,
        cwd=repository.path,
        env=repository.warm_environment if warm else repository.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(holds: partial[bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert holds()


def has_loaded(process: subprocess.Popen[str], library: str) -> bool:
    return library in Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.slow
def test_ctrl_c_ends_in_a_line_while_libraries_are_imported(finished: Repository):
    process = start(finished, "python", "-m", "stages.evaluate")
    wait_until(partial(has_loaded, process, "libtensorflow"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert (process.returncode, said) == (130, "interrupted\n")


@pytest.mark.slow
def test_after_a_kill_the_next_run_is_right(repository: Repository):
    lock = (repository.path / "dvc.lock").read_text()
    (repository.path / "plots/history.csv").unlink()
    process = start(repository, "dvc", "repro", "--force", "--single-item", "train")
    wait_until(partial((repository.path / "plots/history.csv").exists))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (repository.path / "models/model.keras").exists()
    repository.dvc("repro")
    assert (repository.path / "dvc.lock").read_text() == lock
    assert repository.run("git", "status", "--short") == ""


@pytest.mark.slow
def test_a_lock_that_was_cut_off_behind_a_stage_comes_back_as_it_was(repository: Repository):
    """DVC takes it for whole and notes what it runs behind what is there: stages have to stand as they run."""
    lock = repository.path / "dvc.lock"
    whole = lock.read_text()
    lock.write_text(whole[: whole.index("  prepare:\n")])
    repository.dvc("repro")
    assert lock.read_text() == whole


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_and_ends_with_the_bytes_of_one_that_was_not(repository: Repository):
    repository.replace("digits/foundation/checkpoint.py", "LEAST_S = 10.0", "LEAST_S = 0.0")
    repository.replace("digits/foundation/checkpoint.py", "READ_A_SECOND = 200e6", "READ_A_SECOND = 1e15")
    repository.replace("params.yaml", ONE_EPOCH[0], ONE_EPOCH[0].replace("epochs: 5", "epochs: 8"))
    outputs = [repository.path / name for name in ("models/model.keras", "plots/history.csv", "metrics/train.json")]
    repository.run("python", "-m", "stages.train")
    undisturbed = [output.read_bytes() for output in outputs]
    kept = repository.path / ".dvc/tmp/train.npz"
    assert not kept.exists()

    process = start(repository, "python", "-m", "stages.train")
    wait_until(partial(kept.exists))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    printed = repository.run("python", "-m", "stages.train")
    assert "\ngoes on after epoch " in printed
    assert [output.read_bytes() for output in outputs] == undisturbed
    assert not kept.exists()


@contextmanager
def limited_files() -> Iterator[None]:
    """A limit on the size of files stands for a disk that takes no more: it takes no rights to set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with redirect_stdout(io.StringIO()):  # pytest's own is a file
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "stage",
    [fetch, prepare, evaluate, plot, *[pytest.param(stage, marks=pytest.mark.slow) for stage in (train, page)]],
    ids=lambda stage: stage.__name__,
)
def test_a_file_that_cannot_be_written_is_named(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, stage: ModuleType
):
    monkeypatch.chdir(repository.path)
    monkeypatch.setattr(reproducibility, "compute_reproducibly", lambda *_: None)  # once a process, and tests share one
    with redirect_stderr(io.StringIO()) as said, pytest.raises(SystemExit, match="1"), limited_files():
        run(stage.main)
    assert said.getvalue().count("\n") == 1
    assert said.getvalue().startswith("error: ")
    assert said.getvalue().endswith(" cannot be written: File too large\n")
    assert not list(repository.path.rglob("*.partial*"))


@pytest.mark.slow
def test_a_process_that_cannot_write_a_file_ends_with_one_line(repository: Repository):
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (64, 64))
    ended = subprocess.run(
        ["python", "-m", "stages.prepare"],
        cwd=repository.path, env=repository.environment, capture_output=True, text=True, check=False, preexec_fn=limit,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.endswith(" cannot be written: File too large\n")
