import sys
from pathlib import Path

import pytest

from tests.conftest import Repository


@pytest.fixture
def newcomer(fresh: Repository, tmp_path: Path) -> Repository:
    """A fresh clone with an environment, on a machine without network and Git identity."""
    repository = fresh.copy(tmp_path / "repository")
    (repository.path / ".venv").symlink_to(sys.prefix)
    for name in [name for name in repository.environment if name.startswith("GIT_")]:
        del repository.environment[name]
    repository.environment |= {"HTTPS_PROXY": "http://127.0.0.1:9", "GIT_CONFIG_NOSYSTEM": "1"}
    return repository


def test_make_alone_lists_what_can_be_made(newcomer: Repository):
    listed = newcomer.run("make")
    for target in ("repro", "test", "lint"):
        assert f"make {target} " in listed


def test_without_a_source_of_mnist_make_repro_runs_on_the_embedded_digits_and_says_so(newcomer: Repository):
    printed = newcomer.run("make", "--old-file", ".venv/installed", "repro")
    assert "*** MNIST could not be fetched: running on the digits that come with scikit-learn instead. ***" in printed
    assert "git checkout params.yaml && make repro" in printed
    assert newcomer.run("git", "diff", "--numstat", "params.yaml").split() == ["1", "1", "params.yaml"]
    assert "+  dataset: digits" in newcomer.run("git", "diff", "params.yaml")
    assert "up to date" in newcomer.dvc("status")
    again = newcomer.run("make", "--old-file", ".venv/installed", "repro")
    assert "up to date" in again


def test_another_failure_than_a_missing_source_is_no_success(newcomer: Repository):
    newcomer.replace("params.yaml", "seed: 1 ", "seed: one ")
    assert "seed is 'one'" in newcomer.run("make", "--old-file", ".venv/installed", "repro", fails=True)
