"""SIGKILL at 50 random moments of a `dvc repro`, and Ctrl-C in every stage: the next run is right."""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.conftest import Repository
from tests.test_faults import start
from tests.torture.stages import STAGES, assert_recovers, forget, state

KILLS = 50
INTERRUPTIONS = 12
SECONDS = {
    "fetch": 3.0,
    "gather": 1.0,
    "prepare": 4.0,
    "train": 9.0,
    "evaluate": 7.0,
    "plot": 6.0,
    "page": 4.0,
}  # about, under DVC


@pytest.fixture(scope="module")
def victim(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository to kill runs in; each test leaves it as it was."""
    return finished.copy(tmp_path_factory.mktemp("victim") / "repository")


@pytest.fixture(scope="module")
def undisturbed(finished: Repository) -> dict[str, str]:
    return state(finished)


def caught_running(victim: Repository, stage: str, moment: float, *command: str) -> subprocess.Popen[str]:
    """Start a command that runs the stage as if it never had, and give it after some seconds, before it ends."""
    while True:
        forget(victim, stage)
        process = start(victim, *command)
        time.sleep(moment)
        if process.poll() is None:
            return process
        process.communicate()
        moment /= 2


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_run(victim: Repository, undisturbed: dict[str, str], kill: int):
    stage = STAGES[kill % len(STAGES)]
    moment = random.Random(kill).uniform(0, SECONDS[stage])
    process = caught_running(victim, stage, moment, "dvc", "repro", "--force", "--single-item", stage)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert_recovers(victim, undisturbed)


@pytest.mark.parametrize("interruption", range(INTERRUPTIONS))
def test_ctrl_c(victim: Repository, undisturbed: dict[str, str], interruption: int):
    stage = STAGES[interruption % len(STAGES)]
    moment = random.Random(interruption).uniform(0.2, max(0.5, SECONDS[stage] - 1.5))
    process = caught_running(victim, stage, moment, "python", "-m", f"stages.{stage}")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    # The latter where Python, done with the stage, is about to end.
    assert (process.returncode, said) in [(130, "interrupted\n"), (-signal.SIGINT, "")], f"{stage} after {moment:.2f} s"
    assert not list(victim.path.rglob("*.partial*"))
    assert_recovers(victim, undisturbed)


def test_ctrl_c_under_dvc(victim: Repository, undisturbed: dict[str, str]):
    process = caught_running(victim, "train", 5, "dvc", "repro", "--force", "--single-item", "train")
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate()
    assert process.returncode != 0
    assert "Traceback" not in printed + said
    assert said.count("interrupted\n") == 1
    assert_recovers(victim, undisturbed)
