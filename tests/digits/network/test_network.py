import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from digits.foundation.command import Refusal
from digits.foundation.parameters import KerasObject, Network, OneCycle, read_parameters
from digits.network import archive, construction, inference
from digits.network.tensorflow import keras, tf
from tests.conftest import DIGITS, built

FLATTEN = KerasObject(name="Flatten", arguments={})
LOGITS = KerasObject(name="Dense", arguments={"units": 10})
SOFTMAX = KerasObject(name="Dense", arguments={"units": 10, "activation": "softmax"})
SGD = KerasObject(name="SGD", arguments={"learning_rate": 0.1})


def described(*layers: KerasObject, optimizer: KerasObject = SGD, one_cycle: OneCycle | None = None) -> Network:
    arguments = [{layer.name: layer.arguments} for layer in layers]
    return Network(
        layers=arguments, optimizer={optimizer.name: optimizer.arguments}, one_cycle=one_cycle, epochs=1, batch_size=8
    )


def optimizer_for(network: Network, steps: int) -> keras.optimizers.Optimizer:
    return construction.build_optimizer("x", network, built(network), steps)


def some_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 28, 28, 1), np.float32)


def test_relu_256_128_128_has_its_published_number_of_parameters():
    relu = [KerasObject(name="Dense", arguments={"units": units, "activation": "relu"}) for units in (256, 128, 128)]
    assert built(described(FLATTEN, *relu, LOGITS)).count_params() == 251_658


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (KerasObject(name="Dens", arguments={}), "Dens cannot be made: keras.layers has no class of that name.*Dense"),
        (KerasObject(name="__loader__", arguments={}), "__loader__ cannot be made: keras.layers has no class"),
        (KerasObject(name="Dense", arguments={"unit": 3}), "Dense with {'unit': 3} cannot be made"),
        (KerasObject(name="Dense", arguments={"units": -3}), "Dense with {'units': -3} cannot be made"),
        (
            KerasObject(name="Dense", arguments={"units": 10**16}),
            "Dense with {'units': 10000000000000000} cannot be made",
        ),
        (KerasObject(name="LSTM", arguments={"units": 3, "activation": "wings"}), "LSTM with"),
        (KerasObject(name="Conv3D", arguments={"filters": 1, "kernel_size": 3}), "Conv3D with"),
        (KerasObject(name="Lambda", arguments={"function": "print"}), "Lambda with .* it loads or runs what"),
        (KerasObject(name="Layer", arguments={}), "Layer cannot be made: it only says what a layer is"),
    ],
)
def test_a_layer_that_keras_refuses_is_named_by_its_key(layer: KerasObject, said: str):
    with pytest.raises(Refusal, match=rf"^params.yaml: networks.x.layers.1: {said}"):
        built(described(FLATTEN, layer, LOGITS))


def test_a_network_that_can_train_but_not_answer_is_refused():
    crop = KerasObject(name="RandomCrop", arguments={"height": 20, "width": 20})  # in training alone
    with pytest.raises(Refusal, match=r"^params.yaml: networks.x.layers cannot answer for an image: .*\(1, 784\)"):
        built(described(crop, FLATTEN, LOGITS))


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (KerasObject(name="Adamm", arguments={"learning_rate": 0.1}), "Adamm with .*Adam"),
        (KerasObject(name="Adam", arguments={"learning_rate": 0.1, "wings": 2}), "Adam with .*wings"),
        (
            KerasObject(name="Optimizer", arguments={"learning_rate": 0.1}),
            "Optimizer with .*only says what an optimizer",
        ),
        (
            KerasObject(name="LossScaleOptimizer", arguments={"learning_rate": 0.1}),
            "LossScale.* wraps other optimizers",
        ),
        (KerasObject(name="Muon", arguments={"learning_rate": 0.1, "exclude_layers": ["("]}), "Muon with .*position 0"),
    ],
)
def test_an_optimizer_that_keras_refuses_is_named_by_its_key(optimizer: KerasObject, said: str):
    with pytest.raises(Refusal, match=rf"^params.yaml: networks.x.optimizer: {said}"):
        optimizer_for(described(FLATTEN, LOGITS, optimizer=optimizer), steps=10)


@pytest.mark.parametrize("layers", [[FLATTEN], [LOGITS], [FLATTEN, KerasObject(name="Dense", arguments={"units": 11})]])
def test_a_network_of_other_than_ten_classes_is_refused(layers: list[KerasObject]):
    with pytest.raises(Refusal, match=r"networks.x.layers end in the shape .* expected \(10,\)"):
        built(described(*layers))


