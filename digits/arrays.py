"""The prepared splits on disk: `{train,validation,test}_{images,labels}.npy`."""

from pathlib import Path

import numpy as np

from digits.command import Refusal
from digits.dataset import CLASSES, SIDE
from digits.files import read_array, release

PREPARED = Path("data/prepared")


def read_images(split: str) -> np.ndarray:
    """The images of a split, memory-mapped.

    Args:
        split: train, validation or test.

    Returns:
        float32 of shape (n, 28, 28) in [0, 1].

    Raises:
        Refusal: the file is no such array.
    """
    path = PREPARED / f"{split}_images.npy"
    images = _read(path, np.float32, (SIDE, SIDE))
    # One pass that holds no copy; a NaN fails both comparisons.
    if len(images) and not (images.min() >= 0 and images.max() <= 1):
        raise Refusal(f"{path} has pixels outside [0, 1]; `dvc repro` makes it anew")
    release(images)
    return images


def read_labels(split: str) -> np.ndarray:
    """The labels of a split: uint8 of shape (n,), 0 to 9.

    Raises:
        Refusal: the file is no such array.
    """
    path = PREPARED / f"{split}_labels.npy"
    labels = _read(path, np.uint8, ())
    if len(labels) and labels.max() >= CLASSES:
        raise Refusal(f"{path} has the label {labels.max()}, expected 0 to {CLASSES - 1}")
    return labels


def read_split(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of a split, as `read_images` and `read_labels` give them.

    Raises:
        Refusal: one of the files is no such array, or they differ in length.
    """
    images, labels = read_images(split), read_labels(split)
    if len(images) != len(labels):
        raise Refusal(f"{PREPARED}: {split} has {len(images):,} images and {len(labels):,} labels")
    return images, labels


def _read(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    array = read_array(path)
    if array.dtype != dtype or array.shape[1:] != shape or array.ndim != 1 + len(shape):
        expected = ", ".join(["n", *map(str, shape)])
        raise Refusal(f"{path} holds {array.dtype} of shape {array.shape}, expected {np.dtype(dtype)} of ({expected})")
    return array
