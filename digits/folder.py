"""A person's own images, gathered from folders that are named after their classes.

On which side of the split an image stands follows from its pixels alone. So a dataset that grows never moves an image
that was there, and names, dates and the order of the files leave no trace in the result.
"""

import hashlib
import os
import re
import signal
import sys
import tempfile
import unicodedata
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm  # type: ignore[import-untyped]

from digits.command import Refusal
from digits.dataset import Loaded
from digits.parameters import MOST_CLASSES, Folder
from digits.pictures import EIGHT_BIT_MODES, SUFFIXES, decode, prepare, whole
from digits.task import Task

PASSED_OVER = {"thumbs.db", "desktop.ini"}  # and what begins with a dot
MOST_NAMED = 10
CHUNK = 64  # images that a process is given at a time
FEW = 300  # images that are read sooner than other processes are started
STRIP = 1 << 22  # pixels that are hashed at a time
LINK_TO_CACHE = re.compile(r"[/\\][0-9a-f]{2}[/\\][0-9a-f]{30}$")  # how DVC names files, and may link to them


class Found(NamedTuple):
    """An image file, and the class that its folder names."""

    path: Path
    name: str


class Read(NamedTuple):
    """What became of an image file."""

    digest: bytes
    """16 bytes that stand for the picture's pixels, before it was framed."""
    pixels: bytes
    """Of the framed image; empty if there is none."""
    refused: str
    """Why, if so."""


class Problems(list[tuple[Path, str]]):
    """Files and folders that cannot be used, each with why."""

    def refuse(self, folder: Path) -> None:
        """End with the first of them and their number, if there are any.

        Raises:
            Refusal: there are.
        """
        if not self:
            return
        lines = [f"  {printable(path)}: {why}" for path, why in sorted(self)[:MOST_NAMED]]
        more = [f"  and {len(self) - MOST_NAMED:,} more"] if len(self) > MOST_NAMED else []
        raise Refusal("\n".join([f"{folder} cannot be taken as it is:", *lines, *more]))


class Pile:
    """Images on disk, in a file that goes away with this: as many as there is room for, at no cost of memory.

    To be indexed by an array of places, as NumPy's arrays are.

    Attributes:
        shape: (n, height, width, channels).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape: tuple[int, ...] = (0, *shape)
        self._bytes = int(np.prod(shape))
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._order = np.arange(0)

    def append(self, pixels: bytes) -> None:
        """Put an image on top.

        Raises:
            Refusal: the disk is full.
        """
        with self._roomy():
            self._file.write(pixels)
        self.shape = (self.shape[0] + 1, *self.shape[1:])

    def sort(self, order: np.ndarray) -> None:
        """Keep the images of these places, in this order.

        Raises:
            Refusal: the disk is full.
        """
        with self._roomy():
            self._file.flush()
        self._order = order
        self.shape = (len(order), *self.shape[1:])

    @contextmanager
    def _roomy(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = tempfile.gettempdir()
            raise Refusal(
                f"{where} has no room for the images ({error.strerror or error}); point TMPDIR elsewhere"
            ) from error

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """The images at these places: uint8 of shape (m, height, width, channels)."""
        content = b"".join(
            os.pread(self._file.fileno(), self._bytes, int(place) * self._bytes) for place in self._order[places]
        )
        return np.frombuffer(content, np.uint8).reshape(len(places), *self.shape[1:])


def gather(folder: Path, wanted: Folder, bar: bool) -> Loaded:
    """Read the images below `folder`/CLASS/.

    Args:
        folder: with a folder for each class.
        wanted: how the pictures become images, and which share of them is for testing.
        bar: whether to draw a progress bar.

    Returns:
        The images in the order of their hashes. A picture that is there twice counts once.

    Raises:
        Refusal: there are no classes or no images, or some cannot be used; names the first ten and how many there are.
    """
    problems = Problems()
    found = list(scan(folder, problems))
    names = sorted({image.name for image in found})
    structure = len(problems)
    shape = (wanted.side, wanted.side, 3 if wanted.color else 1)
    pile, digests, framed, kept = Pile(shape), [], [], []
    for image, read in zip(found, read_all(found, wanted.framing, shape, bar), strict=True):
        if read.refused:
            problems.append((image.path, read.refused))
        else:
            pile.append(read.pixels)
            digests.append(read.digest)
            framed.append(hashlib.blake2b(read.pixels, digest_size=8).digest())
            kept.append(image)
    unreadable = len(problems) - structure
    if wanted.unreadable == "skip":
        del problems[structure:]
    firsts = once(kept, digests, framed, problems)
    labels = np.array([names.index(kept[place].name) for place in firsts], np.int64)
    in_test = np.array([int.from_bytes(digests[place][:8], "big") / 2**64 < wanted.test for place in firsts], bool)
    check_classes(folder, names, labels, in_test, problems)
    problems.refuse(folder)
    pile.sort(np.array(firsts))
    task = Task(names, wanted.framing)
    return Loaded(task, pile, labels, in_test, True, len(kept) - len(firsts), unreadable)  # type: ignore[arg-type]


def scan(folder: Path, problems: Problems) -> Iterator[Found]:
    """The image files below `folder`/CLASS/, and as problems what else is there.

    Hidden files and what systems leave behind are passed over.

    Raises:
        Refusal: there is no class's folder.
    """
    entries = list(visible(folder)) if folder.is_dir() else []
    if not entries:
        raise Refusal(
            f"{folder} holds no images: put some into {folder}/CLASS/, a folder for each class, then `dvc add {folder}`"
        )
    classes: dict[str, Path] = {}
    for path in entries:
        name = unicodedata.normalize("NFC", path.name)  # as macOS writes an accent otherwise
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
        files = list(walk(path, folder.resolve(), problems))
        if not files:
            problems.append((path, "holds no image, expected some"))
        for file in files:
            yield Found(file, name)


def visible(folder: Path) -> Iterator[Path]:
    """What is in a folder, in order, without what people do not see."""
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and path.name.lower() not in PASSED_OVER:
            yield path


def walk(folder: Path, root: Path, problems: Problems) -> Iterator[Path]:
    """The image files below a folder, however deep."""
    for path in visible(folder):
        if path.is_symlink():
            why = link_refused(path, root)
            if why:
                problems.append((path, why))
                continue
        if path.is_dir():
            yield from walk(path, root, problems)
        elif not path.is_file():
            problems.append((path, "is no file"))
        elif path.suffix.lower() not in SUFFIXES:
            problems.append((path, f"is no image by its name, expected one that ends in {', '.join(sorted(SUFFIXES))}"))
        else:
            yield path


def link_refused(path: Path, root: Path) -> str:
    """Why a link is not followed: it leads nowhere, to a folder, or out of the images, but for DVC's cache."""
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a circle, before Python 3.13
        return "is a link to nothing or in a circle"
    if target.is_dir():
        return "is a link to a folder, expected a folder"
    if not target.is_relative_to(root) and not LINK_TO_CACHE.search(str(target)):
        return "is a link out of the folder"
    return ""


