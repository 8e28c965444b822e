"""Sweeps on two Ray nodes, and what they survive there."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Repository
from tests.sweeps import Nodes, experiments, model, start_sweep, sweep, two_nodes, wait_for, write_sweep

pytest.importorskip("ray", reason="needs Ray: make sweep-installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need."""
    path = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def shelved(repository: Repository, folder: Path) -> Repository:
    """The finished repository with a folder for a remote, committed."""
    repository.dvc("remote", "add", "--default", "shelf", str(folder / "shelf"))
    repository.commit("Keep data and models on the shelf")
    return repository


@pytest.fixture
def nodes(shelved: Repository, folder: Path) -> Iterator[Nodes]:
    with two_nodes(folder, shelved.environment) as running:
        yield running


def test_a_trial_on_a_node_that_is_killed_runs_on_another(shelved: Repository, nodes: Nodes):
    file = write_sweep(shelved)
    process = start_sweep(shelved, file, "--address", nodes.address)
    wait_for(lambda: nodes.training_on(1) and nodes.training_on(2))
    nodes.kill(2)
    printed, said = process.communicate(timeout=200)
    assert (process.returncode, said) == (0, ""), printed + said
    assert "2 done, 0 stopped, 0 failed, 0 running of 2" in printed
    assert len(experiments(shelved)) == 2
    assert not nodes.training_on(2)


def test_a_killed_caller_finds_what_was_finished(shelved: Repository, nodes: Nodes):
    file = write_sweep(shelved, seeds=[1, 2])
    process = start_sweep(shelved, file, "--address", nodes.address)
    wait_for(lambda: experiments(shelved))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = experiments(shelved)
    wait_for(lambda: not nodes.training_on(1) and not nodes.training_on(2))
    assert "4 done" not in sweep(shelved, file, "--address", nodes.address, fails=True)
    sweep(shelved, file, "--address", nodes.address, "--resume")
    after = experiments(shelved)
    assert len(after) == 4
    assert before.items() <= after.items()


def test_a_trial_gives_the_bytes_that_the_setting_gives_alone(shelved: Repository, nodes: Nodes, tmp_path: Path):
    file = write_sweep(shelved, space={"network": ["mlp"]}, seeds=[3])
    sweep(shelved, file, "--address", nodes.address)
    (trial,) = experiments(shelved).values()
    alone = shelved.copy(tmp_path / "alone")
    alone.dvc("exp", "run", "-n", "alone", "-S", "network=mlp", "-S", "seed=3", "evaluate")
    assert model(shelved, trial) == model(alone, experiments(alone)["alone"])
    shelved.dvc("exp", "apply", trial[:7])
    assert "Running stage 'train'" not in shelved.dvc("repro", "--pull", "evaluate")


def test_a_remote_that_is_away_for_a_while_is_waited_for(shelved: Repository, nodes: Nodes, folder: Path):
    file = write_sweep(shelved)
    process = start_sweep(shelved, file, "--address", nodes.address)
    wait_for(lambda: nodes.training_on(1) and nodes.training_on(2))
    (folder / "shelf").rename(folder / "away")
    (folder / "shelf").touch()  # no folder: nothing can be put there
    wait_for(lambda: not nodes.training_on(1) and not nodes.training_on(2))
    time.sleep(15)
    assert experiments(shelved) == {}
    (folder / "shelf").unlink()
    (folder / "away").rename(folder / "shelf")
    printed, said = process.communicate(timeout=200)
    assert (process.returncode, said) == (0, ""), printed + said
    assert "2 done, 0 stopped, 0 failed" in printed


def test_a_node_whose_disk_is_full_holds_its_trial_and_not_the_others(shelved: Repository, folder: Path):
    (folder / "2").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder / "2")], check=False).returncode:
        pytest.skip("needs to mount a tmpfs")
    try:
        with two_nodes(folder, shelved.environment) as nodes:
            ballast = folder / "2" / "ballast"
            ballast.write_bytes(bytes(2**20))
            process = start_sweep(shelved, write_sweep(shelved, seeds=[1, 2]), "--address", nodes.address)
            wait_for(lambda: len(experiments(shelved)) >= 2)
            assert not nodes.training_on(2)
            subprocess.run(["mount", "-o", "remount,size=200m", str(folder / "2")], check=True)
            ballast.unlink()
            printed, said = process.communicate(timeout=300)
            assert (process.returncode, said) == (0, ""), printed + said
            assert "2 done, 0 stopped, 0 failed" in printed
            assert len(experiments(shelved)) == 4
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "2")], check=True)


def test_nodes_with_other_packages_are_refused_by_name_before_the_first_trial(shelved: Repository, folder: Path):
    for package in ("numpy", "keras"):
        other = folder / "packages" / f"{package}-1.0.dist-info"
        other.mkdir(parents=True)
        (other / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    with two_nodes(folder, shelved.environment, f"PYTHONPATH={folder / 'packages'}") as nodes:
        printed = sweep(shelved, write_sweep(shelved), "--address", nodes.address, fails=True)
    here = {name: importlib.metadata.version(name) for name in ("keras", "numpy")}
    assert printed.endswith(
        f" has keras 1.0 instead of {here['keras']}, numpy 1.0 instead of {here['numpy']}: "
        "install the requirements there\n"
    )
    assert printed.count("\n") == 1
    assert experiments(shelved) == {}


def tokened(repository: Repository, folder: Path) -> Path:
    """Give the repository's user a token for Ray; gives its file."""
    token = folder / "home" / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text("a" * 64)
    repository.environment |= {"HOME": str(folder / "home")}
    return token


def test_a_ray_that_wants_a_token_gets_the_one_at_hand(shelved: Repository, folder: Path):
    token = tokened(shelved, folder)
    file = write_sweep(shelved)
    with two_nodes(folder, shelved.environment | {"RAY_AUTH_MODE": "token"}) as nodes:
        token.write_text("b" * 64)
        assert sweep(shelved, file, "--address", nodes.address, fails=True) == (
            f"error: the Ray at {nodes.address} wants another token, expected its ~/.ray/auth_token here\n"
        )
        token.write_text("a" * 64)
        assert "2 done, 0 stopped, 0 failed" in sweep(shelved, file, "--address", nodes.address)


def test_a_ray_that_wants_no_token_is_given_none(shelved: Repository, folder: Path):
    tokened(shelved, folder)
    with two_nodes(folder, shelved.environment) as nodes:
        assert "2 done, 0 stopped, 0 failed" in sweep(shelved, write_sweep(shelved), "--address", nodes.address)
