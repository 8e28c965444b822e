"""A network that was trained elsewhere, by Keras alone, as far as it can be told what it takes and gives."""

from pathlib import Path

import numpy as np

from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.network import archive
from digits.network.archive import Classifier
from digits.network.tensorflow import keras
from digits.network.vocabulary import check_outputs

SIDE = 28  # pixels, of MNIST's images
TAKEN = [(SIDE, SIDE, 1), (SIDE, SIDE), (SIDE * SIDE,)]
FROM_BYTES = 0.1  # a Rescaling of less, such as 1 / 255, takes pixels from 0 to 255


def load(path: Path) -> tuple[Classifier, str]:
    """Read a network of this project, or a plain Keras model of MNIST's images; no code that it may bring along is run.

    Returns:
        It, and what had to be assumed, in words; nothing if it is this project's own.

    Raises:
        Refusal: there is no file, or it is no model of such images to a logit or a probability for each class.
    """
    if path == archive.PATH:
        return archive.load(), ""
    if not path.is_file():
        raise Refusal(f"{path} is missing")
    model, told = archive.read(path)
    if told is not None:
        return archive.load(path), ""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise Refusal(f"{path} has {len(model.inputs)} inputs and {len(model.outputs)} outputs, expected one of each")
    taken, given = model.inputs[0].shape[1:], model.outputs[0].shape[1:]
    if taken not in TAKEN or len(given) != 1 or given[0] < 2:
        expected = f"{', '.join(map(str, TAKEN[:-1]))} or {TAKEN[-1]}, and (classes,)"
        raise Refusal(f"{path} takes {taken} and gives {given}, expected {expected}")
    check_outputs(model, f"{path}: layers")
    scales = [np.max(np.abs(layer.scale)) for layer in model.layers if isinstance(layer, keras.layers.Rescaling)]
    white = 255 if any(scale < FROM_BYTES for scale in scales) else 1
    whole = keras.Sequential([
        keras.Input((SIDE, SIDE, 1)), keras.layers.Rescaling(white), keras.layers.Reshape(taken), model
    ])  # fmt: skip
    classes = [str(number) for number in range(given[0])]
    return Classifier(whole, Task(classes, "digit")), (
        f"{path} does not say what it tells apart: taken for the digits 0 to {classes[-1]}, "
        f"white on black as MNIST's, black 0 and white {white}"
    )
