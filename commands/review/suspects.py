"""The images of a dataset, the most doubtful labels first."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from digits.data.corrections import Correction
from digits.data.prepared import read_image_table, read_split, read_task
from digits.data.raw import OWN
from digits.data.task import Task
from digits.foundation.parameters import Embedded, Folder, Idx
from digits.pictures.folder import files_of

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Images:
    """All images of the prepared dataset, each once."""

    task: Task
    pixels: np.ndarray
    """float32 of shape (n, height, width, channels) in [0, 1]."""
    labels: np.ndarray
    """Integers of shape (n,), as they are corrected; of an image that is left out, as it was delivered."""
    table: pd.DataFrame
    """A row an image: `split`, `dataset`, `image`, `was`, `is`, as in data/prepared/images.csv, and the `file` below
    data/own/images that shows it; nothing where it is none of a person's own."""

    @property
    def identities(self) -> np.ndarray:
        """uint8 of shape (n, 8)."""
        return np.array([list(bytes.fromhex(name)) for name in self.table["image"]], np.uint8).reshape(-1, 8)

    def in_split(self, split: str) -> np.ndarray:
        """Which of them are of train, validation or test: bool of shape (n,)."""
        return (self.table["split"] == split).to_numpy()


def read_prepared(sources: Mapping[str, Idx | Embedded | Folder]) -> Images:
    """The images of data/prepared/, equal ones with equal labels once, as those that are repeated to train on are.

    Args:
        sources: the datasets that they come from, by their names in params.yaml.

    Raises:
        Refusal: a file is not as `prepare` writes it.
    """
    task = read_task()
    parts = [read_split(split, len(task.classes)) for split in SPLITS]
    table = pd.concat([read_image_table(split, len(part[0])) for split, part in zip(SPLITS, parts, strict=True)])
    first = ~table.duplicated().to_numpy()
    pixels, labels = (np.concatenate([part[which] for part in parts])[first] for which in (0, 1))
    files = {
        (name, identity.hex()): file
        for name, source in sources.items()
        if isinstance(source, Folder)
        for identity, file in files_of(OWN).items()
    }
    table = table[first].reset_index(drop=True)
    keys = zip(table["dataset"], table["image"], strict=True)
    return Images(task, pixels, labels, table.assign(file=[files.get(key, "") for key in keys]))


def rank(images: Images, probabilities: np.ndarray, known: dict[tuple[str, str], Correction]) -> pd.DataFrame:
    """Put the images in the order of how little their label is believed.

    That is the margin: the probability of the label less that of the likeliest other class.
    benchmarks/results/labels.csv has how many planted errors come first by it, by the probability alone, and by
    confident learning (Northcutt, Jiang, Chuang, arXiv:1911.00068), with and without neighbors (`edges`).

    Args:
        images: n of them.
        probabilities: shape (n, classes), of what did not learn from the image.
        known: what data/corrections.csv has; nobody is asked for these again.

    Returns:
        A row an image: `place` in `images`, `split`, `dataset`, `image`, `file`, `label`, its `probability`, and the
        class that is `likely` instead, with its `likely_probability`.
    """
    places = np.arange(len(images.labels))
    others = probabilities.copy()
    of_label = others[places, images.labels]
    others[places, images.labels] = -1
    likely, classes = others.argmax(axis=1), np.array(images.task.classes)
    table = images.table[["split", "dataset", "image", "file"]].assign(
        place=places,
        label=classes[images.labels],
        probability=of_label.round(6),
        likely=classes[likely],
        likely_probability=others.max(axis=1).round(6),
        margin=(of_label - others.max(axis=1)).round(9),
    )
    asked = [key not in known for key in zip(table["dataset"], table["image"], strict=True)]
    return table[asked].sort_values(["margin", "image"], kind="stable").drop(columns="margin").reset_index(drop=True)
