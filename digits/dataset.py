"""A dataset as `fetch` leaves it in data/raw/, whatever its kind: images and labels in IDX files, and what they show.

data/raw/dataset.json describes it: its name, the classes, how pictures are framed for it, the SHA-256 of each file, and
the sources that its images are from, in the order in which they stand in the files.
"""

import hashlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from digits.command import Refusal
from digits.files import read_json, write_json
from digits.idx import IdxFile, write_idx
from digits.task import Task

RAW = Path("data/raw")
TRAIN = ("train-images.idx", "train-labels.idx")
TEST = ("test-images.idx", "test-labels.idx")
DESCRIPTION = RAW / "dataset.json"

PART = 4096  # images in memory at a time
MOST_NAMED = 5


@dataclass(frozen=True)
class Source:
    """Where a run of the images is from."""

    name: str
    train: int
    """How many of the training images; they follow those of the source before."""
    test: int
    by_content: bool = False
    """Whether the split of each image follows from its content, which is how a dataset can grow."""
    repeat: int = 1
    """How many times its training images are taken in an epoch."""
    duplicates: int = 0
    """Files left out since the same picture is there already."""
    unreadable: int = 0
    """Files left out since they are no picture, or show no digit."""


@dataclass(frozen=True)
class Description:
    """What data/raw/dataset.json says."""

    name: str
    task: Task
    sources: list[Source]
    sha256: dict[str, str]


@dataclass(frozen=True)
class Loaded:
    """A dataset in memory, or mapped into it, before it is written."""

    task: Task
    images: np.ndarray
    """uint8 of shape (n, height, width, channels), a channel or three."""
    labels: np.ndarray
    """Integers of shape (n,), places in `task.classes`."""
    in_test: np.ndarray
    """bool of shape (n,)."""
    by_content: bool = False
    duplicates: int = 0
    unreadable: int = 0


def write_raw(name: str, loaded: dict[str, Loaded], repeat: dict[str, int]) -> None:
    """Write datasets to data/raw/ as one, one behind the other.

    Args:
        name: of the whole.
        loaded: by their names; `joined` has made sure that they go together.
        repeat: how many times a dataset's training images are to be taken, where that is not once.

    Raises:
        Refusal: no image is left to train on, or to test on.
    """
    task = next(iter(loaded.values())).task
    label_type = np.uint8 if len(task.classes) <= 256 else np.int16
    in_test = np.concatenate([of.in_test for of in loaded.values()])
    if in_test.all() or not in_test.any():
        raise Refusal(f"{name} has no {'training' if in_test.all() else 'test'} images; add images")
    for split, names in ((False, TRAIN), (True, TEST)):
        chosen = {source: np.flatnonzero(of.in_test == split) for source, of in loaded.items()}
        count = sum(map(len, chosen.values()))
        shape = next(iter(loaded.values())).images.shape[1:]
        images = (
            loaded[source].images[some]
            for source, places in chosen.items()
            for some in np.array_split(places, -(-len(places) // PART) or 1)
        )
        without_channel = shape[:-1] if shape[-1] == 1 else shape
        write_idx(RAW / names[0], (part.reshape(-1, *without_channel) for part in images), (count, *without_channel))
        labels = np.concatenate([loaded[source].labels[places] for source, places in chosen.items()])
        write_idx(RAW / names[1], [labels.astype(label_type)], (count,))
    sources = [
        Source(
            source, int((~of.in_test).sum()), int(of.in_test.sum()), of.by_content, repeat.get(source, 1),
            of.duplicates, of.unreadable,
        )
        for source, of in loaded.items()
    ]  # fmt: skip
    describe(name, task, sources)


def describe(name: str, task: Task, sources: list[Source], raw: Path = RAW) -> None:
    """Write dataset.json beside the IDX files."""
    sha256 = {file: _sha256(raw / file) for file in (*TRAIN, *TEST)}
    write_json(raw / DESCRIPTION.name, asdict(Description(name, task, sources, sha256)))


def joined(name: str, loaded: dict[str, Loaded]) -> dict[str, Loaded]:
    """The same datasets with the labels of the first one's classes.

    A folder may lack some of the classes, as a person's first images do.

    Raises:
        Refusal: they differ in their images' size or channels, or one has a class that the first does not have.
    """
    (first, of_first), *others = loaded.items()
    together = {first: of_first}
    classes = of_first.task.classes
    for other, of_other in others:
        sizes = [_told(of.images.shape) for of in (of_first, of_other)]
        if sizes[0] != sizes[1]:
            raise Refusal(f"datasets.{name}: the images of {first} are {sizes[0]}, those of {other} {sizes[1]}")
        theirs = of_other.task.classes
        unknown = [known for known in theirs if known not in classes]
        missing = [] if of_other.by_content else [known for known in classes if known not in theirs]
        for which, whose, whose_not in ((unknown, other, first), (missing, first, other)):
            if which:
                named = ", ".join(map(repr, which[:MOST_NAMED])) + (", ..." if len(which) > MOST_NAMED else "")
                raise Refusal(f"datasets.{name}: {whose} has the classes {named}, {whose_not} does not")
        places = np.array([classes.index(known) for known in theirs])
        together[other] = replace(of_other, labels=places[of_other.labels])
    return together


def _told(shape: tuple[int, ...]) -> str:
    _, height, width, channels = shape
    return f"{height} x {width}{' in color' if channels > 1 else ' in grey'}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_description() -> Description:
    """Read data/raw/dataset.json, and check that the files beside it are those that it describes.

    Raises:
        Refusal: it is no such description, or a file has another SHA-256.
    """
    description = read_json(DESCRIPTION, Description)
    if description.sha256.keys() != {*TRAIN, *TEST}:
        raise Refusal(
            f"{DESCRIPTION} has the SHA-256 of {', '.join(map(repr, description.sha256)) or 'no file'}, expected those "
            f"of {', '.join((*TRAIN, *TEST))}; `dvc repro` fetches it anew"
        )
    for name, expected in description.sha256.items():
        sha256 = _sha256(RAW / name)
        if sha256 != expected:
            raise Refusal(
                f"{RAW / name} has the SHA-256 {sha256[:12]}..., {DESCRIPTION} says {expected[:12]}...; "
                "`dvc repro` fetches it anew"
            )
    return description


def read_raw(names: tuple[str, str], classes: int) -> tuple[IdxFile, np.ndarray]:
    """Open a pair of images and labels in data/raw/ and check one against the other.

    Args:
        names: of the two files, TRAIN or TEST.
        classes: how many there are.

    Returns:
        The images, of shape (n, height, width) or (n, height, width, 3), and their labels, of shape (n,).

    Raises:
        Refusal: a file is no IDX file, there are no images, a label has no class, or the counts differ.
    """
    images, labels_file = IdxFile(RAW / names[0]), IdxFile(RAW / names[1])
    if len(images.shape) not in {3, 4} or not len(images):
        raise Refusal(f"{images.path} holds the shape {images.shape}, expected images")
    if labels_file.shape != (len(images),):
        raise Refusal(f"{labels_file.path} holds the shape {labels_file.shape} for {len(images):,} images")
    labels = labels_file.read()
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise Refusal(f"{labels_file.path} has the label {wrong}, expected 0 to {classes - 1}")
    return images, labels
