import re
from pathlib import Path

import numpy as np
import pytest

from digits.foundation.command import Refusal
from digits.foundation.parameters import Network
from digits.network import archive, inference, vocabulary
from digits.network.tensorflow import keras
from tests.conftest import DIGITS, built

IMAGE = {"Reshape": {"target_shape": [28, 28, 1]}}
FLATTEN, LOGITS = "Flatten", {"Dense": {"units": 10}}
GROUPS = (vocabulary.WEIGHTED_LAYERS, vocabulary.KEEPING_LAYERS, vocabulary.OTHER_LAYERS)


def described(*layers: object) -> Network:
    return Network(layers=list(layers), optimizer={"SGD": {"learning_rate": 0.1}}, epochs=1, batch_size=8)


def public(module: object, base: type) -> list[str]:
    """The names of Keras's own classes, each once."""
    return sorted(
        {kind.__name__ for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, base)}
    )


@pytest.mark.parametrize("name", public(keras.layers, keras.Layer))
def test_of_every_layer_somebody_has_said_whether_it_is_let_in_and_why(name: str):
    """A new version of Keras that brings a new layer fails here, until somebody has looked at it."""
    reasons = [group for group in GROUPS if name in group]
    reasons += [reason for reason, names in vocabulary.REFUSED_LAYERS.items() if name in names.split()]
    assert len(reasons) == 1


@pytest.mark.parametrize("name", public(keras.optimizers, keras.optimizers.Optimizer))
def test_of_every_optimizer_too(name: str):
    reasons = [reason for reason, names in vocabulary.REFUSED_OPTIMIZERS.items() if name in names.split()]
    assert (name in vocabulary.ALLOWED["keras.optimizers"]) + len(reasons) == 1


@pytest.mark.parametrize("module", vocabulary.IN_ARGUMENTS)
def test_of_every_class_that_arguments_may_name_too(module: str):
    base = {"initializers": "Initializer", "regularizers": "Regularizer", "constraints": "Constraint"}
    kinds = getattr(keras, module.removeprefix("keras."))
    abstract = base[module.removeprefix("keras.")]
    assert {*public(kinds, getattr(kinds, abstract))} == vocabulary.ALLOWED[module] | {abstract}


@pytest.mark.parametrize("name", [name for names in vocabulary.REFUSED_LAYERS.values() for name in names.split()])
def test_a_layer_that_is_not_let_in_is_refused_before_it_is_made(name: str, monkeypatch: pytest.MonkeyPatch):
    (alias,) = [alias for alias, kind in vars(keras.layers).items() if getattr(kind, "__name__", "") == name]
    never = {"__init__": lambda *_, **__: pytest.fail("it was made")}
    monkeypatch.setattr(keras.layers, alias, type(name, (getattr(keras.layers, alias),), never))
    reason = next(reason for reason, names in vocabulary.REFUSED_LAYERS.items() if name in names.split())
    with pytest.raises(Refusal, match=rf"^params.yaml: networks.x.layers.0: {alias} cannot be made: {reason}$"):
        built(described(alias, FLATTEN, LOGITS))


def test_an_alias_is_the_layer_that_it_means():
    model = built(described({"Convolution2D": {"filters": 2, "kernel_size": 3}}, FLATTEN, LOGITS))
    assert type(model.layers[0]) is keras.layers.Conv2D


FUNCTION = {"class_name": "function", "config": "relu", "module": "builtins", "registered_name": "relu"}
LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}}
HIDDEN = {"class_name": "Constant", "config": {"value": LAMBDA}}
LAYER = {"class_name": "Dense", "config": {"units": 3}, "module": "keras.layers"}


