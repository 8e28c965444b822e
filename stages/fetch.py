"""Bring a dataset's four IDX files to data/raw/.

Takes fetch.dataset and, for MNIST, the first source that delivers the published bytes: the cache of earlier downloads,
the mirror in the environment variable MNIST_MIRROR, fetch.mirrors, Keras's mnist.npz, OpenML.
Gives data/raw/, and only after all four files have MNIST's SHA-256.
"""

import hashlib
import io
import os
import socket
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TypeVar

from digits.command import Refusal, run

import numpy as np
import pooch
from scipy.ndimage import zoom
from sklearn.datasets import fetch_openml, load_digits
from sklearn.model_selection import train_test_split

from digits.dataset import MNIST, SIDE, TEST, TRAIN, check_mnist, encode_idx
from digits.files import write_bytes
from digits.parameters import read_parameters

RAW = Path("data/raw")

# Keras's copy of MNIST; the digest is the one in keras.datasets.mnist.
NPZ = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
NPZ_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
NPZ_SIZE = 11_490_434
OPENML, OPENML_PORT = "www.openml.org", 443
OPENML_TRAIN = 60_000  # of its rows; the test images follow

GZIP_OVERHEAD = 65_536  # bytes by which a .gz may exceed what it holds

PATIENCE = 5.0  # seconds a source may go without sending SLOWEST bytes a second; four silent ones make 20 s
SLOWEST = 5_000
OPENML_PATIENCE = 300.0  # seconds for scikit-learn's whole download, which cannot be watched as it goes

T = TypeVar("T")

Files = dict[str, bytes]
"""The four IDX files, by their published names."""


