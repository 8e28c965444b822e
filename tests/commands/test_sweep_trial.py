"""What a trial tells Tune, and how it tells a setting that fails from a node in trouble."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs Ray: make sweep-installed")

from dvc.config import Config as DvcConfig

from commands.sweep import trial as trial_module
from commands.sweep.clone import NONE_VALIDATES, Clone, Job, SettingFailed
from commands.sweep.dvc_exit import MISSING, REFUSED
from commands.sweep.settings import Baseline
from commands.sweep.trial import Trial
from commands.sweep.tuning import Rungs
from tests.conftest import ROOT

BASELINE = Baseline({"network": "mlp", "fetch.dataset": "mnist", "seed": 1, "networks.mlp.epochs": 3}, {})
EPOCHS = [{"epoch": float(epoch), "val_accuracy": epoch / 10} for epoch in range(1, 6)]
NUMBERS = {"val_accuracy": 0.9, "val_cross_entropy": 0.3, "accuracy": 0.8}


def results(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, float] | None, rows: list[dict[str, float]] | None = None
) -> list[dict[str, Any]]:
    """What a trial of two seeds tells with `stop: asha`, whose experiments are known or run for two epochs each."""
    monkeypatch.setattr(trial_module.ray, "get", lambda given, timeout: given)
    job = Job(
        sweep="tried", commit="0" * 40, repository="", project=".", baseline=BASELINE, seeds=(1, 2),
        metric="val_accuracy", by_epoch=True, identity={}, remote={}, cache=None, folder=None,
    )  # fmt: skip
    clone = SimpleNamespace(
        run=lambda *_: iter(rows or [{"epoch": 1.0, "val_accuracy": 0.5}, {"epoch": 2.0, "val_accuracy": 0.7}]),
        epochs=lambda: 2, numbers=lambda: NUMBERS, push=lambda: None, bundle=lambda _: b"",
    )  # fmt: skip
    mailbox = SimpleNamespace(
        known=SimpleNamespace(remote=lambda _: known), deliver=SimpleNamespace(remote=lambda *_: None),
        history=SimpleNamespace(remote=lambda _: EPOCHS),
    )  # fmt: skip
    trial = Trial.__new__(Trial)
    trial._job, trial._clone, trial._mailbox = job, clone, mailbox
    return list(trial._work({"networks.mlp.epochs": 2}))


def test_the_first_seeds_epochs_are_told_one_by_one(monkeypatch: pytest.MonkeyPatch):
    told = results(monkeypatch, None)
    assert [(result["epoch"], result["val_accuracy"]) for result in told] == [(1, 0.5), (2, 0.7), (2, 0.9), (2, 0.9)]
    assert [result.get("done", False) for result in told] == [False, False, False, True]
    assert [result.get("last", False) for result in told] == [False, True, False, False]


def test_what_is_known_tells_how_it_stood_where_others_are_compared_with_it(monkeypatch: pytest.MonkeyPatch):
    """And not its end as if it were an epoch: beginners would compete with that."""
    told = results(monkeypatch, NUMBERS)
    assert told[:-2] == [{"epoch": epoch, "val_accuracy": epoch / 10, "known": True} for epoch in (1, 4)]
    assert ["epoch" in result for result in told[-2:]] == [False, False]
    assert told[-1]["done"]


def test_what_is_known_is_compared_with_and_not_stopped():
    rungs = Rungs(time_attr="epoch", metric="val_accuracy", mode="max", max_t=1000)
    asked = []
    for name, value, of in [("good", 0.9, "known"), ("weak", 0.5, "known"), ("over", 0.6, "last"), ("new", 0.6, "")]:
        trial = SimpleNamespace(trial_id=name, status="RUNNING")
        rungs.on_trial_add(None, trial)
        asked.append(rungs.on_trial_result(None, trial, {"epoch": 1, "val_accuracy": value, of: True}))
    assert asked == [Rungs.CONTINUE, Rungs.CONTINUE, Rungs.CONTINUE, Rungs.STOP]


def test_a_trial_without_an_image_to_be_chosen_by_fails_at_its_first_epoch(monkeypatch: pytest.MonkeyPatch):
    (told,) = results(monkeypatch, None, rows=[{"epoch": 1.0, "accuracy": 0.5}] * 9)
    assert (told["failure"], told["done"]) == (NONE_VALIDATES, True)


def test_a_setting_that_holds_no_image_out_fails_with_its_reason(workspace: Path):
    (workspace / "metrics").mkdir()
    (workspace / "metrics/train.json").write_text(json.dumps({"val_accuracy": None, "val_cross_entropy": None}))
    (workspace / "metrics/test.json").write_text(json.dumps({"accuracy": 0.9}))
    (workspace / "metrics/data.json").write_text(json.dumps({"validation": 0}))
    clone = Clone.__new__(Clone)
    clone.path = workspace
    with pytest.raises(SettingFailed, match=r"prepare\.validation\.hold_out comes to no image"):
        clone.numbers()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pipeline", "code", "said"),
    [
        ("a: {cmd: 'false'}", REFUSED, "failed to reproduce 'a': failed to run: false, exited with 1"),
        ("a: {cmd: cat b, deps: [b]}", MISSING, "failed to reproduce 'a': dependency 'b' does not exist"),
        ("a: {cmd: 'true', outs: [c]}", 1, "failed to reproduce 'a': output 'c' does not exist"),
    ],
)
def test_what_failed_is_told_by_the_exit_code(workspace: Path, pipeline: str, code: int, said: str):
    subprocess.run(["git", "init", "--quiet"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet"], check=True)
    (workspace / "dvc.yaml").write_text(f"stages:\n  {pipeline}\n")
    command = [sys.executable, "-m", "commands.sweep.dvc_exit", "repro"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (code, said), done.stderr


def test_a_path_may_have_letters_beyond_ascii(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    """Of the cache, or of a remote: DVC itself cannot write such a path down."""
    monkeypatch.setattr(Clone, "_start", lambda *_: None)
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests"]
    Path(".dvc").mkdir()
    Path(".dvc/config").touch()
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "One"]):
        subprocess.run([*git, *words], check=True)
    bundle, commit = (
        subprocess.run(["git", *words, "HEAD"], capture_output=True, check=True).stdout
        for words in (["bundle", "create", "-"], ["rev-parse"])
    )
    job = Job(
        sweep="tried", commit=commit.decode().strip(), repository="part", project=".", baseline=BASELINE, seeds=(1,),
        metric="val_accuracy", by_epoch=False, identity={}, remote={"url": "/über/allem"}, cache="/über all/cache",
        folder=str(workspace / "sweep"),
    )  # fmt: skip
    config = DvcConfig(str(Clone(job, bundle).path / ".dvc"))
    assert config["cache"]["dir"] == "/über all/cache"
    assert config["remote"]["sweep"]["url"] == "/über/allem"
