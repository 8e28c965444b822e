"""A dataset as it is published: four IDX files, two of images and two of their labels.

IDX is the format of MNIST's own page (LeCun, Cortes, Burges): two zero bytes, a byte for the type (0x08 is uint8), a
byte for the number of dimensions, each dimension as a big-endian uint32, then the values, the last dimension fastest.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digits.command import Refusal

CLASSES = 10
SIDE = 28  # pixels, both ways

RAW = Path("data/raw")
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


Files = dict[str, bytes]
"""The four IDX files, by their published names."""


@dataclass(frozen=True)
class Fingerprint:
    """What a published file is known by."""

    size: int
    sha256: str


MNIST = {
    "train-images-idx3-ubyte": Fingerprint(
        47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    ),
    "train-labels-idx1-ubyte": Fingerprint(60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": Fingerprint(
        7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    ),
    "t10k-labels-idx1-ubyte": Fingerprint(10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}


def check_mnist(name: str, content: io.BufferedIOBase) -> None:
    """Refuse what is not MNIST's file of that name.

    Raises:
        Refusal: the size or the SHA-256 is not the published one.
    """
    expected = MNIST[name]
    size = content.seek(0, io.SEEK_END)
    if size != expected.size:
        raise Refusal(f"{name} has {size:,} bytes, MNIST's has {expected.size:,}")
    content.seek(0)
    sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    if sha256 != expected.sha256:
        raise Refusal(f"{name} has the SHA-256 {sha256[:12]}..., MNIST's has {expected.sha256[:12]}...")


def encode_idx(array: np.ndarray) -> bytes:
    """The IDX file of a uint8 array."""
    dimensions = np.array(array.shape, dtype=">u4").tobytes()
    return bytes([0, 0, 0x08, array.ndim]) + dimensions + array.astype(np.uint8, casting="equiv").tobytes()


def as_files(
    train_images: np.ndarray, train_labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray
) -> Files:
    """The IDX files of uint8 arrays: images of shape (n, 28, 28), labels of shape (n,)."""
    arrays = [train_images, train_labels, test_images, test_labels]
    return {name: encode_idx(array) for name, array in zip([*TRAIN, *TEST], arrays, strict=True)}


class IdxFile:
    """A uint8 IDX file that is read a part at a time, so that its size does not matter.

    Attributes:
        shape: the whole array's dimensions.

    Raises:
        Refusal: the header is not that of a uint8 array, or the file does not have the size that its header says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            magic = file.read(4)
            if magic[:3] != b"\0\0\x08" or magic[3:] not in {b"\1", b"\2", b"\3"}:
                raise Refusal(f"{path} starts with {magic.hex() or 'nothing'}, an IDX file of bytes with 0000080[1-3]")
            dimensions = file.read(4 * magic[3])
        if len(dimensions) < 4 * magic[3]:
            raise Refusal(f"{path} ends within its header of {magic[3]} dimensions")
        self.shape = tuple(int(dimension) for dimension in np.frombuffer(dimensions, dtype=">u4"))
        self._start = 4 + len(dimensions)
        self._row = int(np.prod(self.shape[1:], dtype=object))
        if not self._row:
            raise Refusal(f"{path} has the header {self.shape}, expected a 0 nowhere but in the first dimension")
        size, expected = path.stat().st_size, self._start + self.shape[0] * self._row
        if size != expected:
            raise Refusal(f"{path} has {size:,} bytes, its header {self.shape} asks for {expected:,}")

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """The entries from `start` up to `stop` along the first dimension, uint8."""
        stop = len(self) if stop is None else min(stop, len(self))
        values = np.fromfile(
            self.path, dtype=np.uint8, count=(stop - start) * self._row, offset=self._start + start * self._row
        )
        return values.reshape(stop - start, *self.shape[1:])


def read_raw(names: tuple[str, str]) -> tuple[IdxFile, np.ndarray]:
    """Open a pair of images and labels in data/raw/ and check one against the other.

    Args:
        names: of the two files, TRAIN or TEST.

    Returns:
        The images, of shape (n, 28, 28), and their labels, uint8 of shape (n,).

    Raises:
        Refusal: a file is no IDX file, the images are not 28 x 28, a label is above 9, or the counts differ.
    """
    images, labels_file = IdxFile(RAW / names[0]), IdxFile(RAW / names[1])
    if images.shape[1:] != (SIDE, SIDE) or not len(images):
        raise Refusal(f"{images.path} holds the shape {images.shape}, expected images of {SIDE} x {SIDE}")
    if labels_file.shape != (len(images),):
        raise Refusal(f"{labels_file.path} holds the shape {labels_file.shape} for {len(images):,} images")
    labels = labels_file.read()
    if labels.max() >= CLASSES:
        raise Refusal(f"{labels_file.path} has the label {labels.max()}, expected 0 to {CLASSES - 1}")
    return images, labels
