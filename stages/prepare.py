"""Join what the chosen dataset is made of, normalize its images and split the training ones.

Takes data/raw/, as `fetch` and `gather` wrote it.
Gives data/prepared/{train,validation,test}_{images,labels}.npy (float32 in [0, 1] of shape (n, height, width,
channels); uint8 or int16), data/prepared/task.json (what the classes are), metrics/data.json and
metrics/test_images.csv (by which two revisions know the test images that they share). Images pass through a part at a
time: memory does not grow with the dataset.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from digits.data import identity
from digits.data.idx import IdxFile
from digits.data.measured import DATA, TEST_IMAGES
from digits.data.prepared import PREPARED, TASK
from digits.data.raw import FETCHED, GATHERED, Raw, Split, read_raw
from digits.data.split import hold_out
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.files import replacing, write_json
from digits.foundation.parameters import Embedded, Folder, Idx, Join, Parameters, read_parameters
from digits.foundation.tables import write_table
from stages import run

PART = 256  # images in memory at a time: 800 kB of MNIST's as float32, which stay in the cache of the processor
MOST_NAMED = 5


@dataclass(frozen=True)
class Source:
    """A dataset, alone or one of those that are joined."""

    name: str
    raw: Raw
    held_out: np.ndarray
    """bool of shape (n,), which of its training images are for validation."""
    repeat: int
    """How many times the others are taken in an epoch."""

    def rows_to_train_on(self) -> np.ndarray:
        """Their places, ascending, as often one after the other as they are repeated."""
        return np.tile(np.flatnonzero(~self.held_out), self.repeat)


def read_sources(parameters: Parameters) -> list[Source]:
    """What the chosen dataset is made of, with the labels of the first one's classes, and what is held out of it.

    Raises:
        Refusal: they do not go together, or no image is left to train on, or to test on.
    """
    name = parameters.fetch.dataset
    chosen = parameters.datasets[name]
    repeat = chosen.repeat if isinstance(chosen, Join) else {}
    together = joined(name, {of: read_raw(folder_of(of, source)) for of, source in parameters.sources().items()})
    validation = parameters.prepare.validation
    sources = []
    for of, raw in together.items():
        times = repeat.get(of, 1)  # what is not trained on validates nothing either
        sources.append(Source(of, raw, hold_out(raw, validation) & (times > 0), times))
    for split, counts in (
        ("training", [len(source.rows_to_train_on()) for source in sources]),
        ("test", [len(source.raw.test.labels) for source in sources]),
    ):
        if not sum(counts):
            raise Refusal(f"{name} has no {split} images; add images")
    task = sources[0].raw.description.task
    untaught = classes_without([source.raw.train.labels[source.rows_to_train_on()] for source in sources], task)
    if untaught:
        raise Refusal(f"{name} has no image to train on of {untaught}; add images")
    return sources


def classes_without(labels: list[np.ndarray], task: Task) -> str:
    """The classes that none of these labels are of, as they are told; nothing where there are none."""
    counts = np.bincount(np.concatenate(labels), minlength=len(task.classes))
    missing = [repr(known) for known, found in zip(task.classes, counts, strict=True) if not found]
    return ", ".join(missing[:MOST_NAMED]) + (f" and {len(missing) - MOST_NAMED} more" * (len(missing) > MOST_NAMED))


def folder_of(name: str, dataset: Idx | Embedded | Folder) -> Path:
    """Where a dataset lies in data/raw/."""
    return (GATHERED if isinstance(dataset, Folder) else FETCHED) / name


def joined(name: str, raws: dict[str, Raw]) -> dict[str, Raw]:
    """The same datasets with the labels of the first one's classes.

    A folder may lack some of the classes, as a person's first images do.

    Raises:
        Refusal: they differ in their images' size or channels, or one has a class that the first does not have.
    """
    (first, of_first), *others = raws.items()
    task = of_first.description.task
    together = {first: of_first}
    for other, raw in others:
        sizes = [_told(of.train.images.shape) for of in (of_first, raw)]
        if sizes[0] != sizes[1]:
            raise Refusal(f"datasets.{name}: the images of {first} are {sizes[0]}, those of {other} {sizes[1]}")
        theirs = raw.description.task.classes
        unknown = [known for known in theirs if known not in task.classes]
        missing = [] if raw.description.by_content else [known for known in task.classes if known not in theirs]
        for which, whose, whose_not in ((unknown, other, first), (missing, first, other)):
            if which:
                named = ", ".join(map(repr, which[:MOST_NAMED])) + (", ..." if len(which) > MOST_NAMED else "")
                raise Refusal(f"datasets.{name}: {whose} has the classes {named}, {whose_not} does not")
        places = np.array([task.classes.index(known) for known in theirs], of_first.train.labels.dtype)
        train, test = (replace(split, labels=places[split.labels]) for split in (raw.train, raw.test))
        together[other] = Raw(replace(raw.description, task=task), train, test)
    return together


def _told(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[2]}{' in color' if len(shape) > 3 else ' in grey'}"


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


def write_split(name: str, parts: list[tuple[Split, np.ndarray]]) -> None:
    """Write a split's images and labels to data/prepared/, of each source those at some places."""
    write_images(name, [(split.images, rows) for split, rows in parts])
    with replacing(PREPARED / f"{name}_labels.npy") as partial:
        np.save(partial, np.concatenate([split.labels[rows] for split, rows in parts]))