@pytest.mark.parametrize(
    ("argument", "value", "said"),
    [
        ("activation", FUNCTION, "function of builtins"),
        ("activation", LAYER, "Dense of keras.layers"),
        ("activation", LAMBDA, "__lambda__"),
        ("kernel_initializer", LAMBDA, "__lambda__"),
        ("kernel_initializer", HIDDEN, "__lambda__"),
        ("kernel_initializer", {"class_name": "Zeros", "config": {}, "module": "os"}, "Zeros of os"),
        ("kernel_initializer", {"class_name": "Zeros", "config": {}, "registered_name": "mine>Zeros"}, "Zeros"),
        ("kernel_initializer", {"class_name": ["Zeros"], "config": {}}, r"\['Zeros'\]"),
        ("kernel_initializer", {"class_name": "Identity", "config": {}, "module": "keras.layers"}, "Identity of keras"),
        ("kernel_constraint", {"class_name": "Mine", "config": {}, "module": "my.module"}, "Mine of my.module"),
        ("kernel_regularizer", [{"class_name": "Sequential", "config": {}}], "Sequential"),
        ("dtype", {"class_name": "DTypePolicyMap", "config": {}, "module": "keras"}, "DTypePolicyMap of keras"),
        ("quantization_config", {"class_name": "Int8QuantizationConfig", "config": {}}, "Int8QuantizationConfig"),
    ],
)
def test_arguments_name_only_initializers_regularizers_and_constraints_of_keras(
    argument: str, value: object, said: str
):
    dense = {"Dense": {"units": 3, argument: value}}
    with pytest.raises(Refusal, match=rf"networks.x.layers.1: Dense with .*: {said}.* stands where only Keras's own"):
        built(described(FLATTEN, dense, LOGITS))
    with pytest.raises(ValueError, match="stands where only Keras's own"):
        vocabulary.check_arguments({"learning_rate": 0.1, argument: value})


@pytest.mark.parametrize("dtype", ["int8_from_float32", "float8_from_float32", "int32", "wings", 7])
def test_what_keras_does_not_train_in_is_refused(dtype: object):
    with pytest.raises(Refusal, match=rf"Dense with .*: dtype is {dtype!r}, expected one of float16, float32"):
        built(described(FLATTEN, {"Dense": {"units": 3, "dtype": dtype}}, LOGITS))


@pytest.mark.parametrize("module", vocabulary.IN_ARGUMENTS)
def test_arguments_may_name_each_of_those(module: str, tmp_path: Path):
    argument = {"keras.initializers": "kernel_initializer", "keras.regularizers": "kernel_regularizer"}
    for name in vocabulary.ALLOWED[module]:
        value = {"class_name": name, "config": {"value": 0.1} if name == "Constant" else {}, "module": module}
        dense = {"Dense": {"units": 784 if name == "Identity" else 3, argument.get(module, "kernel_constraint"): value}}
        if name != "STFT":  # of the spectrogram's kernels alone
            archive.save(archive.Classifier(built(described(FLATTEN, dense, LOGITS)), DIGITS), tmp_path / "model.keras")
            archive.load(tmp_path / "model.keras")


@pytest.mark.parametrize(
    "end",
    [
        [LOGITS],
        [{"Dense": {"units": 10, "activation": "softmax"}}],
        [{"Dense": {"units": 10, "activation": "log_softmax"}}],
        [{"Dense": {"units": 10, "activation": "linear"}}],
        [LOGITS, "Softmax"],
        [LOGITS, {"Softmax": {"axis": 1}}],
        [LOGITS, {"Activation": {"activation": "softmax"}}],
        [LOGITS, {"Activation": {"activation": "log_softmax"}}],
        [LOGITS, "BatchNormalization"],
        [LOGITS, {"Dropout": {"rate": 0.5}}, {"Rescaling": {"scale": 3.0}}, {"Reshape": {"target_shape": [10]}}],
        [IMAGE, {"Conv2D": {"filters": 10, "kernel_size": 3}}, "GlobalAveragePooling2D"],
        [IMAGE, {"Conv2D": {"filters": 10, "kernel_size": 3}}, "GlobalAveragePooling2D", "Softmax"],
        [{"Reshape": {"target_shape": [28, 28]}}, {"LSTM": {"units": 10, "activation": "linear"}}],
        [{"EinsumDense": {"equation": "ab,bc->ac", "output_shape": 10, "activation": "softmax"}}],
    ],
    ids=str,
)
def test_a_network_ends_in_logits_or_a_softmax(end: list):
    model = built(described(FLATTEN, *end))
    images = np.random.default_rng(0).random((5, 28, 28, 1), np.float32)
    found, outputs = inference.log_probabilities(model, images), keras.ops.convert_to_numpy(model(images))
    expected = np.log(outputs) if vocabulary.ends_in_probabilities(model) else keras.ops.log_softmax(outputs)
    np.testing.assert_allclose(found, expected, atol=1e-4)


