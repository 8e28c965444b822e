"""What lies in a folder of pictures, however deep: the picture files, and what is left out and why."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from digits.pictures.decoding import NOT_DECODED, SUFFIXES

PASSED_OVER = {"thumbs.db", "desktop.ini"}  # and what begins with a dot
LINK_TO_CACHE = re.compile(r"[/\\][0-9a-f]{2}[/\\][0-9a-f]{30}$")  # how DVC names files, and may link to them


class Entry(NamedTuple):
    """A file, or a folder that is not entered."""

    path: Path
    left_out: str
    """Why; empty for a picture."""
    hidden: bool = False
    """Whether people do not see it there."""


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

    macOS writes an accent as a letter of its own.
    """
    return unicodedata.normalize("NFC", os.fsencode(path.name).decode("utf-8", "surrogateescape"))


def printable(path: Path) -> str:
    """A path in one line, whatever letters its name has."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in os.fsencode(path).decode(errors="backslashreplace")
    )
