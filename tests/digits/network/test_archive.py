"""Networks that were trained elsewhere, with Keras alone."""

from pathlib import Path

import numpy as np
import pytest

from digits.foundation import processor
from digits.foundation.command import Refusal
from digits.network import archive, inference
from digits.network.tensorflow import keras
from tests.conftest import DIGITS

LAYERS = keras.layers
IMAGES = np.random.default_rng(0).random((5, 28, 28, 1)).astype(np.float32)


def functional(shape: tuple[int, ...], *layers: keras.Layer) -> keras.Model:
    tensor = inputs = keras.Input(shape)
    for layer in layers:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor)


def sequential(shape: tuple[int, ...], *layers: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *layers])


@pytest.mark.parametrize("build", [functional, sequential])
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (784,)])
def test_it_answers_as_where_it_was_trained(tmp_path: Path, build, shape: tuple[int, ...]):
    model = build(shape, LAYERS.Flatten(), LAYERS.Dense(10, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "theirs.keras")
    found, assumed = archive.load_any(tmp_path / "theirs.keras")
    assert found.task == DIGITS
    assert assumed.endswith("taken for the digits 0 to 9, white on black as MNIST's, black 0 and white 1")
    expected = model.predict(IMAGES.reshape(5, *shape), verbose=0)
    np.testing.assert_allclose(inference.probabilities(found.model, IMAGES), expected, atol=1e-6)


def test_one_that_rescales_bytes_gets_bytes(tmp_path: Path):
    model = sequential((28, 28), LAYERS.Rescaling(1 / 255), LAYERS.Flatten(), LAYERS.Dense(7, activation="softmax"))
    model.save(tmp_path / "theirs.keras")
    found, assumed = archive.load_any(tmp_path / "theirs.keras")
    assert assumed.endswith("the digits 0 to 6, white on black as MNIST's, black 0 and white 255")
    expected = model.predict(IMAGES[..., 0] * 255, verbose=0)
    np.testing.assert_allclose(inference.probabilities(found.model, IMAGES), expected, atol=1e-6)


def test_one_of_this_projects_own_is_taken_as_it_says(tmp_path: Path):
    model = sequential((28, 28, 1), LAYERS.Flatten(), LAYERS.Dense(10))
    archive.save(archive.Classifier(model, DIGITS), tmp_path / "ours.keras")
    assert archive.load_any(tmp_path / "ours.keras")[1] == ""


def branching() -> keras.Model:
    inputs = keras.Input((28, 28))
    flat = LAYERS.Flatten()(inputs)
    return keras.Model(inputs, LAYERS.Add()([LAYERS.Dense(10)(flat), LAYERS.Dense(10)(flat)]))


def two_headed() -> keras.Model:
    inputs = keras.Input((784,))
    return keras.Model(inputs, [LAYERS.Dense(10)(inputs), LAYERS.Dense(10)(inputs)])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: sequential((28, 28, 3), LAYERS.Flatten(), LAYERS.Dense(10)), r"takes \(28, 28, 3\) and gives \(10,\)"),
        (lambda: sequential((784,), LAYERS.Dense(1)), r"takes \(784,\) and gives \(1,\), expected .*\(classes,\)"),
        (lambda: sequential((784,), LAYERS.Dense(10, activation="sigmoid")), "is Dense with the activation sigmoid"),
        (lambda: functional((28, 28), LAYERS.Lambda(abs), LAYERS.Flatten(), LAYERS.Dense(10)), "Lambda of keras.layer"),
        (
            lambda: keras.Sequential([LAYERS.Flatten(), LAYERS.Dense(10)]),
            "it is not built; fit it, or begin it",
        ),
        (branching, "Add of keras.layers stands where"),
        (two_headed, "has 1 inputs and 2 outputs, expected one of each"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(tmp_path: Path, model, said: str):
    model().save(tmp_path / "theirs.keras")
    with pytest.raises(Refusal, match=rf"theirs.keras.*{said}") as refused:
        archive.load_any(tmp_path / "theirs.keras")
    assert "\n" not in str(refused.value)


def test_other_files_are_refused_and_say_what_keras_writes(tmp_path: Path):
    (tmp_path / "old.h5").write_bytes(b"\x89HDF")
    with pytest.raises(Refusal, match=r"it is no whole .keras file, such as Keras writes by model.save"):
        archive.load_any(tmp_path / "old.h5")
    with pytest.raises(Refusal, match=r"none.keras is missing"):
        archive.load_any(tmp_path / "none.keras")


def test_the_pipeline_takes_no_network_that_does_not_say_what_it_tells_apart(tmp_path: Path):
    sequential((28, 28, 1), LAYERS.Flatten(), LAYERS.Dense(10)).save(tmp_path / "theirs.keras")
    with pytest.raises(Refusal, match="does not say what it tells apart, as the networks that `dvc repro` trains do"):
        archive.load(tmp_path / "theirs.keras")


@pytest.mark.parametrize(("dtype", "half"), [("float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_half_precision_is_asked_where_processors_may_differ(tmp_path: Path, dtype: str, half: str, monkeypatch):
    """Elsewhere oneDNN may end the process, without a sentence."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(processor, "shortcoming", lambda: None)  # a Mac allows it
    hidden = sequential((28, 28), LAYERS.Flatten(), LAYERS.Dense(20, dtype=dtype, name="half"))
    functional((28, 28), hidden, LAYERS.Dense(10)).save("theirs.keras")
    with pytest.raises(Refusal, match=f"theirs.keras: half computes {half}, .* `instructions: native` in params.yaml"):
        archive.load_any(Path("theirs.keras"))
    Path("params.yaml").write_text("instructions: native\n")
    assert archive.load_any(Path("theirs.keras"))[0].task == DIGITS
