"""IDX, the format of MNIST's own page (LeCun, Cortes, Burges): arrays of bytes or short integers in a file.

Two zero bytes, a byte for the type (0x08 is uint8, 0x0B int16), a byte for the number of dimensions, each dimension as
a big-endian uint32, then the values, big-endian too, the last dimension fastest.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from digits.foundation.command import Refusal
from digits.foundation.files import replacing

TYPES: dict[int, np.dtype] = {0x08: np.dtype(np.uint8), 0x0B: np.dtype(">i2")}


def header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What an IDX file of that shape, of uint8 or int16, begins with."""
    code = next(code for code, known in TYPES.items() if known.newbyteorder("=") == dtype)
    return bytes([0, 0, code, len(shape)]) + np.array(shape, ">u4").tobytes()


def write_idx(path: Path, parts: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    """Write an array that comes in parts along its first dimension, whole or not at all.

    Args:
        path: of the file.
        parts: uint8 or int16, all of one type; at least one.
        shape: of the whole.

    Raises:
        Refusal: the disk is full, read-only or otherwise unwilling.
    """
    with replacing(path) as partial, partial.open("wb") as file:
        for part in parts:
            if not file.tell():
                file.write(header(shape, part.dtype))
            file.write(np.ascontiguousarray(part, part.dtype.newbyteorder(">")).data)


def parse_idx(content: bytes) -> np.ndarray:
    """The array that an IDX file's bytes hold, uint8 or int16.

    Raises:
        Refusal: it is no such file.
    """
    dtype, shape, start = _parse_header(content[: 4 + 4 * 4])
    _check_size(len(content), shape, dtype, start)
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


class IdxFile:
    """An IDX file that is read a part at a time, so that its size does not matter.

    Attributes:
        shape: the whole array's dimensions.

    Raises:
        Refusal: the header is not that of such an array, or the file does not have the size that its header says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            begin = file.read(4 + 4 * 4)
        try:
            self._dtype, self.shape, self._start = _parse_header(begin)
            _check_size(path.stat().st_size, self.shape, self._dtype, self._start)
        except Refusal as refusal:
            raise Refusal(f"{path} {refusal}") from refusal
        self._row = int(np.prod(self.shape[1:], dtype=object))

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The entries from `start` up to `stop` along the first dimension, uint8 or int16."""
        stop = len(self) if stop is None else min(stop, len(self))
        offset = self._start + start * self._row * self._dtype.itemsize
        values = np.fromfile(self.path, self._dtype, count=(stop - start) * self._row, offset=offset)
        return values.reshape(stop - start, *self.shape[1:]).astype(self._dtype.newbyteorder("="), copy=False)


def _parse_header(begin: bytes) -> tuple[np.dtype, tuple[int, ...], int]:
    if len(begin) < 4 or begin[:2] != b"\0\0" or begin[2] not in TYPES or not 1 <= begin[3] <= 4:
        raise Refusal(f"starts with {begin[:4].hex() or 'nothing'}, an IDX file with 0000080[1-4] or 00000b0[1-4]")
    dimensions = begin[4 : 4 + 4 * begin[3]]
    if len(dimensions) < 4 * begin[3]:
        raise Refusal(f"ends within its header of {begin[3]} dimensions")
    shape = tuple(int(dimension) for dimension in np.frombuffer(dimensions, ">u4"))
    if 0 in shape[1:]:
        raise Refusal(f"has the header {shape}, expected a 0 nowhere but in the first dimension")
    return TYPES[begin[2]], shape, 4 + len(dimensions)


def _check_size(size: int, shape: tuple[int, ...], dtype: np.dtype, start: int) -> None:
    expected = start + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size != expected:
        raise Refusal(f"has {size:,} bytes, its header {shape} asks for {expected:,}")
