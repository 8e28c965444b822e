"""Take the trained network out of here, as ONNX, LiteRT or SavedModel: `python -m commands.export FORMAT`.

Takes models/model.keras and the test images. Gives models/FORMAT: the network as Keras's `export` writes it, and
model.json, which says what it tells apart and what has to be done to a picture before it is asked. Whatever the network
ends in, the file gives probabilities, float32 of shape (n, classes). It is written once its own runtime has answered
for all test images as the network does.
"""

import argparse
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.data.prepared import read_split
from digits.data.task import Task
from digits.foundation.command import Refusal, run
from digits.foundation.files import write_json
from digits.foundation.parameters import read_parameters

if TYPE_CHECKING:
    from digits.network.tensorflow import keras

FOLDER = Path("models")
FILES = {"onnx": "model.onnx", "litert": "model.tflite", "savedmodel": "model"}
KERAS_FORMATS = {"onnx": "onnx", "litert": "litert", "savedmodel": "tf_saved_model"}
PACKAGES = {"onnx": ["tf2onnx", "onnxruntime"], "litert": ["ai_edge_litert"], "savedmodel": []}
DESCRIPTION = "model.json"
MOST_APART = 1e-4  # of two probabilities; of this project's networks none came further apart than 1e-6
AT_ONCE = 1000  # images asked for together

Answer = Callable[[np.ndarray], np.ndarray]
"""From images, float32 of shape (n, height, width, channels), to float32 of (n, classes)."""


def with_probabilities(model: "keras.Sequential") -> "keras.Model":
    """The network as a caller wants it: from images to probabilities, and never training.

    That is said of the whole network once. As Keras exports one, layers that change images at random would go on doing
    so in a SavedModel, by chance for each caller.
    """
    from digits.network.tensorflow import keras
    from digits.network.vocabulary import ends_in_probabilities

    images = keras.Input(model.input_shape[1:], name="image")
    last = keras.layers.Identity if ends_in_probabilities(model) else keras.layers.Softmax
    whole = keras.Model(images, last(name="probabilities")(model(images, training=False)))
    whole(np.zeros((1, *model.input_shape[1:]), np.float32))  # Keras exports to ONNX only what was called
    return whole