@pytest.mark.parametrize("classes", [2, 10, 47, 1000])
def test_the_word_classes_fits_a_network_to_any_dataset(classes: int):
    word = KerasObject(name="Dense", arguments={"units": "classes"})
    images = np.zeros((2, 20, 36, 3), np.float32)
    model = built(described(FLATTEN, word), shape=(20, 36, 3), classes=classes)
    assert inference.probabilities(model, images).shape == (2, classes)
    filters = KerasObject(name="Conv2D", arguments={"filters": "classes", "kernel_size": 3})
    pooled = KerasObject(name="GlobalAveragePooling2D", arguments={})
    assert built(described(filters, pooled), (20, 36, 3), classes).output_shape == (None, classes)


def test_ten_units_do_not_fit_other_classes():
    with pytest.raises(Refusal, match=r"end in the shape \(10,\) an image, expected \(47,\): .* `units: classes`"):
        built(described(FLATTEN, LOGITS), classes=47)


def test_images_too_small_for_a_network_are_named_with_the_layer_that_they_do_not_reach():
    layers = [KerasObject(name="Conv2D", arguments={"filters": 4, "kernel_size": 9})] * 2
    with pytest.raises(
        Refusal, match=r"networks.x.layers.1: Conv2D with .* cannot be made for images of 16 x 16 x 1: "
    ):
        built(described(*layers, FLATTEN, LOGITS), (16, 16, 1))


def test_images_of_another_shape_are_refused():
    model = built(described(FLATTEN, LOGITS))
    with pytest.raises(Refusal, match=r"takes images of \(28, 28, 1\), these are of \(28, 28, 3\)"):
        inference.probabilities(model, np.zeros((1, 28, 28, 3), np.float32))


def test_one_cycle_rises_to_the_optimizers_rate_and_falls_to_near_zero():
    schedule = optimizer_for(described(FLATTEN, LOGITS, one_cycle=OneCycle(warm_up=0.25)), steps=100)._learning_rate
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == rates[25] == pytest.approx(0.1)
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert rates[100] == pytest.approx(0.1 / 1000)


def test_one_cycle_without_warm_up_starts_at_the_optimizers_rate():
    schedule = optimizer_for(described(FLATTEN, LOGITS, one_cycle=OneCycle(warm_up=0)), steps=100)._learning_rate
    assert float(schedule(0)) == pytest.approx(0.1)
    assert float(schedule(100)) == pytest.approx(0.1 / 1000)


@pytest.mark.parametrize("last", [LOGITS, SOFTMAX])
def test_probabilities_are_such_whatever_the_network_ends_in(last: KerasObject):
    model = built(described(FLATTEN, last))
    images = some_images(inference.FORWARD_BATCH + 1)
    found = inference.probabilities(model, images)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    expected = keras.ops.convert_to_numpy(model(images))
    if last is LOGITS:
        expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_no_probability_can_hold_its_logarithm_holds():
    model = built(described(FLATTEN, SOFTMAX))
    model.set_weights([np.zeros((784, 10)), np.arange(10) * 1000])
    (found,) = inference.log_probabilities(model, some_images(1))
    np.testing.assert_allclose(found, np.arange(10) * 1000 - 9000)


def test_outputs_that_are_no_numbers_are_refused():
    model = built(described(FLATTEN, LOGITS))
    model.set_weights([np.full((784, 10), 1e38), np.zeros(10)])  # finite, and their sums are not
    with pytest.raises(Refusal, match="gives for an image what is not a number"):
        inference.probabilities(model, some_images(1))


