"""Sweeps on this machine alone: what they leave, what they refuse, how they end."""

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Repository
from tests.sweeps import (
    as_a_part,
    experiments,
    model,
    processes,
    start_sweep,
    sweep,
    training_in,
    wait_for,
    write_sweep,
)

pytest.importorskip("ray", reason="needs Ray: make sweep-installed")

ACTIVATION = "networks.mlp.layers.1.Dense.activation"
ONE_EPOCH = {"network": ["mlp"], "networks.mlp.epochs": [1]}
UNITS = "networks.mlp.layers.1.Dense.units"
ONE_GOOD = ONE_EPOCH | {ACTIVATION: ["relu", "nosuch"]}
ALL_BAD = ONE_EPOCH | {ACTIVATION: ["relu", "nosuch"], UNITS: [10**9]}  # which fit into no memory


@pytest.fixture
def quiet(repository: Repository) -> Iterator[Repository]:
    """A finished repository whose sweeps keep their files in a folder of the test's own."""
    folder = Path("/tmp") / f"r{os.getpid()}-{time.monotonic_ns() % 10**6}"  # short, as sockets' paths have to be
    folder.mkdir()
    repository.environment["TMPDIR"] = str(folder)
    yield repository
    shutil.rmtree(folder)


@pytest.mark.slow
def test_a_sweep_leaves_experiments_a_ranking_and_a_picture_and_goes_on_after_a_failure(quiet: Repository):
    file = write_sweep(quiet, space=ONE_GOOD)
    assert len(sweep(quiet, file, "--dry-run").splitlines()) == 2
    printed = sweep(quiet, file)
    assert "1 done, 0 stopped, 1 failed, 0 running of 2" in printed
    assert "Could not interpret activation function identifier: nosuch" in printed
    (name,) = experiments(quiet)
    assert name in quiet.dvc("exp", "show", "--csv")
    assert f"to have it: dvc exp apply {name} && dvc repro" in printed
    assert (quiet.path / "sweeps/tried/picture.png").stat().st_size > 10_000
    ranking = (quiet.path / "sweeps/tried/ranking.csv").read_text()
    assert [line.split(",")[:2] for line in ranking.splitlines()[1:]] == [["1", "done"], ["", "failed"]]
    assert list(Path(quiet.environment["TMPDIR"]).iterdir()) == []

    assert "--resume goes on" in sweep(quiet, file, fails=True)
    before = experiments(quiet)
    sweep(quiet, file, "--resume")
    assert experiments(quiet) == before
    assert (quiet.path / "sweeps/tried/ranking.csv").read_text() == ranking


@pytest.mark.torture
def test_what_a_trial_left_is_what_dvc_alone_makes_of_its_setting(quiet: Repository, tmp_path: Path):
    alone = quiet.copy(tmp_path / "alone")
    sweep(quiet, write_sweep(quiet, space=ONE_EPOCH))
    (name,) = experiments(quiet)
    alone.dvc("exp", "run", "-n", "alone", "-S", "network=mlp", "-S", "networks.mlp.epochs=1", "evaluate")
    assert model(alone, experiments(alone)["alone"]) == model(quiet, experiments(quiet)[name])
    quiet.dvc("exp", "apply", name)
    assert "Running stage 'train'" not in quiet.dvc("repro")


@pytest.mark.torture
def test_a_part_of_a_larger_repository_is_swept_and_its_missing_data_made_anew(quiet: Repository, tmp_path: Path):
    part = as_a_part(quiet, tmp_path / "whole")
    (tmp_path / "whole/whole.txt").write_text("of no concern to trials")
    shutil.rmtree(part.path / ".dvc/cache/files/md5")
    printed = sweep(part, write_sweep(part, space=ONE_EPOCH))
    assert "data/prepared/train_images.npy is neither in the cache nor on a remote: dvc repro prepare" in printed
    (name,) = experiments(part)
    assert f"to have it: dvc exp apply {name} && dvc repro" in printed
    assert not (part.path / "-").exists()  # which `git bundle create -` makes there