def leaks(sources: list[Source]) -> dict[str, np.ndarray]:
    """By source, which of its test images stand among the images to train on or to validate with: bool of (n,)."""
    known = np.concatenate([identity.numbers(source.raw.train.identities) for source in sources])
    return {source.name: np.isin(identity.numbers(source.raw.test.identities), known) for source in sources}


def summarize(name: str, sources: list[Source]) -> dict[str, object]:
    """The numbers of metrics/data.json: of the whole, and where the dataset is joined, of each source."""
    leaking = leaks(sources)
    of_sources = {source.name: count(source, leaking[source.name]) for source in sources}
    if len(sources) == 1:
        return {"dataset": name, **of_sources[name]}
    labels = np.concatenate([source.raw.train.labels[source.rows_to_train_on()] for source in sources])
    whole = {
        "train": len(labels),
        "validation": sum(int(source.held_out.sum()) for source in sources),
        "test": sum(len(source.raw.test.labels) for source in sources),
        **class_shares(labels, sources[0].raw.description.task),
        "leakage": sum(int(leaking[source.name].sum()) for source in sources),
    }
    return {"dataset": name, **whole, "sources": of_sources}


def count(source: Source, leaking: np.ndarray) -> dict[str, object]:
    """The numbers of one source, of whose test images `leaking` is."""
    description = source.raw.description
    numbers: dict[str, object] = {
        "train": int((~source.held_out).sum()),
        "validation": int(source.held_out.sum()),
        "test": len(source.raw.test.labels),
        **class_shares(source.raw.train.labels[~source.held_out], description.task),
        "leakage": int(leaking.sum()),
    }
    if description.by_content:
        numbers |= {"duplicates": description.duplicates, "unreadable": description.unreadable}
    return numbers | ({"repeat": source.repeat} if source.repeat != 1 else {})


def class_shares(labels: np.ndarray, task: Task) -> dict[str, float]:
    """The shares that the smallest and the largest class have of the training images."""
    shares = np.bincount(labels, minlength=len(task.classes)) / max(len(labels), 1)
    return {"smallest_class": round(float(shares.min()), 6), "largest_class": round(float(shares.max()), 6)}


def main() -> None:
    parameters = read_parameters()
    sources = read_sources(parameters)

    write_split("train", [(source.raw.train, source.rows_to_train_on()) for source in sources])
    write_split("validation", [(source.raw.train, np.flatnonzero(source.held_out)) for source in sources])
    write_split("test", [(source.raw.test, np.arange(len(source.raw.test.labels))) for source in sources])
    write_json(TASK, asdict(sources[0].raw.description.task))
    names = identity.names(np.concatenate([source.raw.test.identities for source in sources]))
    write_table(TEST_IMAGES, pd.DataFrame({"image": names}))
    numbers = summarize(parameters.fetch.dataset, sources)
    write_json(DATA, numbers)
    unmeasured = classes_without([source.raw.test.labels for source in sources], sources[0].raw.description.task)
    if unmeasured:
        print(f"no test image is of {unmeasured}: macro_f1 is of the other classes")
    if numbers["leakage"]:
        print(f"{numbers['leakage']:,} of {numbers['test']:,} test images stand among the training images, too")


if __name__ == "__main__":
    run(main)
