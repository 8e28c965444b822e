"""The places that have MNIST, each in a form of its own; what comes is not yet known to be MNIST's very bytes."""

import hashlib
import io
import socket
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml

from digits.command import Refusal
from digits.dataset import MNIST, SIDE, Files, as_files
from digits.download import PATIENCE, download, patiently

# Keras's copy of MNIST; the digest is the one in keras.datasets.mnist.
NPZ = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
NPZ_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
NPZ_SIZE = 11_490_434
OPENML, OPENML_PORT = "www.openml.org", 443
OPENML_TRAIN = 60_000  # of its rows; the test images follow

GZIP_OVERHEAD = 65_536  # bytes by which a .gz may exceed what it holds

OPENML_PATIENCE = 300.0  # seconds for scikit-learn's whole download, which cannot be watched as it goes


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