@pytest.mark.slow
def test_data_that_cannot_be_had_is_told_before_the_first_trial(quiet: Repository):
    quiet.replace("params.yaml", "dataset: digits", "dataset: own")
    quiet.commit("Of nobody's pictures")
    shutil.rmtree(quiet.path / ".dvc/cache/files/md5")
    printed = sweep(quiet, write_sweep(quiet, space=ONE_EPOCH), fails=True)
    assert printed.endswith(
        "error: data/prepared/train_images.npy, from which trials begin, is not here and cannot be made: above is why\n"
    )


@pytest.mark.torture
def test_a_setting_that_somebody_ran_is_taken_from_there(quiet: Repository):
    quiet.dvc("exp", "run", "-n", "mine", "-S", "network=mlp", "-S", "networks.mlp.epochs=1", "evaluate")
    quiet.run("git", "checkout", "--quiet", "--force", ".")
    printed = sweep(quiet, write_sweep(quiet, space={"network": ["mlp"], "networks.mlp.epochs": [1]}))
    assert "to have it: dvc exp apply mine && dvc repro" in printed
    assert list(experiments(quiet)) == ["mine"]


@pytest.mark.torture
def test_a_tpe_sweep_with_one_place_that_goes_on_ends_as_one_that_nobody_disturbed(quiet: Repository):
    space = ONE_EPOCH | {"networks.mlp.optimizer.Adam.learning_rate": {"logarithmic": [0.0005, 0.05]}}
    one_place = {"cpus": len(os.sched_getaffinity(0))}
    file = write_sweep(quiet, space=space, search="tpe", trials=12, resources=one_place)  # it learns from 10
    sweep(quiet, file)
    names, ranking = list(experiments(quiet)), (quiet.path / "sweeps/tried/ranking.csv").read_text()
    quiet.dvc("exp", "remove", *names[::3])
    printed = sweep(quiet, file, "--resume")
    assert "12 done" in printed
    assert list(experiments(quiet)) == names
    assert (quiet.path / "sweeps/tried/ranking.csv").read_text() == ranking


@pytest.mark.torture
def test_a_sweep_of_failures_alone_ends_with_1(quiet: Repository):
    printed = sweep(quiet, write_sweep(quiet, space=ALL_BAD), fails=True)
    assert "OOM when allocating tensor with shape[784,1000000000]" in printed
    assert "error: no setting was trained with all its seeds; sweeps/tried/ranking.csv says why" in printed


@pytest.mark.torture
def test_weak_trials_are_stopped_early_and_leave_no_experiment(quiet: Repository):
    rates = {
        "network": ["mlp"],
        "networks.mlp.optimizer.Adam.learning_rate": [0.007, 1e-06],
        "networks.mlp.epochs": [5],
    }
    file = write_sweep(quiet, space=rates, stop="asha", resources={"cpus": 2})
    assert "1 done, 1 stopped, 0 failed" in sweep(quiet, file)
    assert len(experiments(quiet)) == 1
    ranking = (quiet.path / "sweeps/tried/ranking.csv").read_text()
    assert "1 done, 1 stopped, 0 failed" in sweep(quiet, file, "--resume")
    assert (quiet.path / "sweeps/tried/ranking.csv").read_text() == ranking


def begins(clones: Path) -> bool:
    return any(clones.glob("*/sweep-*/clone-0"))


@pytest.mark.parametrize(
    ("command", "moment"),
    [
        (signal.SIGINT, begins),
        pytest.param(signal.SIGINT, training_in, marks=pytest.mark.torture),
        pytest.param(signal.SIGTERM, training_in, marks=pytest.mark.torture),
    ],
)
@pytest.mark.slow
def test_what_is_interrupted_says_one_line_and_leaves_nothing_running(
    quiet: Repository, command: signal.Signals, moment: Callable[[Path], bool]
):
    process = start_sweep(quiet, write_sweep(quiet))
    clones = Path(quiet.environment["TMPDIR"])
    wait_for(lambda: moment(clones))
    if command == signal.SIGINT:
        os.killpg(process.pid, command)  # as a terminal does
    else:
        process.send_signal(command)
    printed, said = process.communicate(timeout=60)
    counted = re.fullmatch(r"(0 done, 0 stopped, 0 failed, \d running of 2\n)*", printed)  # of a slow machine
    assert (bool(counted), said) == (True, "interrupted\n" if command == signal.SIGINT else ""), printed
    assert process.returncode == (130 if command == signal.SIGINT else 1)  # the latter is Ray's
    wait_for(lambda: not processes(quiet.environment["TMPDIR"]), 10)
    assert list(clones.iterdir()) == []
    assert experiments(quiet) == {}