def read_onnx(path: Path) -> Answer:
    """What an ONNX file answers in ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images})[0]


def read_litert(path: Path) -> Answer:
    """What a .tflite file answers in LiteRT, asked for one image after the other as a phone asks."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    taken, given = (
        details[0]["index"] for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )

    def answer(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(taken, image[None])
        interpreter.invoke()
        return interpreter.get_tensor(given)[0]

    return lambda images: np.stack([answer(image) for image in images])


def read_saved_model(path: Path) -> Answer:
    """What a SavedModel answers in TensorFlow, which needs no Keras for it."""
    from digits.network.tensorflow import tf

    serve = tf.saved_model.load(path).signatures["serving_default"]
    return lambda images: next(iter(serve(image=tf.constant(images)).values())).numpy()


READ = {"onnx": read_onnx, "litert": read_litert, "savedmodel": read_saved_model}


def compare(answers: np.ndarray, expected: np.ndarray) -> tuple[int, float]:
    """In how many rows the answer is the same, and the largest difference of a probability.

    Args:
        answers: probabilities that the exported file gives, shape (n, classes).
        expected: likewise, those of the network.
    """
    same = answers.argmax(axis=1) == expected.argmax(axis=1)
    return int(same.sum()), float(np.abs(answers.astype(np.float64) - expected).max())


def prove(form: str, answer: Answer, images: np.ndarray, expected: np.ndarray) -> dict[str, object]:
    """Ask the exported file for all images; gives what was found, for model.json.

    Raises:
        Refusal: a probability is another than the network's.
    """
    starts = range(0, len(images), AT_ONCE)
    answers = np.concatenate([answer(np.ascontiguousarray(images[start : start + AT_ONCE])) for start in starts])
    same, apart = compare(answers, expected)
    if not apart <= MOST_APART:  # nor where it is not a number
        raise Refusal(
            f"{form} answers otherwise than models/model.keras: {same:,} of {len(images):,} test images alike, "
            f"probabilities up to {apart:.2g} apart, expected {MOST_APART:g} at most; nothing was written"
        )
    return {"test_images": len(images), "same_answers": same, "largest_difference": float(f"{apart:.2g}")}


def steps(task: Task, shape: tuple[int, ...]) -> list[str]:
    """What has to be done to a picture, in order, before the network is asked; digits/pictures/framing.py does it."""
    height, width, channels = shape
    if task.framing == "digit":
        return [
            "grey, from 0 for paper to 1 for ink, whichever of the two is the darker one on the picture",
            "cropped to the ink, scaled to 20 pixels on the longer side with the sides' ratio kept (bilinear), "
            "divided by its largest value",
            f"put on {height} x {width} zeros so that its center of mass is in the middle",
        ]
    colors = "grey (0.299 red + 0.587 green + 0.114 blue)" if channels == 1 else "red, green, blue in this order"
    return [
        f"{colors}, from 0 for black to 255 for white",
        f"scaled to fit into {height} x {width} pixels with the sides' ratio kept (Lanczos), centered, what is left "
        "free filled with the median of its rim",
        "divided by 255",
    ]


def describe(file: str, content: bytes, task: Task, shape: tuple[int, ...]) -> dict[str, object]:
    """What model.json says besides what was proven.

    Args:
        file: that holds the network.
        content: of models/model.keras, from which it came.
        task: of the network.
        shape: of an image: height, width, channels.
    """
    height, width, channels = shape
    return {
        "file": file,
        "md5_of_model_keras": hashlib.md5(content, usedforsecurity=False).hexdigest(),  # by which dvc.lock knows it
        "classes": task.classes,
        "gives": "a probability for each class, in this order: float32 of (n, classes)",
        "takes": "float32 of (n, height, width, channels), from 0 to 1",
        "height": height,
        "width": width,
        "channels": channels,
        "color": channels == 3,
        "framing": task.framing,
        "picture": steps(task, shape),
    }


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write to that takes the place of `path`, and all in it, once the block has ended well."""
    partial, old = (path.with_name(f".{path.name}.{what}") for what in ("partial", "partial-old"))
    try:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if path.exists():
            path.replace(old)
        partial.replace(path)
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def without_a_word() -> Iterator[None]:
    """Keep from the terminal what converters say on their way, some of it in C++, which no level silences."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def check_installed(form: str) -> None:
    """Refuse a format of which a package is missing."""
    for package in PACKAGES[form]:
        if find_spec(package) is None:
            raise Refusal(f"{package} is not installed, and {form} needs it: make export-installed")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m commands.export", description="Write the trained network for another program, and prove it."
    )
    parser.add_argument("format", metavar="FORMAT", choices=FILES, help=f"one of {', '.join(FILES)}")
    form: str = parser.parse_args().format
    parameters = read_parameters()
    check_installed(form)
    from digits.network import archive, construction, inference, reproducibility  # takes seconds

    reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
    classifier = archive.load()
    shape = classifier.model.input_shape[1:]
    images, _ = read_split("test", len(classifier.task.classes))
    if not len(images):
        raise Refusal("data/prepared/test_images.npy holds no image, expected some by which the export can be proven")
    expected = inference.probabilities(classifier.model, images)

    with replacing_folder(FOLDER / form) as folder:
        file = folder / FILES[form]
        try:
            with without_a_word():
                with_probabilities(classifier.model).export(str(file), format=KERAS_FORMATS[form], verbose=False)
                answer = READ[form](file)
        except Exception as error:  # a layer for which the format has no operation: each converter says so in its way
            raise Refusal(f"{form} cannot hold this network: {construction.reason(error)}") from error
        proven = prove(form, answer, images, expected)
        description = describe(file.name, archive.PATH.read_bytes(), classifier.task, shape)
        write_json(folder / DESCRIPTION, description | {"proven": proven})
    print(
        f"{FOLDER / form / FILES[form]} answers as {archive.PATH} for {proven['same_answers']:,} of "
        f"{len(images):,} test images, probabilities up to {proven['largest_difference']} apart"
    )
    print(f"{FOLDER / form / DESCRIPTION} says what it tells apart and what a picture needs before")


if __name__ == "__main__":
    run(main)
