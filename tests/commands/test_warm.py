"""A Python that is warm runs a stage as a cold one would, whatever params.yaml says."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from digits import processor
from tests.conftest import ROOT, Repository

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs pidfd_open"),
    pytest.mark.skipif(processor.shortcoming() is not None, reason=f"{processor.shortcoming()}"),
]


@pytest.fixture
def warm(tmp_path: Path) -> Iterator[Path]:
    """A `python` with TensorFlow imported for `instructions: avx2`."""
    folder = tmp_path / "warm"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-m", "commands.sweep.warm", folder], cwd=ROOT) as process:
        deadline = time.monotonic() + 120
        while not (folder / "python").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield folder / "python"
        process.kill()


def test_it_gives_the_bytes_of_a_cold_one(warm: Path, repository: Repository):
    (repository.path / "models/model.keras").unlink()
    printed = repository.run(str(warm), "-m", "stages.train")
    assert "instructions: native" not in printed
    assert repository.run("git", "status", "--short") == ""
    assert repository.dvc("status") == "Data and pipelines are up to date.\n"


def test_other_instructions_than_it_was_warmed_for_are_followed(warm: Path, repository: Repository):
    repository.replace("params.yaml", "instructions: avx2", "instructions: native")
    printed = repository.run(str(warm), "-m", "stages.train")
    assert "instructions: native: the weights will be right" in printed
