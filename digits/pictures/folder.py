"""A person's own images, gathered from folders that are named after their classes.

On which side of the split an image stands follows from its identity alone, or from the name of its group where groups
are told. So a dataset that grows never moves an image that was there, and names, dates and the order of the files leave
no other trace in the images: only in the table of names.
"""

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from digits.data.identity import BYTES, draw, of_group
from digits.data.measured import FILES
from digits.data.raw import Loaded
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.parameters import AUTO, MOST_CLASSES, Folder
from digits.pictures.automatic import Settled, in_runs, settle
from digits.pictures.layout import MOST_NAMED, Found, Problems, check_nesting, listed, printable, scan, spelling
from digits.pictures.reading import Pile, identify, in_processes, read_all

NO_DIGIT = "shows no digit"  # as refusals of pictures begin that can be read
STRAYS = (
    0.01  # share without a digit among digits; where there are more, and classes that are none, all are other things:
)
# 0.0015 of strangers' digits, 0.026 of faint and noisy letters in 40 fonts
FEW_OF_A_CLASS = 20  # pictures: with fewer, one more or less in the test split decides its accuracy


class Kept(NamedTuple):
    """A picture that shows something."""

    found: Found
    identity: bytes
    group: bytes
    """What stands on one side of the split with it: 8 bytes, its identity where it has no group."""
    framed: bytes
    """A digest of the framed image."""


def tell(found: list[Found], names: list[str]) -> None:
    """Say what was found in the folder, in a few lines."""
    counts = Counter(image.name for image in found)
    listed = [f"{name} {counts[name]:,}" for name in names[:MOST_NAMED]]
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    classes = "classes" if len(names) > 1 else "class"
    print(f"{len(found):,} pictures of {len(names):,} {classes}: {', '.join(listed)}{more}")
    few = sorted((counts[name], name) for name in names if counts[name] < FEW_OF_A_CLASS)
    if few:
        print(f"less than {FEW_OF_A_CLASS} pictures: {len(few):,} of the classes, {few[0][1]} with {few[0][0]}")
    in_test = [image.in_test for image in found if image.in_test is not None]
    if in_test:
        print(f"split by the folders: {sum(in_test):,} pictures to test on, {len(found) - sum(in_test):,} to train on")


def gather(folder: Path, wanted: Folder, alone: bool = True) -> Loaded:
    """Read the images below `folder`/CLASS/, or below `folder`/train/CLASS/ and `folder`/test/CLASS/.

    Args:
        folder: with a folder for each class.
        wanted: how the pictures become images, and which share of them is for testing.
        alone: whether this is all that is trained and tested on, so that each class needs some of both.

    Returns:
        The images in the order of their identities. A picture that is there twice counts once.

    Raises:
        Refusal: there are no classes or no images, or some cannot be used; names the first ten and how many there are.
    """
    problems = Problems()
    found = scan(folder, problems)
    names = sorted({image.name for image in found})
    if found:
        tell(found, names)
    grouped = wanted.group == "folder"
    advice = check_nesting(folder, found, grouped, problems)
    if alone:
        check_counts(folder, found, problems)
    problems.refuse(folder)  # before the pictures are read, which takes its time
    paths = [image.path for image in found]
    settled = settle(wanted, paths)
    print(*settled.told, *advice, sep="\n", end="\n" if settled.told or advice else "")
    pile, kept, refused = read_found(found, settled, grouped)
    without = sum(why.startswith(NO_DIGIT) for _, why in refused)
    if wanted.framing == AUTO and without > STRAYS * len(found) and not Task(names, "digit").of_digits:
        settled = settle(wanted.model_copy(update={"framing": "whole"}), paths)
        print(
            f"framing whole instead: {without:,} show no digit, and not all classes are called 0 to 9",
            *settled.told,
            sep="\n",
        )
        pile, kept, refused = read_found(found, settled, grouped)
        without = 0
    problems.extend(refused)
    unreadable = len(problems)
    if without:
        problems.hint = (
            "pictures of other things than one digit each are read with datasets.own.framing: whole; "
            "datasets.own.unreadable: skip leaves out what is named here"
        )
    if wanted.unreadable == "skip":
        problems.clear()
    firsts = once(kept, problems)
    if not firsts and not problems:
        raise Refusal(f"{folder} holds {len(found):,} pictures of which none can be used, expected some")
    counted = [kept[place] for place in firsts]
    labels = np.array([names.index(image.found.name) for image in counted], np.int64)
    groups = as_array([image.group for image in counted])
    in_test, why = draw(groups, "test") < wanted.test, "by their groups' names" if grouped else "by their content"
    if found[0].in_test is not None:
        in_test, why = np.array([image.found.in_test for image in counted], bool), "by their folders"
    if alone:
        check_classes(folder, names, labels, in_test, why, problems)
    problems.refuse(folder)
    if grouped:
        tell_groups(counted, in_test)
    files = names_of_files(folder, kept)
    pile.sort(np.array(firsts))
    if why == "by their content" and (runs := in_runs(pile, [image.found.path for image in counted], labels)):
        print(runs)
    return Loaded(
        Task(names, settled.framing), pile, labels, as_array([image.identity for image in counted]), in_test,  # type: ignore[arg-type]
        by_content=True, duplicates=len(kept) - len(firsts), unreadable=unreadable, groups=groups if grouped else None,
        files=pd.DataFrame([files[image.identity] for image in counted], columns=list(FILES)),
    )  # fmt: skip


