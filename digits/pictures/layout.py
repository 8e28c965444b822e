"""What lies in a folder of pictures, however deep: the picture files, what folders say of them, what is left out."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from digits.foundation.command import Refusal
from digits.pictures.decoding import NOT_DECODED, SUFFIXES

PASSED_OVER = {"thumbs.db", "desktop.ini"}  # and what begins with a dot
TO_TRAIN = {"train", "training", "valid", "validation", "val"}  # folders of a person's own split
TO_TEST = {"test", "testing"}
TEN_DIGITS = set("0123456789")
MOST_NAMED = 10
LINK_TO_CACHE = re.compile(r"[/\\][0-9a-f]{2}[/\\][0-9a-f]{30}$")  # how DVC names files, and may link to them


class Entry(NamedTuple):
    """A file, or a folder that is not entered."""

    path: Path
    left_out: str
    """Why; empty for a picture."""
    hidden: bool = False
    """Whether people do not see it there."""


class Found(NamedTuple):
    """A picture, and what its folders say of it."""

    path: Path
    name: str
    """Of its class."""
    group: str
    """The folder below its class's; empty where there is none."""
    in_test: bool | None
    """On which side of a person's own split it is; None where there is no such split."""


class Problems(list[tuple[Path, str]]):
    """Files and folders that cannot be used, each with why."""

    hint = ""
    """What might be done about them."""

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


def scan(folder: Path, problems: Problems) -> list[Found]:
    """The pictures below `folder`/CLASS/, and as problems what else is there.

    Where `folder` holds train/ and test/ and nothing else, these are a person's own split, with the classes in each.
    Hidden files and what systems leave behind are passed over.

    Raises:
        Refusal: there is no class's folder.
    """
    top = visible(folder) if folder.is_dir() else []
    if not top:
        if (tracked := folder.with_name(f"{folder.name}.dvc")).exists():
            raise Refusal(f"{folder} holds no images, though {tracked} tracks some: `dvc pull {folder}` brings them")
        raise Refusal(
            f"{folder} holds no images: put some into {folder}/CLASS/, a folder for each class, then `dvc add {folder}`"
        )
    sides: list[tuple[Path, bool | None]] = [(folder, None)]
    if is_split(top):
        sides = [(path, path.name.casefold() in TO_TEST) for path in top if path.is_dir()]
        problems += [(path, "lies beside the split's folders") for path in top if not path.is_dir()]
    found: list[Found] = []
    spelled: dict[str, str] = {}
    for side, in_test in sides:
        there: dict[str, Path] = {}
        for path in visible(side):
            name = name_of(path)
            if path.is_symlink() or not path.is_dir():
                problems.append((path, "lies beside the classes' folders, expected in one of them"))
                continue
            if not name or not name.isprintable():
                problems.append(
                    (path, "names a class that cannot be shown, expected letters, digits, signs and spaces")
                )
                continue
            first = there.setdefault(spelling(name), path)
            if first != path or spelled.setdefault(spelling(name), name) != name:
                other = printable(first) if first != path else spelled[spelling(name)]
                problems.append(
                    (path, f"is the class of {other} but for capitals, accents or blanks, expected one name")
                )
            within = [entry for entry in walk(path, folder.resolve()) if not entry.hidden]
            problems += [(entry.path, entry.left_out) for entry in within if entry.left_out]
            pictures = [entry.path for entry in within if not entry.left_out]
            if not pictures:
                problems.append((path, "holds no image, expected some"))
            for picture in pictures:
                folders = picture.relative_to(path).parts[:-1]
                found.append(Found(picture, name, name_of(Path(folders[0])) if folders else "", in_test))
    return found


def is_split(top: list[Path]) -> bool:
    """Whether folders are a person's own split, for training and for testing."""
    names = {path.name.casefold() for path in top if path.is_dir()}
    return names <= TO_TRAIN | TO_TEST and bool(names & TO_TRAIN) and bool(names & TO_TEST)


