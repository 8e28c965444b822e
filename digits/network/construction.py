"""A network from its description to a Keras model and its optimizer, and what the model is made of."""

import difflib
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from digits.foundation.command import Refusal
from digits.foundation.parameters import KerasObject, Network
from digits.network.tensorflow import keras, tf
from digits.network.vocabulary import ALLOWED, check_arguments, check_class, check_outputs


def build(name: str, network: Network, shape: tuple[int, ...], classes: int) -> keras.Sequential:
    """Make the network's layers.

    Args:
        name: its key under `networks` in params.yaml, for what is said of a mistake.
        network: its description, where the word `classes` may stand for the number of units or filters.
        shape: of an image: height, width, channels.
        classes: how many to tell apart.

    Raises:
        Refusal: Keras has no such layer, refuses its arguments or cannot put it behind the one before, the layer or
            an argument is not in the vocabulary, or the network does not end in logits or a softmax of the classes,
            or gives none for an image.
    """
    model = keras.Sequential([keras.Input(shape)], name="network")
    for index, described in enumerate(network.layers):
        key = f"networks.{name}.layers.{index}"
        layer = _with_units_for(classes, described)
        made = _try(key, layer, lambda: _make(keras.layers, layer))  # noqa: B023
        _try(key, layer, lambda: model.add(made), f" for images of {' x '.join(map(str, shape))}")  # noqa: B023
    if model.output_shape != (None, classes):
        raise Refusal(
            f"params.yaml: networks.{name}.layers end in the shape {model.output_shape[1:]} an image, "
            f"expected ({classes},): a logit or a probability for each class; `units: classes` fits every dataset"
        )
    check_outputs(model, f"params.yaml: networks.{name}.layers")
    try:
        _answer(model, shape)
    except Exception as error:  # RandomCrop, for one, has its shape in training alone
        raise Refusal(f"params.yaml: networks.{name}.layers cannot answer for an image: {reason(error)}") from error
    return model


def _answer(model: keras.Sequential, shape: tuple[int, ...]) -> None:
    """Find out by a graph whether the model answers for an image: to compute bfloat16 may end the process (oneDNN)."""
    graph = tf.function(lambda images: model(images, training=False), autograph=False)
    graph.get_concrete_function(tf.TensorSpec((1, *shape)))


def build_optimizer(name: str, network: Network, model: keras.Sequential, steps: int) -> keras.optimizers.Optimizer:
    """Make the network's optimizer for the model, its learning rate constant or along one cycle of that many steps.

    Raises:
        Refusal: Keras has no such optimizer or refuses its arguments, or it is not in the vocabulary.
    """

    def make() -> keras.optimizers.Optimizer:
        made = _make(keras.optimizers, network.optimizer)
        if network.one_cycle:
            peak = network.optimizer.arguments.get("learning_rate", float(made.learning_rate))
            schedule = {"learning_rate": one_cycle(peak, network.one_cycle.warm_up, steps)}
            arguments = network.optimizer.arguments | schedule
            made = _make(keras.optimizers, KerasObject(name=network.optimizer.name, arguments=arguments))
        made.build(model.trainable_variables)
        return made

    return _try(f"networks.{name}.optimizer", network.optimizer, make)


def one_cycle(peak: float, warm_up: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """A learning rate that rises to its peak over a share of the steps, then falls along half a cosine to near zero."""
    rising = round(warm_up * steps)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=peak / 25 if rising else peak,
        warmup_target=peak if rising else None,
        warmup_steps=rising,
        decay_steps=max(steps - rising, 1),
        alpha=0.001,
    )


def _with_units_for(classes: int, layer: KerasObject) -> KerasObject:
    numbers = {key: classes for key in ("units", "filters") if layer.arguments.get(key) == "classes"}
    return KerasObject(name=layer.name, arguments=layer.arguments | numbers)


def _make(module: ModuleType, description: KerasObject) -> Any:
    path = module.__name__.removesuffix(".api")
    found = getattr(module, description.name, None)
    if not isinstance(found, type):
        close = difflib.get_close_matches(description.name, ALLOWED[path])
        hint = f"; close to it are {', '.join(close)}" if close else ""
        raise ValueError(f"{path} has no class of that name{hint}")
    check_class(path, found.__name__)
    check_arguments(description.arguments)
    return found(**description.arguments)


def _try(key: str, description: KerasObject, make: Callable[[], Any], where: str = "") -> Any:
    """What `make` gives; what Keras says against the description goes to the person who wrote it."""
    try:
        return make()
    except Exception as error:  # each layer has its own ways to refuse: ValueError, TypeError, tf.errors.OpError, ...
        arguments = f" with {description.arguments}" if description.arguments else ""
        raise Refusal(
            f"params.yaml: {key}: {description.name}{arguments} cannot be made{where}: {reason(error)}"
        ) from error


def reason(error: Exception) -> str:
    """What Keras or TensorFlow says is wrong, in a line: the last part, where they tell of what led there."""
    said = re.sub(r"\x1b\[\d*m", "", str(error)).strip() or type(error).__name__  # without Keras's bold type
    if said.startswith("in user code"):
        said = said.splitlines()[-1]
    said = said.rpartition("Exception encountered: ")[2]
    return f"{' '.join(said.split()):.300}"


def layer_table(model: keras.Sequential) -> pd.DataFrame:
    """The network's layers: their class, the shape that each gives for an image, and its number of parameters."""
    return pd.DataFrame(
        {
            "layer": [type(layer).__name__ for layer in model.layers],
            "output": [" x ".join(map(str, layer.output.shape[1:])) for layer in model.layers],
            "parameters": [layer.count_params() for layer in model.layers],
        }
    )


def first_kernel(model: keras.Sequential) -> np.ndarray:
    """The first trainable weights with inputs and outputs, as Keras shapes them; of shape (0, 0) where none have."""
    kernels = (weight.numpy() for weight in model.trainable_weights if len(weight.shape) > 1)
    return next(kernels, np.empty((0, 0), np.float32))
