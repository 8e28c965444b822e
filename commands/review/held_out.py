"""What networks say of images that they were not trained on."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from commands.review.stages_apart import folder_apart, run_stage
from digits.data.identity import draw
from digits.data.prepared import PREPARED, TASK
from digits.data.task import Task
from digits.foundation.files import write_json
from digits.network import archive, inference

FOLDS = 4


def folds(identities: np.ndarray) -> np.ndarray:
    """The fold of each image, 0 to below FOLDS, which follows from its identity alone: equal images are in one.

    Args:
        identities: uint8 of shape (n, 8).
    """
    return (draw(identities, "fold") * FOLDS).astype(int)


def log_probabilities(
    images: np.ndarray, labels: np.ndarray, validating: np.ndarray, of_fold: np.ndarray, task: Task, parameters: str,
    told: Callable[[int, int], None],
) -> np.ndarray:  # fmt: skip
    """How probable the classes of each image are for a network that was trained, as `train` does, on the other folds.

    Args:
        images: float32 of shape (n, height, width, channels) in [0, 1].
        labels: uint8 or int16 of shape (n,).
        validating: bool of shape (n,), which of them validate, as a recipe may want that keeps its best epoch.
        of_fold: shape (n,), as `folds` gives it.
        task: what the classes are.
        parameters: the content of params.yaml.
        told: is given a fold and how many of its epochs are over, now and then.

    Returns:
        float64 of shape (n, classes), logarithms.

    Raises:
        Refusal: the network cannot be trained on so few images.
    """
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of networks that are compiled one after another
    found = np.zeros((len(images), len(task.classes)))
    for fold in range(FOLDS):
        with folder_apart(parameters) as folder:
            held = of_fold == fold
            write_split(folder, "train", images[~held & ~validating], labels[~held & ~validating])
            write_split(folder, "validation", images[~held & validating], labels[~held & validating])
            write_json(folder / TASK, {"classes": task.classes, "framing": task.framing})
            history = folder / "plots/history.csv"
            run_stage(folder, "train", lambda: told(fold, _epochs(history)))  # noqa: B023 (it is called here)
            model = archive.load(folder / archive.PATH).model
        found[held] = inference.log_probabilities(model, images[held])
        told(fold + 1, 0)
    return found


def write_split(folder: Path, name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write a split's files as `prepare` does."""
    np.save(folder / PREPARED / f"{name}_images.npy", images)
    np.save(folder / PREPARED / f"{name}_labels.npy", labels)


def _epochs(history: Path) -> int:
    """How many rows it has, which may not be there yet, or without its header."""
    return max(len(history.read_bytes().splitlines()) - 1, 0) if history.exists() else 0
