"""The prepared splits on disk: `{train,validation,test}_{images,labels}.npy`, and what their classes are."""

from pathlib import Path

import numpy as np
import pandas as pd

from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.files import read_array, read_json, release
from digits.foundation.tables import read_table

PREPARED = Path("data/prepared")
TASK = PREPARED / "task.json"
IMAGES = PREPARED / "images.csv"
"""A row an image, in the order of the splits' arrays: `split`, `dataset`, `image` (the letters of its identity), the
class that it `was` delivered as, and which it `is`, empty where it is left out."""
_IMAGE_COLUMNS = {"split": str, "dataset": str, "image": str, "was": str, "is": str}


def read_task() -> Task:
    """The classes of the prepared images, and how pictures are framed for them.

    Raises:
        Refusal: data/prepared/task.json is no such file.
    """
    return read_json(TASK, Task)


def read_images(split: str) -> np.ndarray:
    """The images of a split, memory-mapped.

    Args:
        split: train, validation or test.

    Returns:
        float32 of shape (n, height, width, channels) in [0, 1], a channel or three.

    Raises:
        Refusal: the file is no such array.
    """
    path = PREPARED / f"{split}_images.npy"
    images = read_array(path)
    if images.dtype != np.float32 or images.ndim != 4 or images.shape[3] not in {1, 3} or 0 in images.shape[1:]:
        expected = "float32 of (n, height, width, 1 or 3)"
        raise Refusal(f"{path} holds {images.dtype} of shape {images.shape}, expected {expected}")
    # One pass that holds no copy; a NaN fails both comparisons.
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        raise Refusal(f"{path} has pixels outside [0, 1]; `dvc repro` makes it anew")
    release(images)
    return images


def read_labels(split: str, classes: int) -> np.ndarray:
    """The labels of a split: uint8 or int16 of shape (n,), from 0 to below `classes`.

    Raises:
        Refusal: the file is no such array.
    """
    path = PREPARED / f"{split}_labels.npy"
    labels = read_array(path)
    if labels.dtype not in (np.uint8, np.int16) or labels.ndim != 1:
        raise Refusal(f"{path} holds {labels.dtype} of shape {labels.shape}, expected uint8 or int16 of (n,)")
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise Refusal(f"{path} has the label {wrong}, expected 0 to {classes - 1}")
    return labels


def read_image_table(split: str, images: int) -> pd.DataFrame:
    """Which image each one of a split is: its rows of data/prepared/images.csv.

    Raises:
        Refusal: the file is no such table, or has another number of rows for the split than there are images.
    """
    table = read_table(IMAGES, _IMAGE_COLUMNS)
    table = table[table["split"] == split].reset_index(drop=True)
    if len(table) != images:
        raise Refusal(f"{IMAGES} has {len(table):,} rows for {images:,} {split} images; `dvc repro` makes it anew")
    return table


def read_split(split: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of a split, as `read_images` and `read_labels` give them.

    Raises:
        Refusal: one of the files is no such array, or they differ in length.
    """
    images, labels = read_images(split), read_labels(split, classes)
    if len(images) != len(labels):
        raise Refusal(f"{PREPARED}: {split} has {len(images):,} images and {len(labels):,} labels")
    return images, labels
