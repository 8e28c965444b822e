"""The commands that a DVC user types, each doing what that user expects of it."""

import json
from pathlib import Path

import pytest

from tests.conftest import Repository


def test_metrics_show(clone: Repository):
    shown = json.loads(clone.dvc("metrics", "show", "--json"))[""]["data"]
    assert {"metrics/data.json", "metrics/train.json", "metrics/test.json"} == shown.keys()
    assert shown["metrics/test.json"]["data"]["accuracy"] > 0.5
    assert "accuracy_low" in clone.dvc("metrics", "show")


def test_metrics_diff(clone: Repository):
    changed = json.loads(clone.dvc("metrics", "diff", "HEAD~1", "--json"))["metrics/train.json"]
    assert changed.keys() == {"train_accuracy", "train_loss", "val_accuracy", "val_loss", "val_cross_entropy"}
    assert changed["train_loss"]["diff"] > 0


def test_params_diff(clone: Repository):
    changed = json.loads(clone.dvc("params", "diff", "HEAD~1", "--json"))
    assert changed == {"params.yaml": {"networks.convnet.epochs": {"old": 5, "new": 1, "diff": -4}}}


def test_plots_show(two_commits: Repository, tmp_path: Path):
    two_commits.dvc("plots", "show", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page/index.html").read_text()
    for title in ("Accuracy while training", "Loss while training", "Learning rate", "Confusion", "F1 of each class"):
        assert page.count(f'"{title}') == 1, title
    assert page.count('<img src="static/') == 8


def test_plots_diff(clone: Repository, tmp_path: Path):
    clone.dvc("plots", "diff", "HEAD~1", "HEAD", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page/index.html").read_text()
    assert page.count("vegaEmbed(") == 5
    assert page.count("<script src=") == 3  # DVC's own page, until the stage page has written one


def test_dag(clone: Repository):
    graph = clone.dvc("dag", "--dot")
    for edge in ("fetch -> prepare", "gather -> prepare", "prepare -> train", "train -> evaluate", "evaluate -> plot"):
        start, end = edge.split(" -> ")
        assert f'"{start}" -> "{end}"' in graph


@pytest.mark.slow
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
