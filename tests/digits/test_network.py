import zipfile
from pathlib import Path

import numpy as np
import pytest

from digits import network as networks
from digits.command import Refusal
from digits.parameters import KerasObject, Network, OneCycle
from digits.tensorflow import keras

FLATTEN = KerasObject(name="Flatten", arguments={})
LOGITS = KerasObject(name="Dense", arguments={"units": 10})
SOFTMAX = KerasObject(name="Dense", arguments={"units": 10, "activation": "softmax"})
SGD = KerasObject(name="SGD", arguments={"learning_rate": 0.1})


def described(*layers: KerasObject, optimizer: KerasObject = SGD, one_cycle: OneCycle | None = None) -> Network:
    arguments = [{layer.name: layer.arguments} for layer in layers]
    return Network(
        layers=arguments, optimizer={optimizer.name: optimizer.arguments}, one_cycle=one_cycle, epochs=1, batch_size=8
    )


def some_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 28, 28), np.float32)


def test_relu_256_128_128_has_its_published_number_of_parameters():
    relu = [KerasObject(name="Dense", arguments={"units": units, "activation": "relu"}) for units in (256, 128, 128)]
    assert networks.build("x", described(FLATTEN, *relu, LOGITS)).count_params() == 251_658


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (KerasObject(name="Dens", arguments={}), "Dens cannot be made: keras.layers has no class of that name.*Dense"),
        (KerasObject(name="__loader__", arguments={}), "__loader__ cannot be made: keras.layers has no class"),
        (KerasObject(name="Dense", arguments={"unit": 3}), "Dense with {'unit': 3} cannot be made"),
        (KerasObject(name="Dense", arguments={"units": -3}), "Dense with {'units': -3} cannot be made"),
        (KerasObject(name="Dense", arguments={"units": 10**12}), "Dense with {'units': 1000000000000} cannot be made"),
        (KerasObject(name="LSTM", arguments={"units": 3, "activation": "wings"}), "LSTM with"),
        (KerasObject(name="Conv2D", arguments={"filters": 1, "kernel_size": 3}), "Conv2D with"),
        (KerasObject(name="Lambda", arguments={"function": "print"}), "Lambda with"),
    ],
)
def test_a_layer_that_keras_refuses_is_named_by_its_key(layer: KerasObject, said: str):
    with pytest.raises(Refusal, match=rf"^params.yaml: networks.x.layers.1: {said}"):
        networks.build("x", described(FLATTEN, layer, LOGITS))


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (KerasObject(name="Adamm", arguments={"learning_rate": 0.1}), "Adamm with .*Adam"),
        (KerasObject(name="Adam", arguments={"learning_rate": 0.1, "wings": 2}), "Adam with .*wings"),
    ],
)
def test_an_optimizer_that_keras_refuses_is_named_by_its_key(optimizer: KerasObject, said: str):
    with pytest.raises(Refusal, match=rf"^params.yaml: networks.x.optimizer: {said}"):
        networks.build_optimizer("x", described(FLATTEN, LOGITS, optimizer=optimizer), LINEAR, steps=10)


@pytest.mark.parametrize("layers", [[FLATTEN], [LOGITS], [FLATTEN, KerasObject(name="Dense", arguments={"units": 11})]])
def test_a_network_of_other_than_ten_classes_is_refused(layers: list[KerasObject]):
    with pytest.raises(Refusal, match=r"networks.x.layers end in the shape .* expected \(10,\)"):
        networks.build("x", described(*layers))


def test_one_cycle_rises_to_the_optimizers_rate_and_falls_to_near_zero():
    schedule = networks.build_optimizer(
        "x", described(FLATTEN, LOGITS, one_cycle=OneCycle(warm_up=0.25)), steps=100
    )._learning_rate
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == rates[25] == pytest.approx(0.1)
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert rates[100] == pytest.approx(0.1 / 1000)


def test_one_cycle_without_warm_up_starts_at_the_optimizers_rate():
    schedule = networks.build_optimizer(
        "x", described(FLATTEN, LOGITS, one_cycle=OneCycle(warm_up=0)), steps=100
    )._learning_rate
    assert float(schedule(0)) == pytest.approx(0.1)
    assert float(schedule(100)) == pytest.approx(0.1 / 1000)


@pytest.mark.parametrize("last", [LOGITS, SOFTMAX])
def test_probabilities_are_such_whatever_the_network_ends_in(last: KerasObject):
    model = networks.build("x", described(FLATTEN, last))
    images = some_images(networks.FORWARD_BATCH + 1)
    found = networks.probabilities(model, images)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    expected = keras.ops.convert_to_numpy(model(images))
    if last is LOGITS:
        expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_same_model_is_saved_as_the_same_bytes_and_loads_back(tmp_path: Path):
    images = some_images(3)
    model = networks.build("x", described(FLATTEN, KerasObject(name="Dropout", arguments={"rate": 0.5}), LOGITS))
    networks.save(model, tmp_path / "one.keras")
    networks.save(model, tmp_path / "two.keras")
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    loaded = networks.load(tmp_path / "one.keras")
    np.testing.assert_array_equal(networks.probabilities(loaded, images), networks.probabilities(model, images))
    assert not list(tmp_path.glob("*.partial*"))


def test_keras_itself_loads_what_was_saved(tmp_path: Path):
    model = networks.build("x", described(FLATTEN, LOGITS))
    networks.save(model, tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").count_params() == 7_850


def test_a_missing_or_broken_model_is_refused(tmp_path: Path):
    path = tmp_path / "model.keras"
    with pytest.raises(Refusal, match=r"model.keras is missing; `dvc repro` trains it"):
        networks.load(path)
    for content in (b"", b"no zip", b"PK\5\6" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(Refusal, match="model.keras is no Keras model that can be read"):
            networks.load(path)


def test_a_model_of_other_images_is_refused(tmp_path: Path):
    keras.Sequential([keras.Input((5,)), keras.layers.Dense(10)]).save(tmp_path / "model.keras")
    with pytest.raises(Refusal, match=r"takes \(5,\) and gives \(10,\), expected \(28, 28\) and \(10,\)"):
        networks.load(tmp_path / "model.keras")


def test_a_model_that_brings_code_along_runs_none(tmp_path: Path):
    mark = tmp_path / "hacked"
    hostile = keras.Sequential(
        [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10), keras.layers.Lambda(_mark(str(mark)))]
    )
    mark.unlink(missing_ok=True)  # building the model runs the function once
    hostile.save(tmp_path / "model.keras")
    assert "__lambda__" in zipfile.ZipFile(tmp_path / "model.keras").read("config.json").decode()
    with pytest.raises(Refusal, match="is no Keras model that can be read"):
        networks.load(tmp_path / "model.keras")
    assert not mark.exists()


def _mark(path: str):
    return lambda x: (open(path, "w").close(), x)[1]  # noqa: PTH123


def test_layers_are_told_with_shapes_and_parameters():
    model = networks.build("x", described(FLATTEN, KerasObject(name="Dense", arguments={"units": 32}), LOGITS))
    assert networks.layer_table(model).to_csv(index=False) == (
        "layer,output,parameters\nFlatten,784,0\nDense,32,25120\nDense,10,330\n"
    )
    np.testing.assert_array_equal(networks.first_kernel(model), model.layers[1].kernel.numpy())