def read_found(found: list[Found], settled: Settled, grouped: bool) -> tuple[Pile, list[Kept], Problems]:
    """The images of the pictures that can be read, what they are, and the other pictures, each with why."""
    pile, kept, refused = Pile(settled.shape), list[Kept](), Problems()
    paths = [image.path for image in found]
    for image, read in zip(found, read_all(paths, settled.framing, settled.shape), strict=True):
        if read.refused:
            refused.append((image.path, read.refused))
        else:
            pile.append(read.pixels)
            group = of_group(spelling(image.group)) if grouped and image.group else read.identity
            kept.append(Kept(image, read.identity, group, hashlib.blake2b(read.pixels, digest_size=8).digest()))
    return pile, kept, refused


def files_of(folder: Path) -> dict[bytes, str]:
    """By identity, the file below `folder`/ that shows a picture; the first by its name where there are several."""
    found = scan(folder, Problems())
    identities = in_processes(identify, [image.path for image in found])
    kept = [Kept(image, of, of, b"") for image, of in zip(found, identities, strict=True) if of]
    return {identity: name for identity, (name, _) in names_of_files(folder, kept).items()}


def as_array(identities: list[bytes]) -> np.ndarray:
    """Identities of 8 bytes as uint8 of shape (n, 8)."""
    return np.frombuffer(b"".join(identities), np.uint8).reshape(-1, BYTES)


def tell_groups(counted: list[Kept], in_test: np.ndarray) -> None:
    """Say how many groups there are on either side, and what is on both or has none."""
    sides = [
        {spelling(image.found.group) for image, tests in zip(counted, in_test, strict=True) if tests == side} - {""}
        for side in (False, True)
    ]
    alone = sum(not image.found.group for image in counted)
    print(
        f"groups: {len(sides[0]):,} to train on, {len(sides[1]):,} to test on"
        + (f", and {alone:,} pictures without one" if alone else "")
        + ("" if in_test.any() else "; a larger datasets.own.test takes some to test on")
    )
    if sides[0] & sides[1]:
        print(f"your split has {listed(sides[0] & sides[1])} on both sides: the accuracy is then too good")


def once(kept: list[Kept], problems: Problems) -> list[int]:
    """The places of the pictures, each once a side, in the order of their identities; and what is said of the others.

    A photograph and its copy as PNG show the same and may be framed a little differently: which of them stays follows
    from the framed images, and not from the files' names. Of a picture that is in two groups, that in the group stays
    which a smaller share of test images would hold too: none is on both sides, and none leaves the test images.
    """
    firsts: dict[tuple[bytes, bool | None], int] = {}
    of_identity: dict[bytes, Found] = {}
    twice = []
    drawn = draw(as_array([image.group for image in kept]), "test")
    for place in sorted(range(len(kept)), key=lambda place: (kept[place].identity, drawn[place], kept[place].framed)):
        image, identity, *_ = kept[place]
        first = kept[firsts.setdefault((identity, image.in_test), place)].found
        known = of_identity.setdefault(identity, image)
        if known.name != image.name:
            problems.append((image.path, f"shows the same picture as {printable(known.path)}, of another class"))
        elif first is not image:
            twice.append((image.path, first.path))
    for path, first_path in sorted(twice)[:MOST_NAMED]:
        print(f"{printable(path)} shows the same picture as {printable(first_path)}: counted once")
    if len(twice) > MOST_NAMED:
        print(f"and {len(twice) - MOST_NAMED:,} more pictures that are there already")
    return list(firsts.values())


def names_of_files(folder: Path, kept: list[Kept]) -> dict[bytes, tuple[str, int]]:
    """By identity, the name of the file that shows it, the first where there are several, and how many more do."""
    names: dict[bytes, list[str]] = {}
    for image in kept:
        names.setdefault(image.identity, []).append(printable(image.found.path.relative_to(folder)))
    return {identity: (min(of_one), len(of_one) - 1) for identity, of_one in names.items()}


def check_counts(folder: Path, found: list[Found], problems: Problems) -> None:
    """Take down what keeps the classes from being told apart, as far as it is known from the number of files."""
    if problems:  # which may be why there are too few
        return
    files, to_train = (
        Counter(image.name for image in found),
        Counter(image.name for image in found if not image.in_test),
    )
    if not 2 <= len(files) <= MOST_CLASSES:
        problems.append((folder, f"holds images of {len(files):,} classes, expected 2 to {MOST_CLASSES:,}"))
    for name, count in files.items():
        if not to_train[name]:
            problems.append((folder, f"holds pictures of {name} to test on and none to train on, expected some"))
        elif count < 2:
            problems.append((folder / name, "holds 1 picture, expected at least 2"))


def check_classes(
    folder: Path, names: list[str], labels: np.ndarray, in_test: np.ndarray, why: str, problems: Problems
) -> None:
    """Take down the same, once the images are known."""
    if problems:  # which may be why a class has too few
        return
    for label, name in enumerate(names):
        of_class = in_test[labels == label]
        if len(of_class) < 2:
            problems.append((folder / name, f"holds {len(of_class)} different pictures, expected at least 2"))
        elif of_class.all():
            problems.append((folder / name, f"holds {len(of_class)} pictures that all are test images {why}; add some"))
