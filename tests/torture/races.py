"""Two `dvc repro` at once in one clone: neither spoils what the other writes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess, run
from time import sleep

import pytest

from tests.conftest import Repository
from tests.torture.stages import STAGES, assert_recovers, forget, state

DVC_IS_BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")


@pytest.mark.parametrize("delay", [0, 0.5, 4])
def test_two_at_once(finished: Repository, tmp_path: Path, delay: float):
    repository = finished.copy(tmp_path / "repository")
    undisturbed = state(finished)
    for stage in STAGES:
        forget(repository, stage)

    def repro(wait: float) -> CompletedProcess[str]:
        sleep(wait)
        return run(
            ["dvc", "repro", "--force"],
            cwd=repository.path, env=repository.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    with ThreadPoolExecutor() as pool:
        for ended in pool.map(repro, [0, delay]):
            printed = ended.stdout + ended.stderr
            assert "Traceback" not in printed
            assert ended.returncode == 0 or any(busy in printed for busy in DVC_IS_BUSY), printed
    assert_recovers(repository, undisturbed)
