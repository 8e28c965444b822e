"""Join what the chosen dataset is made of, normalize its images and split the training ones.

Takes data/raw/, as `fetch` and `gather` wrote it, and data/corrections.csv: labels that are wrong, and the right ones.
Gives data/prepared/{train,validation,test}_{images,labels}.npy (float32 in [0, 1] of shape (n, height, width,
channels); uint8 or int16), data/prepared/images.csv (which image each of them is, and the label that it came with),
data/prepared/task.json (what the classes are), metrics/data.json and metrics/test_images.csv (by which two revisions
know the test images that they share). Images pass through a part at a time: memory does not grow with the dataset.

Test images that a correction leaves out stand behind all others, and are not counted: what is measured on the dataset
as it was published needs them.
"""

from dataclasses import asdict

import numpy as np
import pandas as pd

from digits.data import corrections, identity
from digits.data.idx import IdxFile
from digits.data.measured import DATA, TEST_IMAGES
from digits.data.prepared import IMAGES, PREPARED, TASK
from digits.data.sources import Source, classes_without, read_sources
from digits.data.task import Task
from digits.foundation.files import replacing, write_json
from digits.foundation.parameters import read_parameters
from digits.foundation.tables import write_table
from stages import run

PART = 256  # images in memory at a time: 800 kB of MNIST's as float32, which stay in the cache of the processor


def name_test_images(sources: list[Source]) -> pd.DataFrame:
    """The names of the test images: `image`, and of a dataset with images of a person's own, the columns of FILES."""
    tests = [(source.raw.test, source.rows_to_test_on()) for source in sources]
    table = pd.DataFrame({"image": identity.names(np.concatenate([test.identities[rows] for test, rows in tests]))})
    if all(test.files is None for test, _ in tests):
        return table
    unnamed = pd.DataFrame({"file": [""], "more": [0]})
    files = [
        unnamed.loc[[0] * len(rows)] if test.files is None else test.files.iloc[rows] for test, rows in tests
    ]  # fmt: skip
    return table.join(pd.concat(files, ignore_index=True))


def write_images(name: str, parts: list[tuple[IdxFile, np.ndarray]]) -> None:
    """Write images, normalized, to data/prepared/.

    Args:
        name: of the split.
        parts: images of shape (n, height, width), or (n, height, width, 3) where they are in color, and the places of
            those to write, in runs that ascend.
    """
    shape = (*parts[0][0].shape[1:], 1)[:3]
    count = sum(len(rows) for _, rows in parts)
    header = {"descr": "<f4", "fortran_order": False, "shape": (count, *shape)}
    with replacing(PREPARED / f"{name}_images.npy") as partial, partial.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for images, rows in parts:
            for run_of_rows in np.split(rows, np.flatnonzero(np.diff(rows) < 0) + 1):
                for start in range(0, len(images), PART):
                    first, last = np.searchsorted(run_of_rows, [start, start + PART])
                    if first < last:
                        part = images.read(start, start + PART)[run_of_rows[first:last] - start]
                        file.write(part.astype(np.float32) / np.float32(255))


