"""A trained network to a file, and back."""

import inspect
import io
import json
import operator
import tempfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from digits.data.task import Task
from digits.foundation import processor
from digits.foundation.command import Refusal
from digits.foundation.files import write_bytes
from digits.network.construction import reason
from digits.network.tensorflow import HALVES, keras
from digits.network.vocabulary import check_outputs, check_saved

PATH = Path("models/model.keras")
BELONGS_TO = {"renorm_momentum": "renorm"}  # arguments that say nothing where the other is off
METADATA = "metadata.json"  # within the archive: here stand the classes' names and the pictures' framing too

SIDE = 28  # pixels, of MNIST's images
TAKEN = [(SIDE, SIDE, 1), (SIDE, SIDE), (SIDE * SIDE,)]
FROM_BYTES = 0.1  # a Rescaling of less, such as 1 / 255, takes pixels from 0 to 255


@dataclass(frozen=True)
class Classifier:
    """A trained network, and what it tells apart."""

    model: keras.Sequential
    task: Task


def save(classifier: Classifier, path: Path = PATH) -> None:
    """Write the model as a .keras archive whose bytes depend on its layers, weights and classes alone.

    Keras writes the date into metadata.json and into the zip's entries, and memory addresses into config.json, so that
    the same model has another hash on every save (keras#15143). Here the dates are constant and objects are numbered.
    And Keras writes every argument, also those that no release before its own takes: here what is off, as it is unless
    somebody asks for it, is left out, so that older releases read the file.
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
                    content = _lasting(json.loads(content) | more)
                target.writestr(zipfile.ZipInfo(name), content)  # a ZipInfo's own time is 1980-01-01
    write_bytes(path, lasting.getvalue())


def _lasting(content: dict[str, Any]) -> bytes:
    """Keras's JSON without its date and without what is off, and with 1, 2, 3 for the addresses of shared objects."""
    numbers: dict[int, int] = {}

    def settle(entry: dict[str, Any]) -> dict[str, Any]:
        entry.pop("date_saved", None)
        if "shared_object_id" in entry:
            entry["shared_object_id"] = numbers.setdefault(entry["shared_object_id"], len(numbers) + 1)
        if entry.get("module") and isinstance(entry.get("config"), dict):
            kind = operator.attrgetter(f"{entry['module']}.{entry['class_name']}".removeprefix("keras."))(keras)
            entry["config"] = _without_what_is_off(kind, entry["config"])
        return entry

    return json.dumps(json.loads(json.dumps(content), object_hook=settle), sort_keys=True).encode()


def _without_what_is_off(kind: type, config: dict[str, Any]) -> dict[str, Any]:
    defaults = inspect.signature(kind).parameters
    switches = [name for name, value in config.items() if value is None or value is False]
    off = {name for name in switches if name in defaults and defaults[name].default is config[name]}
    return {name: value for name, value in config.items() if name not in off and BELONGS_TO.get(name) not in off}


def load(path: Path = PATH) -> Classifier:
    """Read what `save` wrote, running no code that the file may bring along.

    Raises:
        Refusal: there is no file, or it is no such model from images to a logit or a probability for each class.
    """
    if not path.is_file():
        raise Refusal(f"{path} is missing; `dvc repro` trains it")
    model, told = read(path)
    if told is None:
        raise Refusal(f"{path} does not say what it tells apart, as the networks that `dvc repro` trains do")
    try:
        task = TypeAdapter(Task).validate_json(json.dumps(told), strict=True)
    except ValidationError as error:
        raise Refusal(f"{path} does not say what it tells apart: {reason(error)}") from error
    taken, given = model.input_shape[1:], model.output_shape[1:]
    if len(taken) != 3 or taken[2] not in {1, 3} or given != (len(task.classes),):
        raise Refusal(
            f"{path} takes {taken} and gives {given}, expected (height, width, 1 or 3) and ({len(task.classes)},)"
        )
    check_outputs(model, f"{path}: layers")
    return Classifier(model, task)


def load_any(path: Path) -> tuple[Classifier, str]:
    """Read a network of this project, or a plain Keras model of MNIST's images; no code that it may bring along is run.

    Returns:
        It, and what had to be assumed, in words; nothing if it is this project's own.

    Raises:
        Refusal: there is no file, or it is no model of such images to a logit or a probability for each class.
    """
    if path == PATH:
        return load(), ""
    if not path.is_file():
        raise Refusal(f"{path} is missing")
    model, told = read(path)
    if told is not None:
        return load(path), ""
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


def read(path: Path) -> tuple[keras.Model, object]:
    """The model of a .keras archive, and what that says of its task: None where Keras alone wrote it.

    Nothing that the file may bring along is run: it may name no class but those of the vocabulary, what it was compiled
    with is left alone, and Keras's safe mode is on.

    Raises:
        Refusal: it holds anything else, or not all of it, or computes in half precision under `instructions: avx2`.
    """
    written_by = ""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no whole .keras file, such as Keras writes by model.save('NAME.keras')")
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read(METADATA))
            if (version := metadata.get("keras_version")) != keras.__version__:
                written_by = f" (Keras {version} wrote it, this is {keras.__version__})"
            check_saved(json.loads(archive.read("config.json")) | {"compile_config": None})
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model) or not model.built:
            raise ValueError("it is not built; fit it, or begin it with keras.Input, before it is saved")
    except Exception as error:  # a broken archive surfaces as whatever Keras, zipfile, h5py or json meets first
        raise Refusal(f"{path} is no Keras model that can be read{written_by}: {reason(error)}") from error
    _check_precision(model, path)
    return model, metadata.get("task")


def _check_precision(model: keras.Model, path: Path) -> None:
    """Refuse what computes in half precision where that is not to be: on some processors oneDNN ends the process."""
    if not processor.is_alike_everywhere(processor.chosen_instructions(processor.PARAMETERS)):
        return
    for layer in model._flatten_layers():  # those within layers too
        if layer.compute_dtype in HALVES.values():
            raise Refusal(
                f"{path}: {layer.name} computes {layer.compute_dtype}, which two processors do differently; "
                "`instructions: native` in params.yaml allows it"
            )
