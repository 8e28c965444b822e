"""Many image files read at once, in as many processes as there are cores, and their images on disk while they last."""

import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from digits.data.identity import of_picture
from digits.foundation.command import Refusal
from digits.foundation.parameters import Framing
from digits.pictures.decoding import decode, flattened
from digits.pictures.framing import prepare, whole

CHUNK = 64  # images that a process is given at a time
T = TypeVar("T")
FEW = 300  # images that are read sooner than other processes are started


class Read(NamedTuple):
    """What became of an image file."""

    identity: bytes
    """8 bytes, whatever the framing; empty if there is no image."""
    pixels: bytes
    """Of the framed image; empty if there is none."""
    refused: str
    """Why, if so."""


def read_all(paths: list[Path], framing: Framing, shape: tuple[int, int, int], bar: bool) -> Iterator[Read]:
    """Read the files in order, in as many processes as there are cores if there are many."""
    read = partial(read_some, framing=framing, shape=shape)
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    progress = tqdm(total=len(paths), unit=" images", disable=not bar, file=sys.stderr, leave=False)
    with progress:
        results = map(read, chunks) if len(paths) < FEW else in_processes(read, chunks)
        for result in results:
            yield from result
            progress.update(len(result))


def in_processes(read: Callable[[list[Path]], list[T]], chunks: list[list[Path]]) -> Iterator[list[T]]:
    """What `read` makes of each chunk, in order, a few chunks ahead. No process outlives this.

    Raises:
        Refusal: a process ended before its work.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    executor = ProcessPoolExecutor(cores, get_context("spawn"), initializer=end_with_parent)
    ahead: deque[Future[list[T]]] = deque()
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


def end_with_parent() -> None:
    """Let this process end as soon as the one that started it does, however that comes: nobody else would tell it."""

    def wait(parent: BaseProcess) -> None:
        parent.join()
        os._exit(1)

    if parent := parent_process():
        threading.Thread(target=wait, args=(parent,), daemon=True).start()


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


def read_some(paths: list[Path], framing: Framing, shape: tuple[int, int, int]) -> list[Read]:
    """Read image files, each for itself."""
    return [read_one(path, framing, shape) for path in paths]


def read_one(path: Path, framing: Framing, shape: tuple[int, int, int]) -> Read:
    """Read an image file, or say why it cannot be."""
    try:
        content = path.read_bytes()
        if not content:
            raise Refusal("is empty")
        picture = flattened(decode(content))
        identity = of_picture(picture)
        if framing == "whole":
            return Read(identity, whole(picture, shape).tobytes(), "")
        del picture  # as large as a camera makes it
        return Read(identity, np.rint(prepare(content) * 255).astype(np.uint8).tobytes(), "")
    except Refusal as refusal:
        return Read(b"", b"", str(refusal))
    except OSError as error:
        return Read(b"", b"", f"cannot be read: {error.strerror or error}")


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
