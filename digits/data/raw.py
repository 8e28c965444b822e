"""Datasets as `fetch` and `gather` leave them in data/raw/, whatever their kind: a folder each, all in one form.

Images, labels and identities of the training and of the test images are IDX files, and so are their groups where they
are split by them; dataset.json says what they show, and has the SHA-256 of each file. Where the images are a person's
own, a table has the names of the test images' files.
"""

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.data.identity import BYTES
from digits.data.idx import IdxFile, write_idx
from digits.data.measured import FILES
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.files import read_json, write_json
from digits.foundation.tables import read_table, write_table

if TYPE_CHECKING:
    import pandas as pd

OWN = Path("data/own/images")  # what a person gathers from
FETCHED, GATHERED = Path("data/raw/fetched"), Path("data/raw/gathered")
DESCRIPTION = "dataset.json"
INDEX = "datasets.json"  # beside the datasets' folders: their names, and all that is there where there are none
TEST_FILES = "test-files.csv"
SPLITS, CONTENTS = ("train", "test"), ("images", "labels", "identities")
GROUPS = "groups"  # which a dataset has besides where images are split by groups

PART = 4096  # images in memory at a time


@dataclass(frozen=True)
class Description:
    """What dataset.json says."""

    task: Task
    by_content: bool
    """Whether the split of each image follows from its identity or its group, which is how a dataset can grow."""
    duplicates: int
    """Files left out since the same picture is there already."""
    unreadable: int
    """Files left out since they are no picture, or show no digit."""
    published: list[str]
    """The SHA-256 of the published files that it was made of, and how they were read; none where there are none."""
    sha256: dict[str, str]


@dataclass(frozen=True)
class Loaded:
    """A dataset in memory, or mapped into it, before it is written."""

    task: Task
    images: np.ndarray
    """uint8 of shape (n, height, width, channels), a channel or three."""
    labels: np.ndarray
    """Integers of shape (n,), places in `task.classes`."""
    identities: np.ndarray
    """uint8 of shape (n, 8)."""
    in_test: np.ndarray
    """bool of shape (n,)."""
    by_content: bool = False
    duplicates: int = 0
    unreadable: int = 0
    published: list[str] = field(default_factory=list)
    groups: np.ndarray | None = None
    """uint8 of shape (n, 8), equal where images stand on one side of the split together; None where none is told."""
    files: "pd.DataFrame | None" = None
    """n rows with the columns of FILES, where the images are a person's own."""


@dataclass(frozen=True)
class Split:
    """The training or the test images of a dataset."""

    images: IdxFile
    """uint8 of shape (n, height, width), or (n, height, width, 3)."""
    labels: np.ndarray
    """Integers of shape (n,), places in the classes."""
    identities: np.ndarray
    """uint8 of shape (n, 8)."""
    groups: np.ndarray | None = None
    """uint8 of shape (n, 8), where groups are told."""
    files: "pd.DataFrame | None" = None
    """n rows with the columns of FILES, of test images that are a person's own."""


@dataclass(frozen=True)
class Raw:
    """A dataset as it lies in data/raw/."""

    description: Description
    train: Split
    test: Split


def write_raw(folder: Path, loaded: Loaded) -> None:
    """Write a dataset to a folder of its own."""
    label_type = np.uint8 if len(loaded.task.classes) <= 256 else np.int16
    _, *shape, channels = loaded.images.shape
    shape += [channels] if channels > 1 else []
    for split in SPLITS:
        places = np.flatnonzero(loaded.in_test == (split == "test"))
        images = (loaded.images[some] for some in np.array_split(places, -(-len(places) // PART) or 1))
        write_idx(folder / f"{split}-images.idx", (part.reshape(-1, *shape) for part in images), (len(places), *shape))
        write_idx(folder / f"{split}-labels.idx", [loaded.labels[places].astype(label_type)], (len(places),))
        write_idx(folder / f"{split}-identities.idx", [loaded.identities[places]], (len(places), BYTES))
        (folder / f"{split}-{GROUPS}.idx").unlink(missing_ok=True)
        if loaded.groups is not None:
            write_idx(folder / f"{split}-{GROUPS}.idx", [loaded.groups[places]], (len(places), BYTES))
    if loaded.files is not None:
        write_table(folder / TEST_FILES, loaded.files[loaded.in_test])
    numbers = loaded.by_content, loaded.duplicates, loaded.unreadable, loaded.published
    write_json(folder / DESCRIPTION, asdict(Description(loaded.task, *numbers, digests(folder))))


def keep_only(folder: Path, names: Collection[str]) -> None:
    """Leave these datasets in a folder, which is made where there is none, and nothing else but a list of them."""
    write_json(folder / INDEX, {"datasets": sorted(names)})
    for path in {*folder.iterdir()} - {folder / name for name in (*names, INDEX)}:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def read_description(folder: Path) -> Description:
    """Read a dataset's dataset.json, and check that the files beside it are those that it describes.

    Raises:
        Refusal: it is no such description, or a file has another SHA-256.
        FileNotFoundError: it or one of the files is missing.
    """
    description = read_json(folder / DESCRIPTION, Description)
    found = digests(folder)
    for name in sorted(found.keys() | description.sha256.keys()):
        sha256, expected = (of.get(name, "nothing") for of in (found, description.sha256))
        if sha256 != expected:
            raise Refusal(
                f"{folder / name} has the SHA-256 {sha256[:12]}..., {folder / DESCRIPTION} says {expected[:12]}...; "
                "`dvc repro` makes it anew"
            )
    return description


def read_raw(folder: Path) -> Raw:
    """Open a dataset in data/raw/, and check its files one against the other.

    Raises:
        Refusal: a file is another than dataset.json says or no IDX file, a label has no class, or the counts differ.
    """
    description = read_description(folder)
    train, test = (_read_split(folder, split, len(description.task.classes)) for split in SPLITS)
    if TEST_FILES in description.sha256:
        files = read_table(folder / TEST_FILES, FILES)
        if len(files) != len(test.labels):
            raise Refusal(f"{folder / TEST_FILES} has {len(files):,} rows for {len(test.labels):,} images")
        test = replace(test, files=files)
    return Raw(description, train, test)


def _read_split(folder: Path, split: str, classes: int) -> Split:
    images, labels_file, identities_file = (IdxFile(folder / f"{split}-{content}.idx") for content in CONTENTS)
    if len(images.shape) not in {3, 4}:
        raise Refusal(f"{images.path} holds the shape {images.shape}, expected images")
    if labels_file.shape != (len(images),) or identities_file.shape != (len(images), BYTES):
        raise Refusal(
            f"{labels_file.path} holds the shape {labels_file.shape} and {identities_file.path.name} "
            f"{identities_file.shape} for {len(images):,} images"
        )
    labels = labels_file.read()
    if len(labels) and (labels.min() < 0 or labels.max() >= classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise Refusal(f"{labels_file.path} has the label {wrong}, expected 0 to {classes - 1}")
    groups = IdxFile(path).read() if (path := folder / f"{split}-{GROUPS}.idx").exists() else None
    if groups is not None and groups.shape != identities_file.shape:
        raise Refusal(f"{path} holds the shape {groups.shape} for {len(images):,} images")
    return Split(images, labels, identities_file.read(), groups)


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a dataset."""
    found = {}
    names = [f"{split}-{content}.idx" for split in SPLITS for content in CONTENTS]
    optional = [*(f"{split}-{GROUPS}.idx" for split in SPLITS), TEST_FILES]
    for name in [*names, *(name for name in optional if (folder / name).exists())]:
        with (folder / name).open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
