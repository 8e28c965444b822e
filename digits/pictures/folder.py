"""A person's own images, gathered from folders that are named after their classes.

On which side of the split an image stands follows from its identity alone. So a dataset that grows never moves an image
that was there, and names, dates and the order of the files leave no trace in the result.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from digits.data.identity import BYTES, draw
from digits.data.raw import Loaded
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.parameters import MOST_CLASSES, Folder
from digits.pictures.automatic import settle
from digits.pictures.layout import is_hidden, name_of, printable, walk
from digits.pictures.pile import Pile
from digits.pictures.reading import read_all

MOST_NAMED = 10
MANY = 0.1  # of the pictures, that show no digit
FEW_OF_A_CLASS = 20  # pictures: with fewer, one more or less in the test split decides its accuracy


class Found(NamedTuple):
    """An image file, and the class that its folder names."""

    path: Path
    name: str


class Kept(NamedTuple):
    """An image file that shows something."""

    path: Path
    name: str
    identity: bytes
    framed: bytes
    """A digest of the framed image."""


class Problems(list[tuple[Path, str]]):
    """Files and folders that cannot be used, each with why."""

    hint = ""
    """What might be done about many of them."""

    def refuse(self, folder: Path) -> None:
        """End with the first of them and their number, if there are any.

        Raises:
            Refusal: there are.
        """
        if not self:
            return
        lines = [f"  {printable(path)}: {why}" for path, why in sorted(self)[:MOST_NAMED]]
        more = [f"  and {len(self) - MOST_NAMED:,} more"] if len(self) > MOST_NAMED else []
        hint = [self.hint] if self.hint else []
        raise Refusal("\n".join([f"{folder} cannot be taken as it is:", *lines, *more, *hint]))


def tell(found: list[Found], names: list[str], told: list[str]) -> None:
    """Say what was found in the folder, in a few lines."""
    counts = Counter(image.name for image in found)
    listed = [f"{printable(Path(name))} {counts[name]:,}" for name in names[:MOST_NAMED]]
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    print(f"{len(found):,} pictures of {len(names):,} classes: {', '.join(listed)}{more}", *told, sep="\n")
    few = sorted((counts[name], name) for name in names if counts[name] < FEW_OF_A_CLASS)
    if few:
        print(f"less than {FEW_OF_A_CLASS} pictures: {len(few):,} of the classes, {few[0][1]} with {few[0][0]}")


def gather(folder: Path, wanted: Folder, bar: bool) -> Loaded:
    """Read the images below `folder`/CLASS/.

    Args:
        folder: with a folder for each class.
        wanted: how the pictures become images, and which share of them is for testing.
        bar: whether to draw a progress bar.

    Returns:
        The images in the order of their identities. A picture that is there twice counts once.

    Raises:
        Refusal: there are no classes or no images, or some cannot be used; names the first ten and how many there are.
    """
    problems = Problems()
    found = list(scan(folder, problems))
    names = sorted({image.name for image in found})
    structure = len(problems)
    paths = [image.path for image in found]
    framing, shape, told = settle(wanted, paths)
    tell(found, names, told)
    pile, kept = Pile(shape), []
    for image, read in zip(found, read_all(paths, framing, shape, bar), strict=True):
        if read.refused:
            problems.append((image.path, read.refused))
        else:
            pile.append(read.pixels)
            kept.append(Kept(*image, read.identity, hashlib.blake2b(read.pixels, digest_size=8).digest()))
    unreadable = len(problems) - structure
    if framing == "digit" and unreadable > MANY * len(found):
        problems.hint = "pictures of other things than one digit each are read with datasets.own.framing: whole"
    if wanted.unreadable == "skip":
        del problems[structure:]
    firsts = once(kept, problems)
    labels = np.array([names.index(kept[place].name) for place in firsts], np.int64)
    identities = np.frombuffer(b"".join(kept[place].identity for place in firsts), np.uint8).reshape(-1, BYTES)
    in_test = draw(identities, "test") < wanted.test
    check_classes(folder, names, labels, in_test, problems)
    problems.refuse(folder)
    pile.sort(np.array(firsts))
    return Loaded(
        Task(names, framing), pile, labels, identities, in_test,  # type: ignore[arg-type]
        by_content=True, duplicates=len(kept) - len(firsts), unreadable=unreadable,
    )  # fmt: skip


def scan(folder: Path, problems: Problems) -> Iterator[Found]:
    """The image files below `folder`/CLASS/, and as problems what else is there.

    Hidden files and what systems leave behind are passed over.

    Raises:
        Refusal: there is no class's folder.
    """
    entries = [path for path in sorted(folder.iterdir()) if not is_hidden(path)] if folder.is_dir() else []
    if not entries:
        raise Refusal(
            f"{folder} holds no images: put some into {folder}/CLASS/, a folder for each class, then `dvc add {folder}`"
        )
    classes: dict[str, Path] = {}
    for path in entries:
        name = name_of(path)
        if path.is_symlink() or not path.is_dir():
            problems.append((path, "lies beside the classes' folders, expected in one of them"))
            continue
        if not name.isprintable() or not name.strip():
            problems.append((path, "names a class that cannot be shown, expected letters, digits, signs and spaces"))
            continue
        if name.casefold() in classes:
            other = printable(classes[name.casefold()])
            problems.append((path, f"and {other} are one class where capitals do not count, expected different names"))
        classes.setdefault(name.casefold(), path)
        within = [entry for entry in walk(path, folder.resolve()) if not entry.hidden]
        problems += [(entry.path, entry.left_out) for entry in within if entry.left_out]
        pictures = [Found(entry.path, name) for entry in within if not entry.left_out]
        if not pictures:
            problems.append((path, "holds no image, expected some"))
        yield from pictures


def once(kept: list[Kept], problems: Problems) -> list[int]:
    """The places of the pictures, each once, in the order of their identities; and what is said of the others.

    A photograph and its copy as PNG show the same and may be framed a little differently: which of them stays follows
    from the framed images, and not from the files' names.
    """
    firsts: dict[bytes, int] = {}
    twice = []
    for place in sorted(range(len(kept)), key=lambda place: (kept[place].identity, kept[place].framed)):
        image = kept[place]
        first = kept[firsts.setdefault(image.identity, place)]
        if first.name != image.name:
            problems.append((image.path, f"shows the same picture as {printable(first.path)}, of another class"))
        elif first is not image:
            twice.append((image.path, first.path))
    for path, first_path in sorted(twice)[:MOST_NAMED]:
        print(f"{printable(path)} shows the same picture as {printable(first_path)}: counted once")
    if len(twice) > MOST_NAMED:
        print(f"and {len(twice) - MOST_NAMED:,} more pictures that are there already")
    return list(firsts.values())


def check_classes(folder: Path, names: list[str], labels: np.ndarray, in_test: np.ndarray, problems: Problems) -> None:
    """Take down what keeps the classes from being told apart, once the images are known."""
    if not problems and not 2 <= len(names) <= MOST_CLASSES:
        problems.append((folder, f"holds images of {len(names):,} classes, expected 2 to {MOST_CLASSES:,}"))
    if problems:  # which may be why a class has too few
        return
    for label, name in enumerate(names):
        of_class = in_test[labels == label]
        if len(of_class) < 2:
            problems.append((folder / name, f"holds {len(of_class)} different pictures, expected at least 2"))
        elif of_class.all():
            problems.append(
                (folder / name, f"holds {len(of_class)} pictures that all are test images by their content; add some")
            )