def check_nesting(folder: Path, found: list[Found], grouped: bool, problems: Problems) -> list[str]:
    """Take down where the classes seem to be other folders than those that are taken for them.

    Args:
        folder: of all.
        found: below it.
        grouped: whether the folders within the classes are known to be groups.
        problems: to which is added what cannot be meant.

    Returns:
        What might be meant otherwise, a line each.
    """
    split = bool(found) and found[0].in_test is not None
    within: dict[Path, set[str]] = defaultdict(set)
    for image in found:
        of_class = image.path.relative_to(folder).parts[: 2 if split else 1]
        within[folder.joinpath(*of_class)].add(image.group)
    classes = {image.name for image in found}
    for path, groups in within.items():
        inner = groups - {"", name_of(path)}
        if inner and not split and name_of(path).casefold() in TO_TRAIN | TO_TEST:
            problems.append((path, f"holds {listed(inner)}, expected train and test with classes in both, or classes"))
        elif len(classes) == 1 and len(inner) > 1 and "" not in groups:
            problems.append((path, f"is the only class, and holds {listed(inner)}, expected these in its place"))
        elif inner & classes and not grouped:
            problems.append((
                path,
                f"holds {listed(inner & classes)}, as {folder} does: expected their pictures there, "
                "or datasets.own.group: folder if these are writers, cameras or days",
            ))  # fmt: skip
    in_classes = Counter(group for _, group in {(image.name, image.group) for image in found} if group)
    shared = {group for group, classes_with in in_classes.items() if classes_with > 1}
    if grouped or problems or len(shared) < 2:
        return []
    if shared >= TEN_DIGITS and not classes & TEN_DIGITS:
        problems.append((folder, f"holds {listed(classes)}, and these {listed(shared)}, expected the digits outermost"))
    return [
        f"{listed(shared)} lie in several classes: if they are writers, cameras or days, datasets.own.group: folder "
        "keeps each on one side of the split; if they are the classes, they belong outermost"
    ]


def listed(names: Collection[str]) -> str:
    """The first few of some folders' names."""
    some = [in_one_line(name) for name in sorted(names)]
    more = f" and {len(some) - MOST_NAMED:,} more" if len(some) > MOST_NAMED else ""
    return f"the folder{'s' * (len(some) > 1)} {', '.join(some[:MOST_NAMED])}{more}"


def visible(folder: Path) -> list[Path]:
    """What is in a folder, in order, without what people do not see."""
    return [path for path in sorted(folder.iterdir()) if not is_hidden(path)]


def walk(folder: Path, root: Path | None) -> Iterator[Entry]:
    """All files below a folder, in order.

    Args:
        folder: where to begin.
        root: out of which no link may lead, but to DVC's cache; None lets links lead to any file.
    """
    for path in sorted(folder.iterdir()):
        if is_hidden(path):
            yield Entry(path, "is hidden, or what a system leaves behind", hidden=True)
        elif path.is_symlink() and (why := link_refused(path, root)):
            yield Entry(path, why)
        elif path.is_dir():
            yield from walk(path, root)
        elif not path.is_file():
            yield Entry(path, "is no file")
        elif path.suffix.lower() not in SUFFIXES | NOT_DECODED:
            yield Entry(path, f"is no image by its name, expected one that ends in {', '.join(sorted(SUFFIXES))}")
        else:
            yield Entry(path, "")


def is_hidden(path: Path) -> bool:
    """Whether it is among what people do not see in a folder."""
    return path.name.startswith(".") or path.name.lower() in PASSED_OVER


def link_refused(path: Path, root: Path | None) -> str:
    """Why a link is not followed: it leads nowhere, to a folder, or out of the images, but for DVC's cache."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a circle, before Python 3.13
        return "is a link to nothing or in a circle"
    if target.is_dir():
        return "is a link to a folder, expected a folder"
    if root and not target.is_relative_to(root) and not LINK_TO_CACHE.search(str(target)):
        return "is a link out of the folder"
    return ""


def name_of(path: Path) -> str:
    """The name of a folder, in UTF-8 whatever the locale says; what is none has letters then that cannot be shown.

    macOS writes an accent as a letter of its own; a blank at either end is seen by nobody.
    """
    return unicodedata.normalize("NFC", os.fsencode(path.name).decode("utf-8", "surrogateescape")).strip()


def spelling(name: str) -> str:
    """What names have in common that people would take for one."""
    return " ".join(name.split()).casefold()


def printable(path: Path) -> str:
    """A path in one line, whatever letters its name has and whatever the locale says."""
    return in_one_line(os.fsencode(path).decode(errors="backslashreplace"))


def in_one_line(name: str) -> str:
    """A name as `name_of` gives it, with signs for the letters that cannot be shown."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)
