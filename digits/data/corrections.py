"""Labels that are wrong, corrected as data: data/corrections.csv, which says of an image what it was and what it is."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from digits.data import identity
from digits.data.raw import Split
from digits.foundation.command import Refusal
from digits.foundation.files import write_bytes

CORRECTIONS = Path("data/corrections.csv")
COLUMNS = ["image", "dataset", "was", "is", "why"]


@dataclass(frozen=True)
class Correction:
    """A row of data/corrections.csv."""

    image: str
    """The 16 letters of its identity, as metrics/test_images.csv has them."""
    dataset: str
    """The entry of `datasets` that delivers it; also where that is joined with others."""
    was: str
    """The class as it is delivered."""
    becomes: str
    """The class that it is; empty where the image is to be left out, and as it was where somebody found that right."""
    why: str = ""
    line: int = field(default=0, compare=False)
    """Where it ends in the file, from 1."""

    @property
    def changes(self) -> bool:
        """Whether the image's label is another now, or none."""
        return self.becomes != self.was


@dataclass(frozen=True)
class Corrected:
    """The labels of a split with its corrections."""

    labels: np.ndarray
    """Integers of shape (n,), places in the classes."""
    kept: np.ndarray
    """bool of shape (n,), false where an image is left out."""
    changed: np.ndarray
    """bool of shape (n,), true where its label is another now, or it is left out."""


def read_corrections(path: Path = CORRECTIONS) -> dict[tuple[str, str], Correction]:
    """The rows of the file, by dataset and image, in order.

    Raises:
        Refusal: it is missing or no such table, or two rows are of one image.
    """
    try:
        reader = csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader if row]
    except FileNotFoundError:
        raise Refusal(f"{path} is missing, expected at least the line {','.join(COLUMNS)}") from None
    except (OSError, csv.Error, ValueError) as error:
        raise Refusal(f"{path} cannot be read: {error}") from error
    first = rows[0][1] if rows else []
    if first != COLUMNS:
        raise Refusal(f"{path} begins with {','.join(first)!r}, expected {','.join(COLUMNS)}")
    found: dict[tuple[str, str], Correction] = {}
    for line, row in rows[1:]:
        if len(row) != len(COLUMNS):
            raise Refusal(f"{path}, line {line}: {len(row)} cells, expected {len(COLUMNS)}: {','.join(COLUMNS)}")
        image, dataset, was, becomes, why = row
        correction = Correction(image, dataset, was, becomes, why, line)
        if len(correction.image) != 2 * identity.BYTES or set(correction.image) - set("0123456789abcdef"):
            raise Refusal(
                f"{path}, line {line}: `image` is {correction.image!r}, expected {2 * identity.BYTES} letters, 0 to 9 "
                "and a to f, as metrics/test_images.csv has them"
            )
        key = correction.dataset, correction.image
        if key in found:
            raise Refusal(f"{path}, line {line}: {key[1]} of {key[0]} has a row already, in line {found[key].line}")
        found[key] = correction
    return found


def write_corrections(corrections: Iterable[Correction], path: Path = CORRECTIONS) -> None:
    """Write the file whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((row.image, row.dataset, row.was, row.becomes, row.why) for row in corrections)
    write_bytes(path, text.getvalue().encode())


def apply(corrections: Iterable[Correction], split: Split, classes: list[str]) -> Corrected:
    """The labels of a split as they are corrected.

    A correction of an image that was sorted into the right class since then changes nothing. Of images that are equal,
    it is of those with the label that it says was there.

    Args:
        corrections: those of the split's dataset; images that the split does not have are passed over.
        split: as it is delivered.
        classes: their names.

    Raises:
        Refusal: a class is unknown, or the label that a correction says was there is not there.
    """
    labels, kept = split.labels.copy(), np.ones(len(split.labels), bool)
    changed = np.zeros(len(labels), bool)
    known = identity.numbers(split.identities)
    order = np.argsort(known, kind="stable")
    for correction in corrections:
        number = np.uint64(int(correction.image, 16))
        first, last = (np.searchsorted(known[order], number, side) for side in ("left", "right"))
        places = order[first:last]
        if not len(places):
            continue
        line = f"{CORRECTIONS}, line {correction.line}"
        for column, name in (("was", correction.was), ("is", correction.becomes)):
            if name not in classes and not (column == "is" and name == ""):
                raise Refusal(f"{line}: `{column}` is {name!r}, expected one of the classes {', '.join(classes[:20])}")
        here = places[split.labels[places] == classes.index(correction.was)]
        delivered = {classes[label] for label in split.labels[places]}
        if not len(here) and delivered != {correction.becomes}:
            raise Refusal(
                f"{line}: `was` is {correction.was!r}, but {correction.dataset} delivers the image as "
                f"{' and '.join(map(repr, sorted(delivered)))}"
            )
        if not correction.changes:
            continue
        changed[here] = True
        if correction.becomes:
            labels[here] = classes.index(correction.becomes)
        else:
            kept[here] = False
    return Corrected(labels, kept, changed)
