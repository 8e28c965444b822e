"""The drawings that are kept: data/own/images/CLASS/NAME.png, each named by its content.

Nothing here follows a symlink from data/own/images on, so nothing is written or taken away elsewhere. Nothing is read
there but what has the very content that its name stands for: DVC may keep a drawing in its cache, and link to it here.
"""

import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from digits.foundation.command import Refusal
from digits.pictures.decoding import SUFFIXES, decode, flattened
from digits.pictures.layout import LINK_TO_CACHE

IMAGES = Path("data/own/images")
LARGEST = 1024  # pixels of a kept picture's longer side; a drawing has fewer
PNG_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
NAME = re.compile(r"[0-9a-f]{16}\.png")
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(frozen=True)
class Kept:
    """A drawing that was kept: data/own/images/`label`/`name`."""

    label: str
    name: str


def as_png(content: bytes) -> bytes:
    """A picture's pixels as a PNG, without what else its file tells: where and when, by which camera.

    Raises:
        Refusal: it is no picture that can be read.
    """
    image = decode(content)
    if image.mode not in PNG_MODES:
        image = flattened(image)
        image = image if image.mode in PNG_MODES else image.convert("RGB")
    image.thumbnail((LARGEST, LARGEST))
    image.info = {name: value for name, value in image.info.items() if name == "transparency"}
    png = io.BytesIO()
    image.save(png, "PNG")
    return png.getvalue()


def keep(png: bytes, label: str, classes: list[str]) -> Kept:
    """Write a drawing into its class's folder, whole or not at all, and over nothing.

    Raises:
        Refusal: it is kept under another class, or the disk does not take it.
    """
    kept = Kept(label, _name(png))
    others = [other for other in classes if other != label and _is_there(Kept(other, kept.name))]
    if others:
        raise Refusal(f"this drawing is kept under {others[0]}; take it back there first")
    for folder in (IMAGES, IMAGES / label):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise Refusal(f"{folder} is {'a link' if folder.is_symlink() else 'a file'}, expected a folder")
    with _told(IMAGES / label / kept.name, "written"):
        IMAGES.mkdir(parents=True, exist_ok=True)
        partial = IMAGES.parent / f".{kept.name}.{os.getpid()}.partial"  # beside IMAGES, where `dvc add` never meets it
        try:
            with partial.open("xb") as file:
                file.write(png)
            with _folder(label, make=True) as place, suppress(FileExistsError):  # the same content, by its name
                os.link(partial, kept.name, dst_dir_fd=place, follow_symlinks=False)
        finally:
            partial.unlink(missing_ok=True)
    return kept


def read(kept: Kept) -> bytes:
    """A kept drawing's PNG.

    Raises:
        Refusal: there is no such drawing.
    """
    with suppress(OSError):
        if NAME.fullmatch(kept.name):
            with _folder(kept.label) as folder:
                linked = stat.S_ISLNK(os.stat(kept.name, dir_fd=folder, follow_symlinks=False).st_mode)
                follow = 0 if linked else os.O_NOFOLLOW
                file = os.open(kept.name, os.O_RDONLY | os.O_NONBLOCK | follow, dir_fd=folder)
            with os.fdopen(file, "rb") as opened:
                if stat.S_ISREG(os.fstat(file).st_mode):
                    png = opened.read()
                    if not linked or _name(png) == kept.name:
                        return png
    raise Refusal("there is no such drawing")


def take_back(kept: Kept) -> None:
    """Delete a kept drawing.

    Raises:
        Refusal: there is no such drawing, or the disk does not let go of it.
    """
    read(kept)
    with _told(IMAGES / kept.label / kept.name, "taken back"), _folder(kept.label) as folder:
        os.unlink(kept.name, dir_fd=folder)
    with suppress(OSError):  # it holds more; else there is no class without pictures
        (IMAGES / kept.label).rmdir()


def survey(classes: list[str], most: int) -> tuple[dict[str, int], list[Kept]]:
    """How many pictures each class has, and the drawings kept last, newest first."""
    counts, drawings = dict.fromkeys(classes, 0), []
    for label in classes:
        with suppress(OSError), _folder(label) as folder, os.scandir(folder) as files:
            for file in files:
                counts[label] += Path(file.name).suffix.lower() in SUFFIXES
                if NAME.fullmatch(file.name) and (file.is_file(follow_symlinks=False) or _in_cache(file.name, folder)):
                    drawings.append((file.stat(follow_symlinks=False).st_mtime_ns, Kept(label, file.name)))
    drawings.sort(key=lambda drawing: -drawing[0])
    return counts, [kept for _, kept in drawings[:most]]


def check_label(label: str, classes: list[str]) -> None:
    """Refuse what is no class of the network, or cannot be a folder's name.

    Raises:
        Refusal: names the classes that there are.
    """
    if label not in classes:
        few = ", ".join(classes[:12]) + (", ..." if len(classes) > 12 else "")
        raise Refusal(f"there is no such class, expected one of {few}")
    if not _is_plain(label):
        raise Refusal(f"{label!r} cannot be a folder's name, so nothing can be kept under it")


def _is_plain(label: str) -> bool:
    return label == Path(label).name and not label.startswith(".") and label.isprintable() and "\\" not in label


def _name(png: bytes) -> str:
    return f"{hashlib.sha256(png).hexdigest()[:16]}.png"


def _in_cache(name: str, folder: int) -> bool:
    """Whether a file is a link as DVC makes them, with `cache.type` symlink."""
    with suppress(OSError):
        return bool(LINK_TO_CACHE.search(os.readlink(name, dir_fd=folder)))
    return False


def _is_there(kept: Kept) -> bool:
    with suppress(Refusal):
        read(kept)
        return True
    return False


@contextmanager
def _folder(label: str, make: bool = False) -> Iterator[int]:
    """Open a class's folder, following no symlink."""
    if not _is_plain(label):
        raise FileNotFoundError
    images = os.open(IMAGES, FOLDER)
    try:
        if make:
            with suppress(FileExistsError):
                os.mkdir(label, dir_fd=images)
        folder = os.open(label, FOLDER, dir_fd=images)
    finally:
        os.close(images)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refusal(f"{path} cannot be {done}: {error.strerror or error}") from error
