"""Bring the chosen dataset to data/raw/, whatever its kind.

Takes fetch.dataset, the entry of `datasets` that it names and, for a folder, data/own/images/. Published files come
from the first source that delivers their very bytes.
Gives data/raw/: images and labels as IDX files, and dataset.json, which says what they show and where they are from.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from digits.dataset import Loaded, joined, write_raw
from digits.folder import gather
from digits.parameters import Folder, Idx, Join, Parameters, read_parameters
from digits.sources import fetch_published
from digits.task import Task
from stages import run

OWN = Path("data/own/images")
SIDE = 28  # pixels of the embedded digits, as of MNIST's


def embedded_digits() -> Loaded:
    """The 1,797 digits of scikit-learn (UCI's Optical Recognition of Handwritten Digits, its test part).

    They are 8 x 8 with 17 grey levels; here 28 x 28 with 256, bilinearly, a stratified fifth of them as the test split.
    """
    images, labels = load_digits(return_X_y=True)
    scale = SIDE / 8
    large = zoom(images.reshape(-1, 8, 8), (1, scale, scale), order=1, mode="nearest", grid_mode=True)
    pixels = np.rint(large * (255 / 16)).astype(np.uint8)[..., None]
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    order = np.concatenate([train, test])
    classes = [str(digit) for digit in range(10)]
    return Loaded(Task(classes, "digit"), pixels[order], labels[order], np.arange(len(order)) >= len(train))


def load(name: str, parameters: Parameters) -> Loaded:
    """The dataset of that name, by its kind.

    Raises:
        Refusal: it cannot be had; NoSource if it is published and nobody delivers it.
    """
    match parameters.datasets[name]:
        case Idx() as published:
            images, labels, test_images, test_labels = fetch_published(name, published)
            return Loaded(
                Task(published.classes, published.framing),
                np.concatenate([images, test_images])[..., None],
                np.concatenate([labels, test_labels]),
                np.arange(len(images) + len(test_images)) >= len(images),
            )
        case Folder() as folder:
            return gather(OWN, folder, bar=sys.stderr.isatty())
        case _:
            return embedded_digits()


def main() -> None:
    parameters = read_parameters()
    name = parameters.fetch.dataset
    match parameters.datasets[name]:
        case Join() as join:
            loaded = joined(name, {source: load(source, parameters) for source in join.of})
            write_raw(name, loaded, join.repeat)
        case _:
            write_raw(name, {name: load(name, parameters)}, {})


if __name__ == "__main__":
    run(main)