@pytest.mark.slow
def test_a_dirty_workspace_is_refused_with_what_to_do(quiet: Repository):
    file = write_sweep(quiet)
    quiet.replace("params.yaml", "dpi: 120", "dpi: 130")
    (quiet.path / "stages" / "new.py").touch()
    printed = sweep(quiet, file, fails=True)
    assert printed == (
        "error: params.yaml, stages/new.py differ from the last commit, and trials would not see it: `git commit` or "
        "`git stash` first, then `dvc checkout`\n"
    )


@pytest.mark.slow
def test_a_repository_without_a_commit_is_refused(quiet: Repository):
    file = write_sweep(quiet)
    quiet.run("git", "checkout", "--quiet", "--orphan", "empty")
    assert "error: this repository has no commit, and trials start from one" in sweep(quiet, file, fails=True)


@pytest.mark.slow
def test_a_shallow_clone_is_told_what_ends_it(quiet: Repository, tmp_path: Path):
    quiet.run("git", "commit", "--quiet", "--allow-empty", "--message", "Another")
    quiet.run("git", "clone", "--quiet", "--depth", "1", f"file://{quiet.path}", str(tmp_path / "shallow"))
    shallow = Repository(tmp_path / "shallow", quiet.home)
    printed = sweep(shallow, write_sweep(shallow), fails=True)
    assert printed.startswith(
        "error: this clone is shallow, and Git refuses to clone it, as trials do: `git fetch --uns"
    )


@pytest.mark.slow
def test_a_cluster_without_a_remote_is_refused(quiet: Repository):
    printed = sweep(quiet, write_sweep(quiet), "--address", "127.0.0.1:1", fails=True)
    assert printed.startswith("error: no DVC remote is configured, through which the nodes of a cluster get the data")
    assert printed.count("\n") == 1


@pytest.mark.torture
def test_a_trial_that_fits_on_no_node_is_refused(quiet: Repository):
    file = write_sweep(quiet, space=ONE_EPOCH, resources={"cpus": 1, "memory_gb": 9000})
    printed = sweep(quiet, file, fails=True)
    assert "a trial takes cpus 1, memory_gb 9000, expected what a node has (cpus " in printed
    assert experiments(quiet) == {}
    assert list(Path(quiet.environment["TMPDIR"]).iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("listener", ["nobody", pytest.param("somebody else", marks=pytest.mark.torture)])
def test_an_address_where_no_ray_answers_is_refused(quiet: Repository, listener: str, tmp_path: Path):
    quiet.dvc("remote", "add", "--default", "shelf", str(tmp_path / "shelf"))
    quiet.commit("Keep data and models on the shelf")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1] if listener == "somebody else" else 1
        printed = sweep(quiet, write_sweep(quiet), "--address", f"127.0.0.1:{port}", fails=True)
    assert printed == (
        f"error: no Ray answers at 127.0.0.1:{port} within 10 s, expected the address that `ray start` told\n"
    )


def test_an_environment_without_ray_is_told_what_to_make(quiet: Repository, tmp_path: Path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "ray.py").write_text("raise ImportError(name='ray')\n")
    quiet.environment["PYTHONPATH"] = str(tmp_path / "hidden")
    printed = sweep(quiet, write_sweep(quiet), fails=True, cold=True)
    assert printed == "error: ray is not installed, and sweeps need it: make sweep-installed\n"
