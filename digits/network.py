"""A network, from its description to a Keras model, to a file, and back.

TensorFlow takes seconds to import, so only what needs a network imports this module.
"""

import difflib
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter
from scipy.special import log_softmax

from digits import caches, processor
from digits.command import Refusal
from digits.files import release, write_bytes
from digits.parameters import KerasObject, Network
from digits.processor import Instructions
from digits.task import Task
from digits.tensorflow import keras, tf
from digits.vocabulary import ALLOWED, check_arguments, check_class, check_outputs, check_saved

PATH = Path("models/model.keras")
METADATA = "metadata.json"  # within the archive: here stand the classes' names and the pictures' framing too
FORWARD_BATCH = 1000  # images; measured on 2 cores, 500 to 2,000 are equally fast


def compute_reproducibly(seed: int, threads: int, instructions: Instructions) -> None:
    """Fix what a result depends on besides data and network. To be called once, before anything is computed.

    Args:
        seed: of the initial weights and of every random layer.
        threads: how many share a sum out among them, whatever the number of cores: the bytes depend on it.
        instructions: what they may compute with. For avx2, caches count as equally large on each processor, and
            Grappler changes no graph: it makes RSQRTPS of x / sqrt(y), another number on another processor.

    Raises:
        Refusal: the process began for other instructions, or TensorFlow is another than the pinned one.
    """
    if processor.chosen_instructions(processor.PARAMETERS) != instructions:
        raise Refusal(
            f"params.yaml: instructions is {instructions!r} in a form that was overlooked when the process began, "
            f"expected a line `instructions: {instructions}`"
        )
    keras.utils.set_random_seed(seed)
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    if instructions == "avx2" and not processor.shortcoming():
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        try:
            caches.fix_cache_sizes(Path(tf.__file__).parent / "libtensorflow_cc.so.2")
        except caches.UnknownLibraryError as error:
            raise Refusal(f"{error}, expected TensorFlow as requirements.txt pins it") from error


@dataclass(frozen=True)
class Classifier:
    """A trained network, and what it tells apart."""

    model: keras.Sequential
    task: Task


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
        _try(key, layer, lambda: model.add(_make(keras.layers, layer)))  # noqa: B023
    if model.output_shape != (None, classes):
        raise Refusal(
            f"params.yaml: networks.{name}.layers end in the shape {model.output_shape[1:]} an image, "
            f"expected ({classes},): a logit or a probability for each class; `units: classes` fits every dataset"
        )
    check_outputs(model, f"params.yaml: networks.{name}.layers")
    try:
        model(tf.zeros((1, *shape)), training=False)
    except Exception as error:  # RandomCrop, for one, has its shape in training alone
        raise Refusal(f"params.yaml: networks.{name}.layers cannot answer for an image: {reason(error)}") from error
    return model


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


def _try(key: str, description: KerasObject, make: Callable[[], Any]) -> Any:
    """What `make` gives; what Keras says against the description goes to the person who wrote it."""
    try:
        return make()
    except Exception as error:  # each layer has its own ways to refuse: ValueError, TypeError, tf.errors.OpError, ...
        arguments = f" with {description.arguments}" if description.arguments else ""
        raise Refusal(f"params.yaml: {key}: {description.name}{arguments} cannot be made: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What Keras or TensorFlow says is wrong, in a line: the last one, where they tell of the code that led there."""
    said = re.sub(r"\x1b\[\d*m", "", str(error)).strip() or type(error).__name__  # without Keras's bold type
    if said.startswith("in user code"):
        said = said.splitlines()[-1]
    return f"{' '.join(said.split()):.300}"


def logits(model: keras.Sequential, images: tf.Tensor, training: bool) -> tf.Tensor:
    """What the model gives for images, as logits of shape (n, classes): for a final softmax, what goes into it.

    A probability holds less than its logit: it is 0 or 1 long before the logit ends. To be called in a tf.function,
    where a tensor knows how it is computed.
    """
    outputs = model(images, training=training)
    return outputs.op.inputs[0] if outputs.op.type == "Softmax" else outputs


def compiled(model: keras.Sequential) -> Callable[[np.ndarray], np.ndarray]:
    """Compile the model once, for many calls: gives what `log_probabilities` does of images alone."""

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32)], autograph=False)
    def forward(batch: tf.Tensor) -> tf.Tensor:
        return logits(model, batch, training=False)

    def log_probabilities(images: np.ndarray) -> np.ndarray:
        if images.shape[1:] != model.input_shape[1:]:
            raise Refusal(f"the network takes images of {model.input_shape[1:]}, these are of {images.shape[1:]}")
        parts = []
        for start in range(0, len(images), FORWARD_BATCH):
            parts.append(forward(images[start : start + FORWARD_BATCH]).numpy())
            release(images)
        outputs = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise Refusal("the network gives for an image what is not a number; train it with a lower learning_rate")
        return log_softmax(outputs, axis=1)

    return log_probabilities


