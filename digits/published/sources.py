"""The places that have a published dataset, each in a form of its own; what comes is checked against its digests."""

import hashlib
import io
import os
import socket
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pooch

from digits.data.idx import header, parse_idx
from digits.foundation.command import Refusal
from digits.foundation.files import write_bytes
from digits.foundation.parameters import Idx
from digits.published.download import PATIENCE, download, patiently

Files = dict[str, bytes]
"""A dataset's four files, by their published names, as their digests speak of them: .gz where a name ends so."""

# Keras's copy of MNIST; the digest is the one in keras.datasets.mnist.
NPZ = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
NPZ_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
NPZ_SIZE = 11_490_434
OPENML, OPENML_PORT = "www.openml.org", 443

GZIP_OVERHEAD = 65_536  # bytes by which a .gz may exceed what it holds

OPENML_PATIENCE = 300.0  # seconds for scikit-learn's whole download, which cannot be watched as it goes


class NoSource(Refusal):
    """No source delivers a dataset: the one failure for which `make repro` goes on with the embedded digits."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h


def sizes(published: Idx) -> list[int]:
    """How many bytes each of the dataset's files has, uncompressed."""
    return [len(header(shape, np.dtype(np.uint8))) + int(np.prod(shape)) for shape in _shapes(published)]


def check(files: Files, published: Idx) -> None:
    """Refuse what are not the published files.

    Raises:
        Refusal: a SHA-256, or the size of what is not compressed, is not the published one.
    """
    for name, sha256, size in zip(published.files, published.sha256, sizes(published), strict=True):
        if not name.endswith(".gz") and len(files[name]) != size:
            raise Refusal(f"{name} has {len(files[name]):,} bytes, the published one has {size:,}")
        _check_sha256(name, files[name], sha256)


def unpack(files: Files, published: Idx) -> list[np.ndarray]:
    """Training images and labels, test images and labels; upright, and labels from 0 up.

    Raises:
        Refusal: a file is no IDX file, or of another shape than params.yaml has it, or its labels are others.
    """
    arrays = []
    for (name, content), size in zip(files.items(), sizes(published), strict=True):
        try:
            array = parse_idx(_gunzip(name, content, size) if name.endswith(".gz") else content)
        except Refusal as refusal:
            raise Refusal(f"{name} {str(refusal).removeprefix(name)}") from refusal
        arrays.append(array)
    shapes = [array.shape for array in arrays]
    if shapes != _shapes(published):
        raise Refusal(f"the files hold the shapes {shapes}, params.yaml says {_shapes(published)}")
    images, labels, test_images, test_labels = arrays
    if published.transposed:
        images, test_images = images.swapaxes(1, 2), test_images.swapaxes(1, 2)
    return [images, _from_0(labels, published), test_images, _from_0(test_labels, published)]


def _from_0(labels: np.ndarray, published: Idx) -> np.ndarray:
    first, last = published.first_label, published.first_label + len(published.classes) - 1
    low, high = int(labels.min()), int(labels.max())
    if low < first or high > last:
        raise Refusal(
            f"the files have the labels {low} to {high}, params.yaml says {first} to {last}: "
            f"{len(published.classes)} classes, the first of which is called first_label, {first}"
        )
    return labels - np.uint8(first)


def from_cache(cache: Path, published: Idx) -> Files:
    """The files as an earlier fetch left them outside the repository."""
    return {name: (cache / name).read_bytes() for name in published.files}


def from_mirror(mirror: str, published: Idx) -> Files:
    """The files from a directory or a base URL that holds them as .gz."""
    files = {}
    for name, size in zip(published.files, sizes(published), strict=True):
        compressed_name = f"{name.removesuffix('.gz')}.gz"
        if "://" in mirror:
            compressed = download(f"{mirror.rstrip('/')}/{compressed_name}", size + GZIP_OVERHEAD)
        else:
            compressed = (Path(mirror) / compressed_name).read_bytes()
        files[name] = compressed if name.endswith(".gz") else _gunzip(compressed_name, compressed, size)
    return files