def write_split(name: str, parts: list[tuple[Source, np.ndarray]]) -> pd.DataFrame:
    """Write a split's images and labels to data/prepared/, of each source those at some places.

    Returns:
        Its rows of data/prepared/images.csv.
    """
    found = [(source, source.delivered(name), source.corrected(name), rows) for source, rows in parts]
    write_images(name, [(delivered.images, rows) for _, delivered, _, rows in found])
    with replacing(PREPARED / f"{name}_labels.npy") as partial:
        np.save(partial, np.concatenate([corrected.labels[rows] for _, _, corrected, rows in found]))
    classes = np.array(parts[0][0].raw.description.task.classes)
    tables = [
        pd.DataFrame({
            "split": name,
            "dataset": source.name,
            "image": identity.names(delivered.identities[rows]),
            "was": classes[delivered.labels[rows]],
            "is": np.where(corrected.kept, classes[corrected.labels], "")[rows],
        })
        for source, delivered, corrected, rows in found
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def leaks(sources: list[Source]) -> dict[str, int]:
    """By source, how many of its test images stand among the images to train on or to validate with."""
    known = np.concatenate([identity.numbers(source.raw.train.identities[source.train.kept]) for source in sources])
    tested = {source.name: identity.numbers(source.raw.test.identities[source.test.kept]) for source in sources}
    return {name: int(np.isin(images, known).sum()) for name, images in tested.items()}


def summarize(name: str, sources: list[Source]) -> dict[str, object]:
    """The numbers of metrics/data.json: of the whole, and where the dataset is joined, of each source."""
    leaking = leaks(sources)
    of_sources = {source.name: count(source, leaking[source.name]) for source in sources}
    if len(sources) == 1:
        return {"dataset": name, **of_sources[name]}
    labels = np.concatenate([source.train.labels[source.rows_to_train_on()] for source in sources])
    whole = {
        "train": len(labels),
        "validation": sum(len(source.rows_to_validate_with()) for source in sources),
        "test": sum(len(source.rows_to_test_on()) for source in sources),
        **class_shares(labels, sources[0].raw.description.task),
        "leakage": sum(leaking.values()),
    }
    return {"dataset": name, **whole, "sources": of_sources}


def unused_corrections(sources: list[Source]) -> int:
    """How many rows of data/corrections.csv are of no image here: another dataset may have it."""
    written = corrections.read_corrections().keys()
    if not written:
        return 0
    known = {
        (source.name, image)
        for source in sources
        for split in (source.raw.train, source.raw.test)
        for image in identity.names(split.identities)
    }
    return len(written - known)


def count(source: Source, leaking: int) -> dict[str, object]:
    """The numbers of one source, of whose test images so many stand among those to train on, too."""
    description = source.raw.description
    to_train_on = ~source.held_out & source.train.kept
    numbers: dict[str, object] = {
        "train": int(to_train_on.sum()),
        "validation": len(source.rows_to_validate_with()),
        "test": len(source.rows_to_test_on()),
        **class_shares(source.train.labels[to_train_on], description.task),
        "leakage": leaking,
    }
    if source.train.changed.any() or source.test.changed.any():
        numbers["corrected"] = {
            "train": int((source.train.changed & ~source.held_out).sum()),
            "validation": int((source.train.changed & source.held_out).sum()),
            "test": int(source.test.changed.sum()),
        }
    if description.by_content:
        numbers |= {"duplicates": description.duplicates, "unreadable": description.unreadable}
    train, test = source.raw.train.groups, source.raw.test.groups
    if train is not None and test is not None:
        groups = {"train": train[~source.held_out], "validation": train[source.held_out], "test": test}
        numbers["groups"] = {split: identity.how_many(of_split) for split, of_split in groups.items()}
    return numbers | ({"repeat": source.repeat} if source.repeat != 1 else {})


def class_shares(labels: np.ndarray, task: Task) -> dict[str, float]:
    """The shares that the smallest and the largest class have of the training images."""
    shares = np.bincount(labels, minlength=len(task.classes)) / max(len(labels), 1)
    return {"smallest_class": round(float(shares.min()), 6), "largest_class": round(float(shares.max()), 6)}


def main() -> None:
    parameters = read_parameters()
    sources = read_sources(parameters)

    train = write_split("train", [(source, source.rows_to_train_on()) for source in sources])
    validation = write_split("validation", [(source, source.rows_to_validate_with()) for source in sources])
    left_out = [(source, source.rows_to_test_on(left_out=True)) for source in sources]
    test = write_split("test", [(source, source.rows_to_test_on()) for source in sources] + left_out)
    task = sources[0].raw.description.task
    write_table(IMAGES, pd.concat([train, validation, test]))
    write_table(TEST_IMAGES, name_test_images(sources))
    write_json(TASK, asdict(task))
    numbers = summarize(parameters.fetch.dataset, sources)
    unused = unused_corrections(sources)
    if unused:
        numbers["unused_corrections"] = unused
    write_json(DATA, numbers)
    hold_out = parameters.prepare.validation.hold_out
    if hold_out and not numbers["validation"]:
        print(f"no image validates: prepare.validation.hold_out is {hold_out}, which comes to none; a larger one may")
    unmeasured = classes_without([source.test.labels[source.rows_to_test_on()] for source in sources], task)
    if unmeasured:
        print(f"no test image is of {unmeasured}: macro_f1 is of the other classes")
    if numbers["leakage"]:
        print(f"{numbers['leakage']:,} of {numbers['test']:,} test images stand among the training images, too")


if __name__ == "__main__":
    run(main)
