"""Normalize the images and split the training ones into training and validation.

Takes data/raw/, as `fetch` wrote it.
Gives data/prepared/{train,validation,test}_{images,labels}.npy (float32 in [0, 1] of shape (n, height, width,
channels); uint8 or int16), data/prepared/task.json (what the classes are), metrics/data.json and
metrics/test_images.csv (by which two revisions know the test images that they share). Images pass through a part at a
time: memory does not grow with the dataset.
"""

import hashlib
from base64 import urlsafe_b64encode
from dataclasses import asdict

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from digits.arrays import PREPARED, TASK
from digits.command import Refusal
from digits.dataset import TEST, TRAIN, Description, Source, read_description, read_raw
from digits.files import replacing, write_json, write_table
from digits.idx import IdxFile
from digits.measured import DATA, TEST_IMAGES
from digits.parameters import Validation, read_parameters
from stages import run

PART = 256  # images in memory at a time: 800 kB of MNIST's as float32, which stay in the cache of the processor


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


def split_by_content(hashes: np.ndarray, validation: Validation) -> np.ndarray:
    """Choose the validation examples of a dataset that grows: each by its own content, whatever the others are.

    Args:
        hashes: uint64 of shape (n,), of the images.
        validation: its size, a share.

    Returns:
        bool of shape (n,), true where an example is held out.

    Raises:
        Refusal: the size is a count, which cannot be kept while images come and go, or nothing is left to train on.
    """
    key = f"params.yaml: prepare.validation.size is {validation.size}"
    if validation.size and isinstance(validation.size, int):
        raise Refusal(f"{key}, expected a share: images of a folder are held out by the content of each")
    chosen = hashes / 2.0**64 < validation.size
    if chosen.all():
        raise Refusal(f"{key}, which holds out all {len(hashes):,} training images of a folder; add images")
    return chosen


def hold_out(labels: np.ndarray, hashes: np.ndarray, sources: list[Source], validation: Validation) -> np.ndarray:
    """Choose the validation examples, of each source as if it were alone.

    Args:
        labels: shape (n,), integer classes of the training images.
        hashes: uint64 of shape (n,), of the images.
        sources: of runs of them, in order.
        validation: how many, and which.

    Returns:
        bool of shape (n,), true where an example is held out.
    """
    ends = np.cumsum([source.train for source in sources])[:-1]
    parts = zip(sources, np.split(labels, ends), np.split(hashes, ends), strict=True)
    return np.concatenate([
        split_by_content(some_hashes, validation) if source.by_content else split(some_labels, validation)
        for source, some_labels, some_hashes in parts
    ])  # fmt: skip


def rows_to_train_on(held_out: np.ndarray, sources: list[Source]) -> np.ndarray:
    """The training examples' places, ascending, but those of a source that is repeated as often one after the other."""
    ends = np.cumsum([source.train for source in sources])
    kept = np.split(np.flatnonzero(~held_out), np.searchsorted(np.flatnonzero(~held_out), ends[:-1]))
    return np.concatenate([np.tile(rows, source.repeat) for source, rows in zip(sources, kept, strict=True)])


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


def names_of_images(hashes: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """A row an image: `image`, eight letters that stand for its pixels and its class in every revision.

    Short, as Git keeps them: two of 10,000 share theirs with a probability of 2e-7.
    """
    known_by = (image.tobytes() + classes[label].encode() for image, label in zip(hashes, labels, strict=True))
    names = [urlsafe_b64encode(hashlib.blake2b(known, digest_size=6).digest()).decode() for known in known_by]
    return pd.DataFrame({"image": names})


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