class Received:
    """What a source has sent so far, to be written to as to a file; refuses to grow beyond a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.content = bytearray()

    def write(self, chunk: bytes) -> None:
        """Take in what was sent.

        Raises:
            Refusal: it is more than the limit.
        """
        if len(self.content) + len(chunk) > self.limit:
            raise Refusal(f"sends more than {self.limit:,} bytes")
        self.content += chunk

    def flush(self) -> None:
        """Nothing waits to be written."""


def patiently(task: Callable[[], T], received: Received | None = None, patience: float | None = None) -> T:
    """What the task returns or raises, unless it falls silent.

    The task runs in a thread that is left behind when it is given up: no time-out of sockets covers a slow name server,
    headers that never end and a body that drips.

    Args:
        task: what to do.
        received: what it fills; without it, the task has `patience` seconds for the whole.
        patience: seconds.
    """
    patience = patience or PATIENCE
    outcome: Future[T] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(task())
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=attempt, daemon=True).start()
    while True:
        before = len(received.content) if received else 0
        try:
            return outcome.result(timeout=patience)
        except TimeoutError:
            if outcome.done():
                raise
            arrived = len(received.content) - before if received else 0
            if arrived < patience * SLOWEST:
                raise Refusal(f"sent {arrived:,} bytes in {patience:.0f} s") from None


def download(url: str, limit: int) -> bytes:
    """The bytes at an HTTP address, at most `limit` of them."""
    received = Received(limit)
    get = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), timeout=PATIENCE, headers={"Accept-Encoding": "identity"}
    )
    patiently(partial(get, url, received, None), received)
    return bytes(received.content)


def from_cache(cache: Path) -> Files:
    """The files as an earlier fetch left them outside the repository."""
    return {name: (cache / name).read_bytes() for name in MNIST}


def from_mirror(mirror: str) -> Files:
    """The files from a directory or a base URL that holds them as .gz."""
    files = {}
    for name, published in MNIST.items():
        if "://" in mirror:
            compressed = download(f"{mirror.rstrip('/')}/{name}.gz", published.size + GZIP_OVERHEAD)
        else:
            compressed = (Path(mirror) / f"{name}.gz").read_bytes()
        try:
            files[name] = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(compressed, published.size + 1)
        except zlib.error as error:
            raise Refusal(f"{name}.gz is no gzip file, it starts with {compressed[:12]!r}") from error
    return files


def from_npz() -> Files:
    """The files made from Keras's copy."""
    content = download(NPZ, NPZ_SIZE)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != NPZ_SHA256:
        raise Refusal(f"mnist.npz has the SHA-256 {sha256[:12]}..., expected {NPZ_SHA256[:12]}...")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return as_files(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"])


def from_openml() -> Files:
    """The files made from OpenML's copy."""
    patiently(lambda: socket.create_connection((OPENML, OPENML_PORT), timeout=PATIENCE).close())
    get = partial(fetch_openml, "mnist_784", version=1, as_frame=False, parser="pandas", cache=False, n_retries=0)
    images, labels = patiently(partial(get, return_X_y=True), patience=OPENML_PATIENCE)
    images, labels = images.astype(np.uint8).reshape(-1, SIDE, SIDE), labels.astype(np.uint8)
    return as_files(images[:OPENML_TRAIN], labels[:OPENML_TRAIN], images[OPENML_TRAIN:], labels[OPENML_TRAIN:])


def as_files(
    train_images: np.ndarray, train_labels: np.ndarray, test_images: np.ndarray, test_labels: np.ndarray
) -> Files:
    """The IDX files of uint8 arrays: images of shape (n, 28, 28), labels of shape (n,)."""
    arrays = [train_images, train_labels, test_images, test_labels]
    return {name: encode_idx(array) for name, array in zip([*TRAIN, *TEST], arrays, strict=True)}


def mnist(mirrors: list[str], cache: Path) -> Files:
    """MNIST, from the first source that has its very bytes.

    Args:
        mirrors: directories or base URLs, tried in order.
        cache: a folder that may hold what was downloaded before; a download is left there.

    Raises:
        Refusal: no source has them; says a line about each, then what to do.
    """
    sources: dict[str, Callable[[], Files]] = {str(cache): partial(from_cache, cache)} if cache.is_dir() else {}
    sources |= {mirror: partial(from_mirror, mirror) for mirror in mirrors}
    sources |= {NPZ: from_npz, f"https://{OPENML}": from_openml}
    failures = []
    for source, get in sources.items():
        try:
            files = get()
            for name, content in files.items():
                check_mnist(name, io.BytesIO(content))
        except Exception as error:  # a source fails in its own way, and the next one is asked
            failures.append(f"  {source}: {reason(error)}")
            continue
        print(f"MNIST from {source}")
        if "://" in source:
            keep(files, cache)
        return files
    raise Refusal("\n".join([
        "no source delivers MNIST:",
        *failures,
        "Point MNIST_MIRROR to a folder or a URL with the four .gz files: MNIST_MIRROR=... dvc repro",
        "or use the digits that come with scikit-learn: dvc exp run -S fetch.dataset=digits",
    ]))  # fmt: skip


def reason(error: BaseException) -> str:
    """Why a source failed, in a line: what lies at the bottom of the exceptions that libraries wrap around it."""
    while error.__context__ and not isinstance(error, Refusal):
        error = error.__context__
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"{' '.join(said.split()) or type(error).__name__:.160}"


def keep(files: Files, cache: Path) -> None:
    """Leave downloaded files for the next fetch, where the cache can be written."""
    try:
        for name, content in files.items():
            write_bytes(cache / name, content)
    except Refusal as refusal:
        print(f"not kept for the next fetch: {refusal}", file=sys.stderr)


def embedded_digits() -> Files:
    """The 1,797 digits of scikit-learn (UCI's Optical Recognition of Handwritten Digits, its test part).

    They are 8 x 8 with 17 grey levels; here 28 x 28 with 256, bilinearly, a stratified fifth of them as the test split.
    """
    images, labels = load_digits(return_X_y=True)
    scale = SIDE / 8
    large = zoom(images.reshape(-1, 8, 8), (1, scale, scale), order=1, mode="nearest", grid_mode=True)
    pixels = np.rint(large * (255 / 16)).astype(np.uint8)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    labels = labels.astype(np.uint8)
    return as_files(pixels[train], labels[train], pixels[test], labels[test])


def main() -> None:
    fetch = read_parameters().fetch
    if fetch.dataset == "digits":
        files = embedded_digits()
    else:
        own = os.environ.get("MNIST_MIRROR")
        files = mnist([own, *fetch.mirrors] if own else fetch.mirrors, Path(pooch.os_cache("digits-mnist")))
    for name, content in files.items():
        write_bytes(RAW / name, content)


if __name__ == "__main__":
    run(main)