def from_npz(published: Idx) -> Files:
    """MNIST's files made from Keras's copy."""
    content = download(NPZ, NPZ_SIZE)
    _check_sha256("mnist.npz", content, NPZ_SHA256)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return _as_files(published, [arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")])


def from_openml(published: Idx) -> Files:
    """MNIST's files made from OpenML's copy, where the test images follow the training ones."""
    from sklearn.datasets import fetch_openml  # a second and a half that nothing else of a fetch needs

    patiently(lambda: socket.create_connection((OPENML, OPENML_PORT), timeout=PATIENCE).close())
    get = partial(fetch_openml, "mnist_784", version=1, as_frame=False, parser="pandas", cache=False, n_retries=0)
    images, labels = patiently(partial(get, return_X_y=True), patience=OPENML_PATIENCE)
    images = images.astype(np.uint8).reshape(-1, published.height, published.width)
    labels = labels.astype(np.uint8)
    train = slice(published.train), slice(published.train, None)
    return _as_files(published, [array[part] for part in train for array in (images, labels)])


COPIES: dict[str, tuple[str, Callable[[Idx], Files]]] = {
    "keras": (NPZ, from_npz),
    "openml": (f"https://{OPENML}", from_openml),
}
"""Of `copies` in params.yaml: the address, and what gets the files from there."""


def fetch_published(name: str, published: Idx) -> list[np.ndarray]:
    """A published dataset: training images and labels, test images and labels.

    It comes from the cache of earlier downloads, the mirror in the environment variable NAME_MIRROR (MNIST_MIRROR,
    FASHION_MNIST_MIRROR), the entry's mirrors or its copies in other forms: the first that has the very bytes.

    Args:
        name: of the dataset, as params.yaml has it.
        published: what is known of it.

    Raises:
        NoSource: no source has them.
        Refusal: they are not of the shape that params.yaml says.
    """
    mirrors = [*own_mirror(name), *published.mirrors]
    return unpack(fetch_files(name, published, mirrors, Path(pooch.os_cache(f"digits-{name}"))), published)


def fetch_files(name: str, published: Idx, mirrors: list[str], cache: Path) -> Files:
    """A published dataset's files, from the first source that has their very bytes.

    Args:
        name: of the dataset, as params.yaml has it.
        published: what is known of it.
        mirrors: directories or base URLs, tried in order.
        cache: a folder that may hold what was downloaded before; a download is left there.

    Raises:
        NoSource: no source has them; says a line about each, then what to do.
    """
    sources: dict[str, Callable[[Idx], Files]] = {mirror: partial(from_mirror, mirror) for mirror in mirrors}
    if os.access(cache, os.R_OK | os.X_OK):
        sources = {str(cache): partial(from_cache, cache)} | sources
    sources |= dict(COPIES[copy] for copy in published.copies)
    failures = []
    for source, get in sources.items():
        try:
            files = get(published)
            check(files, published)
        except Exception as error:  # a source fails in its own way, and the next one is asked
            failures.append(f"  {source}: {reason(error)}")
            continue
        print(f"{name} from {source}")
        if source != str(cache):
            keep(files, cache)
        return files
    variable = mirror_variable(name)
    raise NoSource("\n".join([
        f"no source delivers {name}:",
        *failures,
        f"Point {variable} to a folder or a URL with the four .gz files: {variable}=... dvc repro",
        "or use the digits that come with scikit-learn: dvc exp run -S fetch.dataset=digits",
    ]))  # fmt: skip


def reason(error: BaseException) -> str:
    """Why a source failed, in a line: what lies at the bottom of the exceptions that libraries wrap around it."""
    while error.__context__ and not isinstance(error, Refusal):
        error = error.__context__
    said = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"{' '.join(said.split()) or type(error).__name__:.160}"


def keep(files: Files, cache: Path) -> None:
    """Leave files for the next fetch, which may have no network and no such folder, where the cache can be written."""
    try:
        for name, content in files.items():
            write_bytes(cache / name, content)
    except Refusal as refusal:
        print(f"not kept for the next fetch: {refusal}", file=sys.stderr)


def mirror_variable(name: str) -> str:
    """The environment variable that names a mirror of one's own, such as MNIST_MIRROR."""
    return f"{name.upper().replace('-', '_')}_MIRROR"


def own_mirror(name: str) -> list[str]:
    """What the environment names as a dataset's mirror: a URL, or a folder as seen from where one typed it; or nothing.

    Queued and temporary experiments run in folders below the repository's own .dvc/.
    """
    mirror = os.environ.get(mirror_variable(name), "")
    if not mirror or "://" in mirror:
        return [mirror] if mirror else []
    here = Path.cwd().parts
    return [str(Path(*here[: here.index(".dvc")] if ".dvc" in here else here, mirror))]


def _shapes(published: Idx) -> list[tuple[int, ...]]:
    counts, sides = (published.train, published.test), (published.height, published.width)
    stored = sides[::-1] if published.transposed else sides
    return [shape for count in counts for shape in ((count, *stored), (count,))]


def _gunzip(name: str, compressed: bytes, size: int) -> bytes:
    """What the .gz holds, one byte more than `size` at most: enough to tell that it holds too much."""
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(compressed, size + 1)
    except zlib.error as error:
        raise Refusal(f"{name} is no gzip file, it starts with {compressed[:12]!r}") from error


def _as_files(published: Idx, arrays: list[np.ndarray]) -> Files:
    return {
        name: header(array.shape, array.dtype) + array.tobytes()
        for name, array in zip(published.files, arrays, strict=True)
    }


def _check_sha256(name: str, content: bytes, expected: str) -> None:
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != expected:
        raise Refusal(f"{name} has the SHA-256 {sha256[:12]}..., the published one has {expected[:12]}...")
