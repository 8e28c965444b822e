"""What a person decides of the doubtful labels: it is in data/corrections.csv at once, and can be taken back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from commands.review.suspects import Images
from commands.serving.pixels import data_url
from digits.data.corrections import CORRECTIONS, Correction, read_corrections, write_corrections
from digits.foundation.command import Refusal

LIKELY = 3  # classes that are shown of an image
LOCK = Path(".dvc/tmp/corrections.lock")  # where Git does not look
LONGEST_S = 10  # that another page may keep the file


@dataclass(frozen=True)
class Share:
    """How probable a class is to a network that was not trained on the image."""

    label: str
    probability: float


@dataclass(frozen=True)
class Relative:
    """An image that is most alike to another."""

    label: str
    split: str
    seen: str
    """A data URL of a PNG, as all that is `seen`."""


@dataclass(frozen=True)
class Doubt:
    """An image whose label is doubtful."""

    position: int
    """From 0, the most doubtful."""
    dataset: str
    image: str
    """The 16 letters of its identity."""
    file: str
    """Which shows it below data/own/images; nothing where it is none of a person's own."""
    split: str
    label: Share
    likely: list[Share]
    """The likeliest classes, the likeliest first."""
    seen: str
    relatives: list[Relative]
    """The most alike first."""


@dataclass(frozen=True)
class View:
    """What the page shows now."""

    doubt: Doubt | None
    """Nothing where no doubtful label follows."""
    left: int
    """How many doubtful labels nobody has decided on."""
    corrected: int
    """How many rows of data/corrections.csv give another class,"""
    left_out: int
    """leave an image out,"""
    right: int
    """and say that the label is right."""
    undoable: bool


class Review:
    """The doubtful labels and what is decided of them. For one thread at a time.

    Args:
        images: all images.
        doubtful: rows of what `suspects.rank` gives, the most doubtful first.
        probabilities: shape (n, classes), of all images.
        near: places of the images that are most alike to each of the doubtful ones, shape (doubtful, some).
    """

    def __init__(self, images: Images, doubtful: pd.DataFrame, probabilities: np.ndarray, near: np.ndarray) -> None:
        self._images = images
        self._places = doubtful["place"].to_numpy()
        self._keys = list(zip(doubtful["dataset"], doubtful["image"], strict=True))
        self._probabilities = probabilities
        self._near = near
        self._decided: list[Correction] = []

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def classes(self) -> list[str]:
        """Their names."""
        return self._images.task.classes

    @property
    def framing(self) -> str:
        """`digit` where the images are ink, `whole` where they are light."""
        return self._images.task.framing

    def view(self, start: int = 0) -> View:
        """The first doubtful label from `start` on that nobody has decided on.

        Raises:
            Refusal: data/corrections.csv cannot be read.
        """
        return self._view(read_corrections(), start)

    def decide(self, dataset: str, image: str, label: str) -> View:
        """Write down what an image is, and go on to the next one. What others wrote into the file stays there.

        Args:
            dataset: the entry of `datasets` that delivers it.
            image: the 16 letters of its identity.
            label: its class, or nothing to leave it out; that which it has is remembered as right.

        Raises:
            Refusal: there is no such image or class, the image has a row already, or the file cannot be written.
        """
        key = dataset, image
        if key not in self._keys:
            raise Refusal("this image is none of the doubtful ones; the review was begun anew: load the page again")
        if label and label not in self.classes:
            raise Refusal(f"there is no class {label!r}")
        position = self._keys.index(key)
        with rewriting() as rows:
            if key in rows:
                line = rows[key].line
                raise Refusal(f"{CORRECTIONS}, line {line}: this image has a row already, which stays as it is")
            rows[key] = Correction(image, dataset, self._images.table["was"][self._places[position]], label)
        self._decided.append(rows[key])
        return self._view(rows, position + 1)

    def undo(self) -> View:
        """Take the last decision back that was not yet, and show its image again.

        Raises:
            Refusal: there is none, its row was changed by somebody else since, or the file cannot be written.
        """
        if not self._decided:
            raise Refusal("there is no decision to take back")
        last = self._decided[-1]
        key = last.dataset, last.image
        with rewriting() as rows:
            if rows.get(key) != last:
                self._decided.pop()
                raise Refusal(f"{CORRECTIONS}: the row of {last.image} was changed since, and stays as it is")
            del rows[key]
        self._decided.pop()
        return self._view(rows, self._keys.index(key))

    def _view(self, rows: dict[tuple[str, str], Correction], start: int) -> View:
        undecided = [position for position, key in enumerate(self._keys) if key not in rows]
        shown = next((position for position in undecided if position >= start), None)
        changing = [row.becomes for row in rows.values() if row.changes]
        return View(
            doubt=None if shown is None else self._doubt(shown),
            left=len({self._keys[position] for position in undecided}),
            corrected=sum(map(bool, changing)),
            left_out=changing.count(""),
            right=len(rows) - len(changing),
            undoable=bool(self._decided),
        )

    def _doubt(self, position: int) -> Doubt:
        place, (dataset, image) = self._places[position], self._keys[position]
        shares, labels, table = self._probabilities[place], self._images.labels, self._images.table

        def share(label: int) -> Share:
            return Share(self.classes[label], float(shares[label]))

        return Doubt(
            position, dataset, image, table["file"][place], table["split"][place], share(labels[place]),
            [share(label) for label in np.argsort(-shares, kind="stable")[:LIKELY]], self._seen(place),
            [Relative(self.classes[labels[near]], table["split"][near], self._seen(near))
             for near in self._near[position]],
        )  # fmt: skip

    def _seen(self, place: int) -> str:
        pixels = self._images.pixels[place]
        return data_url(pixels, self._images.task.ink)


@contextmanager
def rewriting() -> Iterator[dict[tuple[str, str], Correction]]:
    """The rows of data/corrections.csv, which are written when the block ends; another page's have to wait for it.

    Raises:
        Refusal: the file cannot be read or written, or somebody keeps it for longer than that takes.
    """
    try:
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(LOCK).acquire(timeout=LONGEST_S)
    except OSError as error:
        raise Refusal(f"{CORRECTIONS} cannot be written: {LOCK}: {error.strerror or error}") from error
    with lock:
        rows = read_corrections()
        yield rows
        write_corrections(rows.values())


def doubtful(ranked: pd.DataFrame, least: int) -> pd.DataFrame:
    """Those images to which another class is likelier than their label, or the first ones where these are fewer.

    Args:
        ranked: as `suspects.rank` gives it.
        least: how many images at least, where there are so many.
    """
    return ranked.head(max(least, int((ranked["probability"] < ranked["likely_probability"]).sum())))
