"""Images on disk for as long as they are worked on: as many as there is room for, at no cost of memory."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from digits.foundation.command import Refusal


class Pile:
    """Images on disk, in a file that goes away with this.

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