def log_probabilities(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """How probable the model finds each class, as a logarithm: a probability itself ends at 1e-308.

    Args:
        model: as `build` or `load` gives it.
        images: float32 of shape (n, height, width, channels) in [0, 1].

    Returns:
        float64 of shape (n, classes), rows whose exponentials sum to 1.

    Raises:
        Refusal: the model takes images of another shape, or gives for an image what are no numbers.
    """
    return compiled(model)(images)


def probabilities(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """The exponentials of `log_probabilities`: float64 of shape (n, classes), rows that sum to 1."""
    return np.exp(log_probabilities(model, images))


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


def save(classifier: Classifier, path: Path = PATH) -> None:
    """Write the model as a .keras archive whose bytes depend on its layers, weights and classes alone.

    Keras writes the date into metadata.json and into the zip's entries, and memory addresses into config.json, so that
    the same model has another hash on every save (keras#15143). Here the dates are constant and objects are numbered.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model.keras"
        classifier.model.save(saved)
        lasting = io.BytesIO()
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(lasting, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name.endswith(".json"):
                    more = {"task": asdict(classifier.task)} if name == METADATA else {}
                    content = _without_chance(json.loads(content) | more)
                target.writestr(zipfile.ZipInfo(name), content)  # a ZipInfo's own time is 1980-01-01
    write_bytes(path, lasting.getvalue())


def _without_chance(content: dict[str, Any]) -> bytes:
    """Keras's JSON without its date, and with 1, 2, 3 for the addresses of shared objects."""
    numbers: dict[int, int] = {}

    def settle(entry: dict[str, Any]) -> dict[str, Any]:
        entry.pop("date_saved", None)
        if "shared_object_id" in entry:
            entry["shared_object_id"] = numbers.setdefault(entry["shared_object_id"], len(numbers) + 1)
        return entry

    return json.dumps(json.loads(json.dumps(content), object_hook=settle), sort_keys=True).encode()


def load(path: Path = PATH) -> Classifier:
    """Read what `save` wrote, running no code that the file may bring along.

    Raises:
        Refusal: there is no file, or it is no such model from images to a logit or a probability for each class.
    """
    if not path.is_file():
        raise Refusal(f"{path} is missing; `dvc repro` trains it")
    try:
        with zipfile.ZipFile(path) as archive:
            check_saved(json.loads(archive.read("config.json")) | {"compile_config": None})
            task = TypeAdapter(Task).validate_json(
                json.dumps(json.loads(archive.read(METADATA)).get("task")), strict=True
            )
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a broken archive surfaces as whatever Keras, zipfile, h5py or json meets first
        raise Refusal(f"{path} is no Keras model that can be read: {reason(error)}") from error
    taken, given = model.input_shape[1:], model.output_shape[1:]
    if len(taken) != 3 or taken[2] not in {1, 3} or given != (len(task.classes),):
        raise Refusal(
            f"{path} takes {taken} and gives {given}, expected (height, width, 1 or 3) and ({len(task.classes)},)"
        )
    check_outputs(model, f"{path}: layers")
    return Classifier(model, task)
