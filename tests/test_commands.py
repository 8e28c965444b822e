"""The commands that a DVC user types, each doing what that user expects of it."""

import json
import time
from pathlib import Path

from tests.conftest import Repository


def test_metrics_show(clone: Repository):
    shown = json.loads(clone.dvc("metrics", "show", "--json"))[""]["data"]
    assert {"metrics/data.json", "metrics/train.json", "metrics/test.json"} == shown.keys()
    assert shown["metrics/test.json"]["data"]["accuracy"] > 0.5
    assert "accuracy_low" in clone.dvc("metrics", "show")


def test_metrics_diff(clone: Repository):
    changed = json.loads(clone.dvc("metrics", "diff", "HEAD~1", "--json"))["metrics/train.json"]
    assert changed.keys() == {"train_accuracy", "train_loss", "val_accuracy", "val_loss"}
    assert changed["train_loss"]["diff"] > 0


def test_params_diff(clone: Repository):
    changed = json.loads(clone.dvc("params", "diff", "HEAD~1", "--json"))
    assert changed == {"params.yaml": {"networks.convnet.epochs": {"old": 5, "new": 1, "diff": -4}}}


def test_plots_show(two_commits: Repository, tmp_path: Path):
    two_commits.dvc("plots", "show", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page/index.html").read_text()
    for title in ("Accuracy while training", "Loss while training", "Learning rate", "Confusion", "F1 of each digit"):
        assert page.count(f'"{title}') == 1, title
    assert page.count('<img src="static/') == 8


def test_plots_diff(clone: Repository, tmp_path: Path):
    clone.dvc("plots", "diff", "HEAD~1", "HEAD", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page/index.html").read_text()
    assert page.count("vegaEmbed(") == 5
    assert page.count("<script src=") == 3  # DVC's own page, until the stage page has written one


def test_dag(clone: Repository):
    graph = clone.dvc("dag", "--dot")
    for edge in ("fetch -> prepare", "prepare -> train", "train -> evaluate", "evaluate -> plot"):
        start, end = edge.split(" -> ")
        assert f'"{start}" -> "{end}"' in graph


def test_push_and_pull_through_a_folder(finished: Repository, tmp_path: Path):
    giver = finished.copy(tmp_path / "giver")
    giver.dvc("remote", "add", "--default", "shelf", str(tmp_path / "shelf"))
    giver.commit("A remote")
    giver.dvc("push")
    giver.run("git", "clone", "--quiet", str(giver.path), str(tmp_path / "taker"))
    taker = Repository(tmp_path / "taker", tmp_path)
    taker.dvc("pull")
    assert (taker.path / "models/model.keras").read_bytes() == (giver.path / "models/model.keras").read_bytes()
    assert "up to date" in taker.dvc("status")


def test_an_experiment_changes_one_line_and_is_listed(repository: Repository):
    repository.dvc("exp", "run", "--name", "one-epoch", "-S", "networks.convnet.epochs=1")
    assert repository.run("git", "diff", "--numstat", "params.yaml").split() == ["1", "1", "params.yaml"]
    listed = repository.dvc("exp", "show", "--csv")
    assert "one-epoch" in listed
    assert "metrics/test.json:accuracy" in listed


def test_queued_experiments_run_and_equal_the_same_run_alone(repository: Repository):
    repository.dvc("exp", "run", "--queue", "--name", "alone-first", "-S", "networks.convnet.epochs=1")
    repository.dvc("exp", "run", "--queue", "--name", "other-seed", "-S", "networks.convnet.epochs=1", "-S", "seed=2")
    repository.dvc("queue", "start", "-j", "2")
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        status = repository.dvc("queue", "status")
        if "Running" not in status and "Queued" not in status:
            break
        time.sleep(1)
    repository.dvc("queue", "stop", "--kill")
    assert status.count("Success") == 2, status

    repository.dvc("exp", "apply", "alone-first")
    queued = (repository.path / "dvc.lock").read_text()
    repository.dvc("repro", "--force", "--single-item", "train")
    assert (repository.path / "dvc.lock").read_text() == queued
    assert "seed" in repository.dvc("params", "diff", "alone-first", "other-seed")
