"""A Python that is warm runs a stage as a cold one would, whatever params.yaml says."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from digits.foundation import processor
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
    command = [sys.executable, "-m", "commands.sweep.warm", folder]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
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


def test_other_instructions_than_it_was_warmed_for_begin_anew(warm: Path, repository: Repository):
    """TensorFlow has read by then what it was imported for. `-m stages.train` is what only a Python begun anew has."""
    repository.replace("params.yaml", "instructions: avx2", "instructions: native")
    telling = "import sys\nprint('begun as', open('/proc/self/cmdline').read().split(chr(0))[1:3])\n"
    repository.replace("stages/train.py", "import csv\n", f"import csv\n{telling}")
    assert "begun as ['-m', 'stages.train']" in repository.run(str(warm), "-m", "stages.train")
    repository.replace("params.yaml", "instructions: native", "instructions: avx2")
    assert "begun as ['-m', 'commands.sweep.warm']" in repository.run(str(warm), "-m", "stages.train")