SOFTMAX = {"Dense": {"units": 10, "activation": "softmax"}}


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ([SOFTMAX, FLATTEN], "1 is Dense with the activation softmax"),
        ([SOFTMAX, {"Reshape": {"target_shape": [10]}}], "1 is Dense with the activation softmax"),
        ([LOGITS, "Softmax", FLATTEN], "2 is Softmax"),
        ([SOFTMAX, "Softmax", {"Dropout": {"rate": 0.5}}], "2 is Softmax"),
        ([LOGITS, {"Softmax": {"axis": 0}}], "2 is Softmax"),
        ([LOGITS, {"Softmax": {"axis": [0, 1]}}], "2 is Softmax"),
        *[([{"Dense": {"units": 10, "activation": name}}], f"1 is Dense with the activation {name}")
          for name in ("sigmoid", "relu", "tanh", "exponential", "softplus", "sparsemax")],
        ([LOGITS, "ReLU"], "2 is ReLU"),
        ([LOGITS, "PReLU"], "2 is PReLU"),
        ([LOGITS, {"Activation": {"activation": "sigmoid"}}], "2 is Activation with the activation sigmoid"),
        ([LOGITS, "ReLU", "BatchNormalization", "Identity"], "2 is ReLU"),
        ([IMAGE, {"Conv2D": {"filters": 10, "kernel_size": 3, "activation": "relu"}}, "GlobalMaxPooling2D"], "2 is C"),
        ([IMAGE, {"Conv2D": {"filters": 10, "kernel_size": 3, "activation": "softmax"}}, "GlobalMaxPool2D"], "2 is C"),
        ([{"Reshape": {"target_shape": [28, 28]}}, {"LSTM": {"units": 10}}], "2 is LSTM with the activation tanh"),
        ([{"Reshape": {"target_shape": [28, 28]}}, {"GRU": {"units": 10, "activation": "softmax"}}], "2 is GRU with"),
        ([{"Reshape": {"target_shape": [784, 1]}}, {"AdaptiveAveragePooling1D": {"output_size": 10}}, FLATTEN], "0 is"),
    ],
    ids=str,
)  # fmt: skip
def test_a_network_that_ends_in_something_else_is_refused(end: list, said: str):
    sentence = re.compile(
        rf"^params.yaml: networks.x.layers.{said}.*, from which the outputs come; expected a final softmax, or logits"
    )
    with pytest.raises(Refusal, match=sentence):
        built(described(FLATTEN, *end))


def test_a_mask_that_would_leave_images_out_is_refused():
    """`fit` takes the mean over what is not masked."""
    with pytest.raises(Refusal, match="networks.x.layers end in outputs of which a mask leaves some out"):
        built(described(FLATTEN, "Masking", LOGITS))
    built(described({"Reshape": {"target_shape": [28, 28]}}, "Masking", {"LSTM": {"units": 3}}, LOGITS))


@pytest.mark.parametrize("dtype", ["float16", "mixed_bfloat16", "float64"])
def test_the_outputs_are_of_32_bits_whatever_goes_before(dtype: str):
    hidden = {"Dense": {"units": 10, "dtype": dtype}}
    assert built(described(FLATTEN, hidden, LOGITS)).outputs[0].dtype == "float32"
    with pytest.raises(Refusal, match=r"networks.x.layers end in b?float\d\d, expected float32"):
        built(described(FLATTEN, hidden))
