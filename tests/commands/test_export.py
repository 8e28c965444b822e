import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from commands import export
from digits.data.task import Task
from digits.foundation.command import Refusal, run
from digits.foundation.parameters import read_networks
from digits.network import archive, inference, reproducibility
from digits.network.construction import build
from digits.network.tensorflow import keras
from tests.conftest import ROOT, write_split

NETWORKS = read_networks(ROOT / "params.yaml")
FORMS = [
    pytest.param(
        form,
        marks=pytest.mark.skipif(
            not all(map(find_spec, packages)), reason="needs the exports' packages: make export-installed"
        ),
    )
    for form, packages in export.PACKAGES.items()
]


def keep(model: keras.Sequential, classes: list[str], framing: str = "whole") -> np.ndarray:
    """Write the network, and 12 images to test it on, where the command finds them; gives the images."""
    archive.save(archive.Classifier(model, Task(classes, framing)))
    images = np.random.default_rng(1).random((12, *model.input_shape[1:])).astype(np.float32)
    write_split("test", images, np.zeros(12, np.uint8))
    return images


def with_layer(layer: keras.layers.Layer) -> keras.Sequential:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((8, 8, 3)), layer, keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.fixture
def command(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A workspace with parameters, and a network that shifts what it trains on by chance; typed there, the command."""
    shutil.copy(ROOT / "params.yaml", workspace)
    monkeypatch.setattr(reproducibility, "compute_reproducibly", lambda *_: None)  # once a process, and tests share one
    keep(with_layer(keras.layers.RandomTranslation(0.4, 0.4, seed=1)), ["cat", "dog", "owl"])

    def typed(form: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["export", form])
        capsys.readouterr()
        code: object = 0
        try:
            run(export.main)
        except SystemExit as end:
            code = end.code
        return (code, *capsys.readouterr())

    return typed


@pytest.mark.parametrize("form", FORMS)
def test_the_file_answers_as_the_network_does_when_it_does_not_train_and_says_what_a_picture_needs(command, form: str):
    code, printed, error = command(form)
    assert (code, error) == (0, "")
    assert f"models/{form}/{export.FILES[form]} answers as models/model.keras for 12 of 12 test images" in printed
    images = keep(archive.load().model, ["cat", "dog", "owl"])
    expected = inference.probabilities(archive.load().model, images)
    answers = export.READ[form](Path("models") / form / export.FILES[form])(images)
    np.testing.assert_allclose(answers, expected, atol=1e-6)
    said = json.loads((Path("models") / form / "model.json").read_text())
    assert (said["classes"], said["framing"]) == (["cat", "dog", "owl"], "whole")
    assert (said["height"], said["width"], said["channels"], said["color"]) == (8, 8, 3, True)
    assert said["picture"][0].startswith("red, green, blue")
    assert said["picture"][-1] == "divided by 255"
    assert said["proven"]["test_images"] == said["proven"]["same_answers"] == 12


def test_a_digit_is_framed_as_mnist_frames_it():
    said = export.steps(Task(["0", "1"], "digit"), (28, 28, 1))
    assert [word for word in ("ink", "20 pixels", "center of mass") if word in " ".join(said)] == [
        "ink", "20 pixels", "center of mass"
    ]  # fmt: skip


def test_a_file_that_answers_otherwise_is_not_written_and_leaves_what_was_there(command, monkeypatch):
    assert command("savedmodel")[0] == 0
    before = Path("models/savedmodel/model.json").read_bytes()
    monkeypatch.setitem(export.READ, "savedmodel", lambda _: lambda images: np.eye(3)[np.zeros(len(images), int)])
    code, printed, said = command("savedmodel")
    assert (code, printed) == (1, "")
    assert said.startswith("error: savedmodel answers otherwise than models/model.keras:")
    assert Path("models/savedmodel/model.json").read_bytes() == before
    assert sorted(path.name for path in Path("models").iterdir()) == ["model.keras", "savedmodel"]


def test_what_is_not_a_number_proves_nothing():
    images = np.zeros((2, 8, 8, 1), np.float32)
    with pytest.raises(Refusal, match="up to nan apart"):
        export.prove("onnx", lambda _: np.full((2, 3), np.nan), images, np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("form", [FORMS[1]])
def test_a_layer_for_which_the_format_has_no_operation_is_refused_in_a_sentence(command, form: str):
    keep(with_layer(keras.layers.UpSampling2D(interpolation="bicubic")), ["cat", "dog", "owl"])
    code, printed, said = command(form)
    assert (code, printed) == (1, "")
    assert said.startswith(f"error: {form} cannot hold this network: ")
    assert said.count("\n") == 1
    assert not (Path("models") / form).exists()


def test_a_missing_package_is_named_with_what_installs_it(command, monkeypatch):
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    said = "error: tf2onnx is not installed, and onnx needs it: make export-installed\n"
    assert command("onnx") == (1, "", said)


def test_without_test_images_nothing_is_proven(command):
    write_split("test", np.empty((0, 8, 8, 3), np.float32), np.empty(0, np.uint8))
    code, _, said = command("savedmodel")
    assert code == 1
    assert "data/prepared/test_images.npy holds no image" in said


@pytest.mark.torture
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_taken_out_in_color_and_with_many_classes(command, form: str, name: str):
    keras.utils.set_random_seed(1)
    keep(build(name, NETWORKS[name], (32, 32, 3), 40), [f"class {number}" for number in range(40)])
    assert command(form)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("side", "classes"), [(28, 10), pytest.param(64, 2, marks=pytest.mark.torture)])
def test_a_network_can_be_taken_out_in_grey(command, form: str, side: int, classes: int):
    keras.utils.set_random_seed(1)
    keep(build("x", NETWORKS["few-pictures"], (side, side, 1), classes), [str(number) for number in range(classes)])
    assert command(form)[0] == 0
