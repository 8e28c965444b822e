"""The pipeline through DVC itself, on the embedded digits: what is made, what is made anew, what is refused."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from digits.foundation.command import run
from digits.network import reproducibility
from stages import evaluate, plot, prepare, train
from tests.conftest import ONE_EPOCH, Repository, stages_run


def metrics(repository: Repository, name: str) -> dict:
    return json.loads((repository.path / "metrics" / f"{name}.json").read_text())


def test_everything_that_is_promised_is_there(finished: Repository):
    assert metrics(finished, "data")["dataset"] == "digits"
    assert metrics(finished, "data")["leakage"] == 0
    assert metrics(finished, "test")["accuracy"] >= 0.95
    assert metrics(finished, "train").keys() == {
        "network", "train_accuracy", "train_loss", "val_accuracy", "val_loss", "val_cross_entropy", "parameters",
    }  # fmt: skip
    assert {image.stem for image in (finished.path / "plots/images").iterdir()} == {
        "samples", "architecture", "weights", "curves", "confusion", "correct", "misclassified", "calibration",
    }  # fmt: skip
    assert list(pd.read_csv(finished.path / "plots/history.csv").columns) == [
        "epoch", "accuracy", "loss", "val_accuracy", "val_loss", "val_cross_entropy", "learning_rate",
    ]  # fmt: skip
    predictions = pd.read_csv(finished.path / "plots/predictions.csv")
    assert list(predictions.columns) == ["actual", "predicted", "confidence"]
    assert (predictions["actual"] != predictions["predicted"]).sum() == metrics(finished, "test")["errors"]
    assert finished.run("git", "status", "--short") == ""


def test_a_second_run_has_nothing_to_do(finished: Repository):
    printed = finished.dvc("repro")
    assert stages_run(printed) == []
    assert "up to date" in printed


def test_a_change_of_plot_reruns_plot_alone(repository: Repository):
    repository.replace("params.yaml", "mistakes: 30", "mistakes: 20")
    assert stages_run(repository.dvc("repro")) == ["plot"]


def test_a_change_of_the_recipe_reruns_from_train_on_and_back_comes_from_the_cache(
    one_epoch: Path, experiment: Repository
):
    assert stages_run((one_epoch / "printed.txt").read_text()) == ["train", "evaluate", "plot", "page"]
    assert len(pd.read_csv(experiment.path / "plots/history.csv")) == 1
    experiment.replace("params.yaml", *reversed(ONE_EPOCH))
    printed = experiment.dvc("repro")
    assert stages_run(printed) == []
    assert "is cached - skipping run, checking out outputs" in printed
    assert experiment.run("git", "status", "--short") == ""


@pytest.mark.slow
def test_what_was_committed_by_force_does_not_come_back_for_another_split(repository: Repository):
    """`dvc commit` puts any stage into the run cache, which overlooks parameters named `size` (dvc#10296)."""
    held_out = metrics(repository, "data")["validation"]
    repository.dvc("commit", "--force")
    repository.replace("params.yaml", "hold_out: 0.1 ", "hold_out: 0.5 ")
    repository.dvc("repro", "prepare")
    assert metrics(repository, "data")["validation"] > 4 * held_out


@pytest.mark.torture
def test_an_experiment_may_keep_its_best_epoch_and_end_early(repository: Repository):
    recipe = {"epochs": 30, "keep": "best", "patience": 1}
    settings = [word for name, value in recipe.items() for word in ("-S", f"networks.convnet.{name}={value}")]
    printed = repository.dvc("exp", "run", *settings)
    history, numbers = pd.read_csv(repository.path / "plots/history.csv"), metrics(repository, "train")
    assert numbers["epochs"] == len(history) < 30
    assert numbers["kept_epoch"] == history["val_cross_entropy"].idxmin() + 1 == len(history) - 1
    assert f"kept: epoch {numbers['kept_epoch']}, which has the lowest val_cross_entropy" in printed
    assert f"ended after epoch {len(history)} of 30: none of the last 1 was a better one" in printed


def test_a_change_of_another_network_reruns_nothing(repository: Repository):
    repository.replace("params.yaml", "    epochs: 30\n", "    epochs: 31\n")
    assert "up to date" in repository.dvc("status")


def test_another_network_is_chosen_by_its_name(another_network: Path, finished: Repository):
    assert stages_run((another_network / "printed.txt").read_text()) == ["train", "evaluate"]
    assert metrics(Repository(another_network / "repository", finished.home), "test")["accuracy"] > 0.9


@pytest.mark.slow
def test_a_network_nobody_thought_of_needs_no_code_and_no_validation_images(repository: Repository):
    repository.replace("params.yaml", "\nnetworks:\n", NEW_NETWORK)
    repository.replace("params.yaml", "network: convnet", "network: separable")
    changed = json.loads(repository.dvc("status", "--json"))
    assert changed.keys() == {"train"}  # the first that a new network concerns
    repository.replace("params.yaml", "hold_out: 0.1 ", "hold_out: 0 ")
    assert stages_run(repository.dvc("repro")) == ["prepare", "train", "evaluate", "plot", "page"]
    assert "SeparableConv2D" in (repository.path / "models/layers.csv").read_text()
    assert metrics(repository, "train")["val_accuracy"] is None
    assert metrics(repository, "data")["validation"] == 0
    assert "val_accuracy" in repository.dvc("metrics", "diff", "HEAD")
    repository.dvc("plots", "show")


NEW_NETWORK = """
networks:
  separable:
    layers:
    - SeparableConv2D: {filters: 8, kernel_size: 3, depth_multiplier: 4, activation: gelu}
    - GlobalMaxPooling2D
    - Dense: {units: 10}
    - Softmax
    optimizer:
      Lion: {learning_rate: 1e-3, weight_decay: 1e-2, use_ema: true}
    epochs: 1
    batch_size: 100
"""


@pytest.fixture(scope="module")
def shared(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A copy of the finished repository for stages that refuse: who changes a file there puts it back."""
    return finished.copy(tmp_path_factory.mktemp("shared") / "repository")


@contextmanager
def put_back(path: Path) -> Iterator[bytes]:
    """Gives what a file holds, and gives it back to the file."""
    content = path.read_bytes()
    try:
        yield content
    finally:
        path.unlink(missing_ok=True)  # it may be a link into DVC's cache
        path.write_bytes(content)


def refused(stage: ModuleType, capsys: pytest.CaptureFixture[str]) -> str:
    """What the stage says where it ends with an error, run in the working directory."""
    capsys.readouterr()
    with pytest.raises(SystemExit, match="1"):
        run(stage.main)
    return capsys.readouterr().err


BAD_PARAMETERS = [
    (train, "network: convnet", "network: foo", "foo"),
    (train, "  convnet:\n    layers:\n    - Conv2D:", "  convnet:\n    layers:\n    - Conv2:", "Conv2D"),
    (
        train,
        "    epochs: 5\n    batch_size: 108\n",
        "    epochs: 5\n    batch_size: 60000\n",
        "networks.convnet.batch_size is 60,000",
    ),
    (prepare, "hold_out: 0.1 ", "hold_out: 99999 ", "prepare.validation.hold_out is 99999"),
    (prepare, "\nseed: 1 ", "\nseed: one ", "seed is 'one'"),
    (plot, "dpi: 120", "dpi: 1", "plot.dpi is 1"),
]


@pytest.mark.parametrize(("stage", "old", "new", "said"), BAD_PARAMETERS, ids=[said for *_, said in BAD_PARAMETERS])
def test_a_bad_parameter_is_refused_in_a_sentence(
    shared: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: ModuleType,
    old: str,
    new: str,
    said: str,
):
    monkeypatch.chdir(shared.path)
    monkeypatch.setattr(reproducibility, "compute_reproducibly", lambda *_: None)  # once a process, and tests share one
    with put_back(shared.path / "params.yaml"):
        shared.replace("params.yaml", old, new)
        sentence = refused(stage, capsys)
    assert said in sentence
    assert (sentence.count("error: "), sentence.count("\n")) == (1, 1)
    assert not list(shared.path.rglob("*.partial*"))


def test_a_refusal_is_the_last_word_under_dvc_too(repository: Repository):
    repository.replace("params.yaml", "dpi: 120", "dpi: 1")
    printed = repository.dvc("repro", "--force", "--single-item", "plot", fails=True)
    assert "error: params.yaml: plot.dpi is 1" in printed
    assert "Traceback" not in printed
    assert not list(repository.path.rglob("*.partial*"))


@pytest.mark.parametrize("content", [None, ""])
def test_missing_and_empty_parameters_are_refused_in_a_sentence(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
):
    (repository.path / "params.yaml").unlink()
    if content is not None:
        (repository.path / "params.yaml").write_text(content)
    # DVC's own words: it fills in dvc.yaml's ${network} before any stage runs.
    assert "Could not find 'network'" in repository.dvc("repro", fails=True)
    monkeypatch.chdir(repository.path)
    said = refused(prepare, capsys)
    assert said.startswith("error: params.yaml")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        (prepare, "data/raw/fetched/digits/train-images.idx"),
        (prepare, "data/raw/fetched/digits/test-labels.idx"),
        (prepare, "data/raw/fetched/digits/dataset.json"),
        (train, "data/prepared/train_images.npy"),
        (train, "data/prepared/task.json"),
        (train, "data/prepared/validation_labels.npy"),
        (evaluate, "data/prepared/test_labels.npy"),
        (evaluate, "metrics/data.json"),
        (evaluate, "metrics/test_images.csv"),
        (plot, "data/prepared/test_images.npy"),
        (plot, "models/first_kernel.npy"),
        (plot, "models/layers.csv"),
        (plot, "plots/predictions.csv"),
        (plot, "plots/history.csv"),
    ],
)
def test_damaged_files_are_refused_by_name(
    shared: Repository,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    stage: ModuleType,
    file: str,
):
    monkeypatch.chdir(shared.path)
    monkeypatch.setattr(reproducibility, "compute_reproducibly", lambda *_: None)  # once a process, and tests share one
    path = Path(file)
    with put_back(Path("params.yaml")), put_back(path) as content:
        shared.replace("params.yaml", "dpi: 120", "dpi: 50")  # for what `plot` draws before it reads the last file
        path.unlink()
        assert refused(stage, capsys).startswith(f"error: {file} is missing")
        for damage in (content[: len(content) // 2], content[:-1], b"", b"<html>"):
            path.write_bytes(damage)
            assert refused(stage, capsys).startswith(f"error: {file}")


@pytest.mark.slow
def test_dvc_heals_what_was_damaged(repository: Repository):
    shutil.rmtree(repository.path / "data/raw")
    shutil.rmtree(repository.path / "data/prepared")
    (repository.path / "plots/history.csv").write_text("damage")
    repository.dvc("repro")
    assert repository.run("git", "status", "--short") == ""


@pytest.mark.slow
def test_real_mnist_is_prepared_as_published(fresh: Repository, tmp_path: Path, mnist_mirror: Path):
    repository = fresh.copy(tmp_path / "repository")
    repository.environment["MNIST_MIRROR"] = str(mnist_mirror)
    repository.dvc("repro", "prepare")
    found = metrics(repository, "data")
    assert (found["train"], found["validation"], found["test"], found["leakage"]) == (54_000, 6_000, 10_000, 0)
    images = np.load(repository.path / "data/prepared/train_images.npy")
    assert images.mean() == pytest.approx(0.1307, abs=1e-3)  # of all 60,000, as PyTorch's example has it
    assert images.std() == pytest.approx(0.3081, abs=1e-3)
