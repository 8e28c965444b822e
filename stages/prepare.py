"""Normalize the images and split the training ones into training and validation.

Takes data/raw/, the four IDX files that `fetch` wrote.
Gives data/prepared/{train,validation,test}_{images,labels}.npy (float32 in [0, 1] of shape (n, 28, 28); uint8) and
metrics/data.json. Images pass through a part at a time: memory does not grow with the dataset.
"""

import hashlib
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from digits.arrays import PREPARED
from digits.command import Refusal
from digits.dataset import CLASSES, MNIST, RAW, SIDE, TEST, TRAIN, IdxFile, check_mnist, read_raw
from digits.files import replacing, write_json
from digits.parameters import Validation, read_parameters
from stages import run

METRICS = Path("metrics/data.json")
PART = 256  # images in memory at a time: 800 kB as float32, which stay in the cache of the processor


def split(labels: np.ndarray, validation: Validation) -> np.ndarray:
    """Choose the validation examples.

    Args:
        labels: shape (n,), integer classes.
        validation: how many, and whether they keep the class proportions, come first or come last; its seed fixes a
            stratified choice, on every machine the same.

    Returns:
        bool of shape (n,), true where an example is held out.

    Raises:
        Refusal: nothing would be left to train on, or too few are asked for to keep the class proportions.
    """
    key = f"params.yaml: prepare.validation.size is {validation.size}"
    size = validation.size if isinstance(validation.size, int) else round(validation.size * len(labels))
    if size >= len(labels):
        raise Refusal(f"{key}, expected less than the {len(labels):,} training images")
    chosen = np.zeros(len(labels), bool)
    if size == 0:
        return chosen
    match validation.take:
        case "first":
            chosen[:size] = True
        case "last":
            chosen[-size:] = True
        case "stratified":
            try:
                _, held_out = train_test_split(
                    np.arange(len(labels)), test_size=size, stratify=labels, random_state=validation.seed
                )
            except ValueError as error:
                raise Refusal(f"{key}, which leaves no stratified split: {error}") from error
            chosen[held_out] = True
    return chosen


def write_images(name: str, images: IdxFile, chosen: np.ndarray) -> None:
    """Write the chosen images, normalized, to data/prepared/.

    Args:
        name: of the split.
        images: shape (n, 28, 28).
        chosen: bool of shape (n,).
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": (int(chosen.sum()), SIDE, SIDE)}
    with replacing(PREPARED / f"{name}_images.npy") as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(images), PART):
            part = images.read(start, start + PART)[chosen[start : start + PART]]
            file.write(part.astype(np.float32) / np.float32(255))


def write_labels(name: str, labels: np.ndarray) -> None:
    """Write the labels of a split to data/prepared/."""
    with replacing(PREPARED / f"{name}_labels.npy") as partial:
        np.save(partial, labels)


def image_hashes(images: IdxFile) -> np.ndarray:
    """A 64-bit hash of each image's bytes: uint64 of shape (n,).

    That any two different images of 60,000 and 10,000 share one has a probability of 3e-11.
    """
    parts = (images.read(start, start + PART) for start in range(0, len(images), PART))
    hashes = bytearray().join(hashlib.blake2b(image, digest_size=8).digest() for part in parts for image in part)
    return np.frombuffer(hashes, np.uint64)


def summarize(dataset: str, labels: dict[str, np.ndarray], leakage: int) -> dict[str, object]:
    """The numbers of metrics/data.json.

    Args:
        dataset: its name.
        labels: of each split.
        leakage: how many test images stand among the training and validation images too.
    """
    shares = np.bincount(labels["train"], minlength=CLASSES) / len(labels["train"])
    return {
        "dataset": dataset,
        **{split: len(of_split) for split, of_split in labels.items()},
        "smallest_class": round(float(shares.min()), 6),
        "largest_class": round(float(shares.max()), 6),
        "leakage": leakage,
    }


def main() -> None:
    parameters = read_parameters()
    if parameters.fetch.dataset == "mnist":
        for name in MNIST:
            with (RAW / name).open("rb") as file:
                check_mnist(name, file)
    images, labels = read_raw(TRAIN)
    test_images, test_labels = read_raw(TEST)
    held_out = split(labels, parameters.prepare.validation)

    write_images("train", images, ~held_out)
    write_images("validation", images, held_out)
    write_images("test", test_images, np.ones(len(test_images), bool))
    splits = {"train": labels[~held_out], "validation": labels[held_out], "test": test_labels}
    for name, of_split in splits.items():
        write_labels(name, of_split)
    leakage = int(np.isin(image_hashes(test_images), image_hashes(images)).sum())
    write_json(METRICS, summarize(parameters.fetch.dataset, splits, leakage))


if __name__ == "__main__":
    run(main)