def read_all(found: list[Found], framing: str, shape: tuple[int, int, int], bar: bool) -> Iterator[Read]:
    """Read the files in order, in as many processes as there are cores if there are many."""
    read = partial(read_some, framing=framing, shape=shape)
    chunks = [[image.path for image in found[start : start + CHUNK]] for start in range(0, len(found), CHUNK)]
    progress = tqdm(total=len(found), unit=" images", disable=not bar, file=sys.stderr, leave=False)
    with progress:
        results = map(read, chunks) if len(found) < FEW else in_processes(read, chunks)
        for result in results:
            yield from result
            progress.update(len(result))


def in_processes(read: "partial[list[Read]]", chunks: list[list[Path]]) -> Iterator[list[Read]]:
    """What `read` makes of each chunk, in order, a few chunks ahead. No process outlives this.

    Raises:
        Refusal: a process ended before its work.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    executor = ProcessPoolExecutor(cores, get_context("spawn"))
    ahead: deque[Future[list[Read]]] = deque()
    try:
        for chunk in chunks:
            with without_ctrl_c():
                ahead.append(executor.submit(read, chunk))
            if len(ahead) > 4 * cores:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    except BrokenProcessPool as error:
        raise Refusal("a process that read images was ended from outside, perhaps for want of memory") from error
    except BaseException:  # such as Ctrl-C: a chunk of photographs takes half a minute, which nobody wants to wait for
        for process in active_children():
            process.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def without_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C wait; a process that is started meanwhile never gets it, from its first moment on."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def read_some(paths: list[Path], framing: str, shape: tuple[int, int, int]) -> list[Read]:
    """Read image files, each for itself."""
    return [read_one(path, framing, shape) for path in paths]


def read_one(path: Path, framing: str, shape: tuple[int, int, int]) -> Read:
    """Read an image file, or say why it cannot be."""
    try:
        content = path.read_bytes()
        if not content:
            raise Refusal("is empty")
        picture = decode(content)
        digest = hash_pixels(picture)
        if framing == "whole":
            return Read(digest, whole(picture, shape).tobytes(), "")
        del picture  # as large as a camera makes it
        return Read(digest, np.rint(prepare(content) * 255).astype(np.uint8).tobytes(), "")
    except Refusal as refusal:
        return Read(b"", b"", str(refusal))
    except OSError as error:
        return Read(b"", b"", f"cannot be read: {error.strerror or error}")


def hash_pixels(picture: Image.Image) -> bytes:
    """16 bytes that stand for what a picture shows: the same whether it was saved as PNG or BMP, in color or grey."""
    known = hashlib.blake2b(f"{picture.width} x {picture.height}".encode(), digest_size=16)
    rows = max(STRIP // picture.width, 1)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        if strip.mode in EIGHT_BIT_MODES or strip.has_transparency_data:
            colors = np.array(strip.convert("RGBA"))
            colors[colors[..., 3] == 0] = 0  # nobody sees what color is where nothing is
            known.update(colors.data)
        else:
            known.update(np.asarray(strip).astype("<f8").data)  # which holds what 16 and 32 bits can
    return known.digest()


def once(kept: list[Found], digests: list[bytes], framed: list[bytes], problems: Problems) -> list[int]:
    """The places of the pictures, each once, in the order of their hashes; and what is said of the others.

    A photograph and its copy as PNG show the same and may be framed a little differently, as a JPEG can be decoded
    smaller: which of them stays follows from `framed`, the images' hashes, and not from their names.
    """
    firsts: dict[bytes, int] = {}
    twice = []
    for place in sorted(range(len(kept)), key=lambda place: (digests[place], framed[place])):
        digest = digests[place]
        first = kept[firsts.setdefault(digest, place)]
        if first.name != kept[place].name:
            problems.append((kept[place].path, f"shows the same picture as {printable(first.path)}, of another class"))
        elif firsts[digest] != place:
            twice.append((kept[place].path, first.path))
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


def printable(path: Path) -> str:
    """A path in one line, whatever letters its name has."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in os.fsencode(path).decode(errors="backslashreplace")
    )
