"""Image files read by processes that can be ended, as many as there are cores, and their images on disk meanwhile."""

import math
import os
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from digits.data.identity import of_picture
from digits.foundation.command import Refusal, progress
from digits.foundation.parameters import Framing
from digits.pictures.decoding import decode, flattened
from digits.pictures.framing import prepare, whole
from digits.pictures.layout import printable

SLOWEST = 30  # seconds that a picture may take; 64 megapixels of the slowest format took 6
AHEAD = 16  # images that a process is given before it has read them
FORK = "fork" if sys.platform == "linux" else "spawn"  # by far the sooner; not for what serves, whose sockets it copies
T = TypeVar("T")


class TooSlow(Refusal):
    """To read a picture takes longer than it may."""


class Worker:
    """A process that calls functions in turn, and is killed where one takes too long: another begins in its place.

    It ends with the process that started it, however that comes.

    Args:
        way: how it is started, as `multiprocessing.get_context` calls it.
    """

    def __init__(self, way: str = FORK) -> None:
        self._context: Any = get_context(way)
        self._over = False
        self._start()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def call(self, function: Callable[..., T], *arguments: object, seconds: float) -> T:
        """What the function returns, or raises.

        Raises:
            TooSlow: it has not returned in so many seconds, and never will.
            Refusal: the process was ended from outside.
        """
        self.ask(function, *arguments)
        return self.answer(seconds)

    def ask(self, function: Callable[..., object], *arguments: object) -> None:
        """Have a function called after those before it."""
        try:
            self._connection.send((function, arguments))
        except OSError:  # it has ended, as `answer` will find
            self._connection.close()

    def answer(self, seconds: float) -> Any:
        """What the first of the functions returns, or raises, that has not been answered for; as `call`."""
        try:
            if not self._connection.poll(seconds):
                raise TooSlow(f"takes longer than {seconds:g} s to read")
            returned, result = self._connection.recv()
        except TooSlow:
            self._start_anew()
            raise
        except (OSError, EOFError) as error:
            if not self._over:
                self._start_anew()
            raise Refusal("ended the process that read it, or that was ended for want of memory") from error
        if returned:
            return result
        raise result

    def end(self) -> None:
        """End the process, whatever it does, for good; who waits for its answer in another thread is refused."""
        self._over = True
        self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _start(self) -> None:
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(target=serve, args=(theirs,), daemon=True)
        with without_ctrl_c():
            self._process.start()
        theirs.close()

    def _start_anew(self) -> None:
        self._kill()
        self._start()


def serve(connection: Connection) -> None:
    """Call what is asked for, until this process is ended, at the latest with the one that started it."""
    end_with_parent()
    with suppress(EOFError, OSError):  # nobody is there any more
        while True:
            function, arguments = connection.recv()
            try:
                answer = True, function(*arguments)
            except Exception as error:
                answer = False, error
            connection.send(answer)


class Read(NamedTuple):
    """What became of an image file."""

    identity: bytes
    """8 bytes, whatever the framing; empty if there is no image."""
    pixels: bytes
    """Of the framed image; empty if there is none."""
    refused: str
    """Why, if so."""


def read_all(paths: list[Path], framing: Framing, shape: tuple[int, int, int]) -> Iterator[Read]:
    """Read the files in order; as `in_processes`."""
    with progress(total=len(paths), unit="images") as bar:
        for read in in_processes(partial(read_one, framing=framing, shape=shape), paths):
            yield read
            bar.update()


def in_processes(read: Callable[[Path], T], paths: list[Path]) -> Iterator[T]:
    """What `read` makes of each file, in order, by a process a core. No process outlives this.

    Raises:
        Refusal: one takes longer than SLOWEST, on which nobody's machine is to decide otherwise; or a process ended.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = [Worker() for _ in range(min(cores, math.ceil(len(paths) / AHEAD)))]
    ahead: deque[tuple[Worker, Path]] = deque()
    try:
        for path, worker in zip(paths, cycle(workers), strict=False):
            if len(ahead) == AHEAD * len(workers):
                yield _answer(*ahead.popleft())
            worker.ask(read, path)
            ahead.append((worker, path))
        while ahead:
            yield _answer(*ahead.popleft())
    finally:
        for worker in workers:
            worker.end()


def _answer(worker: Worker, path: Path) -> Any:
    try:
        return worker.answer(SLOWEST)
    except Refusal as refusal:
        raise Refusal(f"{printable(path)} {refusal}") from refusal


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


def identify(path: Path) -> bytes:
    """The identity of what an image file shows; empty where it cannot be read."""
    try:
        return of_picture(flattened(decode(path.read_bytes())))
    except (Refusal, OSError):
        return b""


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
