"""A stage's result depends on what dvc.yaml names: not on the environment, the home folder or who watches."""

import os
import pty
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Repository

KERAS_JSON = """{"backend": "jax", "floatx": "float64", "epsilon": 0.5, "image_data_format": "channels_first"}"""
HOSTILE = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    "TF_NUM_INTRAOP_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F",
    "MPLBACKEND": "no such backend",
    "MATPLOTLIBRC": "/nonexistent",
}


@pytest.fixture
def hostile(repository: Repository, tmp_path: Path) -> Repository:
    """The finished repository under an environment and in a home that ask the libraries for other results."""
    home = tmp_path / "home"
    (home / ".keras").mkdir(parents=True)
    (home / ".keras/keras.json").write_text(KERAS_JSON)
    (home / ".config/matplotlib").mkdir(parents=True)
    (home / ".config/matplotlib/matplotlibrc").write_text("figure.figsize: 3, 3\nfont.size: 30\n")
    repository.environment |= HOSTILE | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
    return repository


def test_a_hostile_environment_and_home_change_no_byte(hostile: Repository):
    hostile.dvc("repro", "--force")
    assert hostile.run("git", "status", "--short") == ""


def on_a_terminal(repository: Repository, *command: str) -> str:
    """What the command printed to a terminal of its own."""
    terminal, there = pty.openpty()
    with subprocess.Popen(command, cwd=repository.path, env=repository.environment, stdout=there, stderr=there) as run:
        os.close(there)
        printed = bytearray()
        with suppress(OSError):  # which ends what a terminal gives, once nobody has it open
            while part := os.read(terminal, 2**16):
                printed += part
    os.close(terminal)
    assert run.returncode == 0, printed.decode()
    return printed.decode()


def test_a_terminal_that_watches_changes_no_byte(repository: Repository):
    assert "\x08" in on_a_terminal(repository, "dvc", "repro", "--force")  # a progress bar goes back to redraw itself
    assert repository.run("git", "status", "--short") == ""