def test_the_same_model_is_saved_as_the_same_bytes_and_loads_back(tmp_path: Path):
    images = some_images(3)
    model = built(described(FLATTEN, KerasObject(name="Dropout", arguments={"rate": 0.5}), LOGITS))
    archive.save(archive.Classifier(model, DIGITS), tmp_path / "one.keras")
    archive.save(archive.Classifier(model, DIGITS), tmp_path / "two.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    loaded = archive.load(tmp_path / "one.keras")
    assert loaded.task == DIGITS
    np.testing.assert_array_equal(inference.probabilities(loaded.model, images), inference.probabilities(model, images))
    assert not list(tmp_path.glob("*.partial*"))


def test_keras_itself_loads_what_was_saved(tmp_path: Path):
    model = built(described(FLATTEN, LOGITS))
    archive.save(archive.Classifier(model, DIGITS), tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").count_params() == 7_850


@pytest.mark.torture
@pytest.mark.parametrize("release", ["keras", "keras==3.14.0", "keras==3.10.0", "keras==3.5.0"])
def test_the_newest_release_of_keras_and_older_ones_load_each_network(release: str, tmp_path: Path):
    images, answers = some_images(5), {}
    for name, network in read_parameters().networks.items():
        if release == "keras==3.5.0" and any(layer.name == "RandomContrast" for layer in network.layers):
            continue  # which had no value_range then
        model = built(network)
        archive.save(archive.Classifier(model, DIGITS), tmp_path / f"{name}.keras")
        answers[name] = model(images, training=False).numpy()
    np.save(tmp_path / "images.npy", images)
    np.savez(tmp_path / "answers.npz", **answers)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", tmp_path / "library"]
    subprocess.run([*install, release], check=True)
    loads = """
import sys, keras, numpy as np
assert sys.argv[1] in keras.__file__
for name, expected in np.load("answers.npz").items():
    found = keras.saving.load_model(f"{name}.keras")(np.load("images.npy"), training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    print(name)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "library")}
    command = [sys.executable, "-c", loads, str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.split() == list(answers), run.stderr[-1000:]


def test_what_a_release_to_come_wrote_is_refused_with_its_version(tmp_path: Path):
    archive.save(archive.Classifier(built(described(FLATTEN, LOGITS)), DIGITS), tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as ours, zipfile.ZipFile(tmp_path / "new.keras", "w") as theirs:
        for name in ours.namelist():
            content = ours.read(name).replace(keras.__version__.encode(), b"9.0.0")
            theirs.writestr(name, content.replace(b'"units"', b'"wings": 2, "units"'))
    with pytest.raises(Refusal, match=rf"read \(Keras 9.0.0 wrote it, this is {keras.__version__}\): .*'wings'"):
        archive.load(tmp_path / "new.keras")


def test_a_missing_or_broken_model_is_refused(tmp_path: Path):
    path = tmp_path / "model.keras"
    with pytest.raises(Refusal, match=r"model.keras is missing; `dvc repro` trains it"):
        archive.load(path)
    for content in (b"", b"no zip", b"PK\5\6" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(Refusal, match="model.keras is no Keras model that can be read"):
            archive.load(path)


def test_a_model_of_other_images_is_refused(tmp_path: Path):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(10)])
    archive.save(archive.Classifier(model, DIGITS), tmp_path / "model.keras")
    with pytest.raises(Refusal, match=r"takes \(5,\) and gives \(10,\), expected \(height, width, 1 or 3\) and"):
        archive.load(tmp_path / "model.keras")


def test_a_model_whose_outputs_are_not_understood_is_refused(tmp_path: Path):
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, activation="sigmoid")]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    archive.save(archive.Classifier(model, DIGITS), tmp_path / "model.keras")
    with pytest.raises(Refusal, match=r"model.keras: layers.1 is Dense with the activation sigmoid, from which"):
        archive.load(tmp_path / "model.keras")


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("kind", ["Lambda", "TFSMLayer", "TimeDistributed"])
def test_a_model_that_brings_code_along_runs_none(tmp_path: Path, kind: str, safe: bool, monkeypatch):
    """Neither what Keras's safe mode stops, nor what it would let pass."""
    mark = tmp_path / "hacked"
    layers = [hostile_layer(kind, mark), keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential([keras.Input((28, 28)), *layers]).save(tmp_path / "model.keras")
    mark.unlink(missing_ok=True)  # making the model runs what it brings
    load = keras.saving.load_model
    monkeypatch.setattr(keras.saving, "load_model", lambda path, **_: load(path, compile=False, safe_mode=safe))
    with pytest.raises(Refusal, match=f"is no Keras model that can be read: {kind} of keras.layers stands where only"):
        archive.load(tmp_path / "model.keras")
    assert not mark.exists()


def hostile_layer(kind: str, mark: Path) -> keras.Layer:
    """A layer that writes a file when it is called."""
    if kind == "TFSMLayer":
        module = tf.Module()
        module.serve = tf.function(
            lambda x: (tf.io.write_file(str(mark), "hacked"), x)[1], input_signature=[tf.TensorSpec((None, 28, 28))]
        )
        tf.saved_model.save(module, str(mark.parent / "saved"), signatures={"serve": module.serve})
        return keras.layers.TFSMLayer(str(mark.parent / "saved"), call_endpoint="serve")
    path = str(mark)
    writing = keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1])  # noqa: PTH123
    return writing if kind == "Lambda" else keras.layers.TimeDistributed(writing)


def test_layers_are_told_with_shapes_and_parameters():
    model = built(described(FLATTEN, KerasObject(name="Dense", arguments={"units": 32}), LOGITS))
    assert construction.layer_table(model).to_csv(index=False) == (
        "layer,output,parameters\nFlatten,784,0\nDense,32,25120\nDense,10,330\n"
    )
    np.testing.assert_array_equal(construction.first_kernel(model), model.layers[1].kernel.numpy())


def test_of_an_image_in_several_views_the_mean_of_the_probabilities_is_said():
    found = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4]])
    views = [np.full((3, 1, 1, 1), 5.0), np.full((1, 1, 1, 1), 6.0)]

    def log_probabilities(images: np.ndarray) -> np.ndarray:
        assert images.ravel().tolist() == [5, 5, 5, 6]
        return np.log(found)

    means = inference.mean_probabilities(log_probabilities, views)
    np.testing.assert_allclose(means, [found[:3].mean(axis=0), found[3]])
