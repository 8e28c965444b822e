"""Normalize the images and split the training ones into training and validation.

Takes data/raw/, as `fetch` wrote it.
Gives data/prepared/{train,validation,test}_{images,labels}.npy (float32 in [0, 1] of shape (n, height, width,
channels); uint8 or int16), data/prepared/task.json (what the classes are), metrics/data.json and
metrics/test_images.csv (by which two revisions know the test images that they share). Images pass through a part at a
time: memory does not grow with the dataset.
"""

import hashlib
from dataclasses import asdict

import numpy as np

from digits.arrays import PREPARED, TASK
from digits.dataset import TEST, TRAIN, Description, Source, read_description, read_raw
from digits.files import replacing, write_json, write_table
from digits.idx import IdxFile
from digits.measured import DATA, TEST_IMAGES, names_of_images
from digits.parameters import read_parameters
from digits.split import hold_out, rows_to_train_on
from stages import run

PART = 256  # images in memory at a time: 800 kB of MNIST's as float32, which stay in the cache of the processor


def write_images(name: str, images: IdxFile, rows: np.ndarray) -> None:
    """Write images, normalized, to data/prepared/.

    Args:
        name: of the split.
        images: shape (n, height, width), or (n, height, width, 3) where they are in color.
        rows: places of those to write, in runs that ascend.
    """
    shape = (*images.shape[1:], 1)[:3]
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), *shape)}
    with replacing(PREPARED / f"{name}_images.npy") as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for run_of_rows in np.split(rows, np.flatnonzero(np.diff(rows) < 0) + 1):
            for start in range(0, len(images), PART):
                first, last = np.searchsorted(run_of_rows, [start, start + PART])
                if first < last:
                    part = images.read(start, start + PART)[run_of_rows[first:last] - start]
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


def summarize(
    description: Description, labels: np.ndarray, held_out: np.ndarray, leaks: np.ndarray
) -> dict[str, object]:
    """The numbers of metrics/data.json: of the whole, and where the dataset is joined, of each source.

    Args:
        description: of the dataset.
        labels: shape (n,), of the images of data/raw/ to train on or to hold out.
        held_out: bool of shape (n,), which are for validation.
        leaks: bool of shape (m,), which test images stand among those too.
    """
    sources, classes = description.sources, len(description.task.classes)
    train_ends = np.cumsum([source.train for source in sources])[:-1]
    test_ends = np.cumsum([source.test for source in sources])[:-1]
    parts = [np.split(labels, train_ends), np.split(held_out, train_ends), np.split(leaks, test_ends)]
    of_sources = {source.name: count(source, classes, *part) for source, *part in zip(sources, *parts, strict=True)}
    if len(sources) == 1:
        return {"dataset": description.name, **of_sources[description.name]}
    whole = Source(description.name, train=len(labels), test=len(leaks))
    rows = rows_to_train_on(held_out, sources)
    shares = class_shares(labels[rows], classes)
    of_whole = count(whole, classes, labels, held_out, leaks) | {"train": len(rows)} | shares
    return {"dataset": description.name, **of_whole, "sources": of_sources}


def count(
    source: Source, classes: int, labels: np.ndarray, held_out: np.ndarray, leaks: np.ndarray
) -> dict[str, object]:
    """The numbers of one source, of whose images the arrays are, as `summarize` takes them."""
    numbers: dict[str, object] = {
        "train": int((~held_out).sum()),
        "validation": int(held_out.sum()),
        "test": len(leaks),
        **class_shares(labels[~held_out], classes),
        "leakage": int(leaks.sum()),
    }
    if source.by_content:
        numbers |= {"duplicates": source.duplicates, "unreadable": source.unreadable}
    return numbers | ({"repeat": source.repeat} if source.repeat != 1 else {})


def class_shares(labels: np.ndarray, classes: int) -> dict[str, float]:
    """The shares that the smallest and the largest class have of the training images."""
    shares = np.bincount(labels, minlength=classes) / max(len(labels), 1)
    return {"smallest_class": round(float(shares.min()), 6), "largest_class": round(float(shares.max()), 6)}


def main() -> None:
    validation = read_parameters().prepare.validation
    description = read_description()
    classes, sources = description.task.classes, description.sources
    images, labels = read_raw(TRAIN, len(classes))
    test_images, test_labels = read_raw(TEST, len(classes))
    hashes, test_hashes = image_hashes(images), image_hashes(test_images)
    held_out = hold_out(labels, hashes, sources, validation)
    rows = rows_to_train_on(held_out, sources)

    write_images("train", images, rows)
    write_images("validation", images, np.flatnonzero(held_out))
    write_images("test", test_images, np.arange(len(test_images)))
    for name, of_split in (("train", labels[rows]), ("validation", labels[held_out]), ("test", test_labels)):
        write_labels(name, of_split)
    write_json(TASK, asdict(description.task))
    write_table(TEST_IMAGES, names_of_images(test_hashes, test_labels, classes))
    write_json(DATA, summarize(description, labels, held_out, np.isin(test_hashes, hashes)))


if __name__ == "__main__":
    run(main)
