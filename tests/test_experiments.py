"""DVC's experiments, in the working tree and in the queue: what they give is what a clone by itself gives."""

import json
import re
import shlex
import shutil
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests.conftest import ROOT, MadeOnce, Repository, stages_run

NETWORKS = {"mlp": "mlp", "dropout": "dropout-batchnorm-256-128-128"}  # by the names of their experiments
RUN = ["fetch", "gather", "prepare", "train", "evaluate"]
SEEDS = {"mlp": 1, "dropout": 2}


@pytest.fixture(scope="session")
def queued(finished: Repository, made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The finished repository after two experiments in the queue, run side by side. Not to be changed."""

    def make(folder: Path) -> None:
        repository = finished.copy(folder / "repository")
        for name, network in NETWORKS.items():
            changes = ("-S", f"network={network}", "-S", f"seed={SEEDS[name]}")
            repository.dvc("exp", "run", "--queue", "--name", name, *changes, "evaluate")
        # Its workers go on, and would keep a pipe open until they end, which they do long after their last task.
        path = repository.warm_environment["PATH"]
        repository.run("sh", "-c", f"PATH='{path}' dvc queue start -j 2 >/dev/null 2>&1")
        deadline = time.monotonic() + 280
        while time.monotonic() < deadline:
            status = repository.dvc("queue", "status")
            if "Running" not in status and "Queued" not in status:
                break
            time.sleep(1)
        repository.dvc("queue", "stop", "--kill")
        assert status.count("Success") == 2, status
        workers = [one for one in psutil.process_iter(["cwd"]) if Path(one.info["cwd"] or "/").is_relative_to(folder)]
        assert psutil.wait_procs(workers, timeout=100)[1] == []  # they write and delete until they are gone

    made = Repository(made_once("queued", make) / "repository", finished.home)
    return made.copy(tmp_path_factory.mktemp("queued") / "repository")


def lock(repository: Repository, experiment: str) -> str:
    """The dvc.lock of an experiment, as DVC keeps it in Git."""
    baseline = repository.run("git", "rev-parse", "HEAD").strip()
    return repository.run("git", "show", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{experiment}:dvc.lock")


@pytest.mark.torture
@pytest.mark.parametrize("name", NETWORKS)
def test_a_clone_elsewhere_gives_the_bytes_of_a_queued_experiment(
    queued: Repository, fresh: Repository, tmp_path: Path, name: str
):
    """From nothing, on one core, in another time zone and language, with another umask and hash seed."""
    other = fresh.copy(tmp_path / "elsewhere" / "with a space")
    other.environment |= {"TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    other.replace("params.yaml", "dataset: mnist", "dataset: digits")
    other.replace("params.yaml", "network: convnet", f"network: {NETWORKS[name]}")
    other.replace("params.yaml", "\nseed: 1 ", f"\nseed: {SEEDS[name]} ")
    printed = other.run("sh", "-c", "umask 077; taskset --cpu-list 0 dvc repro evaluate")
    assert len(stages_run(printed)) == len(RUN)
    ours, theirs = yaml.safe_load((other.path / "dvc.lock").read_text()), yaml.safe_load(lock(queued, name))
    assert [ours["stages"][stage] for stage in RUN] == [theirs["stages"][stage] for stage in RUN]
    assert json.loads((other.path / "metrics/test.json").read_text())["accuracy"] > {"mlp": 0.5, "dropout": 0.9}[name]


@pytest.mark.torture
def test_a_queued_experiment_is_compared_and_applied(queued: Repository, tmp_path: Path):
    repository = queued.copy(tmp_path / "repository")
    changed = json.loads(repository.dvc("params", "diff", "mlp", "dropout", "--json"))["params.yaml"]
    assert changed["seed"] == {"old": 1, "new": 2, "diff": 1}
    repository.dvc("exp", "apply", "mlp")
    assert (repository.path / "dvc.lock").read_text() == lock(repository, "mlp")
    assert "up to date" in repository.dvc("status", "evaluate")


@pytest.mark.slow
def test_two_branches_are_merged_as_the_page_says(experiment: Repository):
    experiment.commit("One epoch")
    experiment.run("git", "checkout", "--quiet", "-b", "other", "HEAD~1")
    experiment.dvc("checkout")
    experiment.replace("params.yaml", "mistakes: 30", "mistakes: 20")
    experiment.dvc("repro")
    experiment.commit("Fewer mistakes")
    experiment.run("git", "checkout", "--quiet", "main")
    experiment.dvc("checkout")
    (page,) = re.findall(r"^```sh\n(git merge.*?)^```$", (ROOT / "docs/experiments.md").read_text(), re.M | re.DOTALL)
    merge, repro, commit = map(shlex.split, page.splitlines())
    assert "CONFLICT (content): Merge conflict in dvc.lock" in experiment.run(*merge, fails=True)
    assert stages_run(experiment.run(*repro)) == ["plot"]
    experiment.run(*commit)
    assert experiment.run("git", "status", "--short") == ""
    assert "up to date" in experiment.dvc("status")
    merged = yaml.safe_load((experiment.path / "params.yaml").read_text())
    assert (merged["networks"]["convnet"]["epochs"], merged["plot"]["mistakes"]) == (1, 20)


@pytest.mark.slow
def test_pictures_that_two_branches_added_are_put_together(fresh: Repository, tmp_path: Path):
    (page,) = re.findall(r"^```sh\n(git config merge.*?)\n```$", (ROOT / "docs/experiments.md").read_text(), re.M)
    fresh.run("git", "clone", "--quiet", str(fresh.path), str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone", fresh.home)
    clone.run(*shlex.split(page))
    images = clone.path / "data/own/images"
    for branch in ("one", "other"):
        clone.run("git", "checkout", "--quiet", "-b", branch, "main")
        shutil.rmtree(images, ignore_errors=True)
        (images / "7").mkdir(parents=True)
        (images / "7" / f"{branch}.png").write_text(branch)
        clone.dvc("add", "--quiet", "data/own/images")
        clone.run("git", "add", "--all")
        clone.commit(branch)
    clone.run("git", "merge", "--quiet", "--no-edit", "one")
    clone.dvc("checkout", "--quiet", "data/own/images.dvc")
    assert sorted(path.name for path in images.glob("7/*")) == ["one.png", "other.png"]


def test_an_experiment_changes_one_line_and_is_listed(experiment: Repository):
    assert experiment.run("git", "diff", "--numstat", "params.yaml").split() == ["1", "1", "params.yaml"]
    listed = experiment.dvc("exp", "show", "--csv")
    assert "one-epoch" in listed
    assert {"accuracy", "train_accuracy"} <= set(listed.splitlines()[0].split(","))
