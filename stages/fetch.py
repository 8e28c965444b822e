"""Bring a dataset's four IDX files to data/raw/.

Takes fetch.dataset and, for MNIST, the first source that delivers the published bytes: the cache of earlier downloads,
the mirror in the environment variable MNIST_MIRROR, fetch.mirrors, Keras's mnist.npz, OpenML.
Gives data/raw/, and only after all four files have MNIST's SHA-256.
"""

import io
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pooch
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from digits.command import Refusal
from digits.dataset import RAW, SIDE, Files, as_files, check_mnist
from digits.files import write_bytes
from digits.parameters import read_parameters
from digits.sources import NPZ, OPENML, from_cache, from_mirror, from_npz, from_openml
from stages import run


class NoSource(Refusal):
    """No source delivers MNIST: the one failure for which `make repro` goes on with the embedded digits."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h


def mnist(mirrors: list[str], cache: Path) -> Files:
    """MNIST, from the first source that has its very bytes.

    Args:
        mirrors: directories or base URLs, tried in order.
        cache: a folder that may hold what was downloaded before; a download is left there.

    Raises:
        NoSource: no source has them; says a line about each, then what to do.
    """
    sources: dict[str, Callable[[], Files]] = {}
    if os.access(cache, os.R_OK | os.X_OK):
        sources[str(cache)] = partial(from_cache, cache)
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
    raise NoSource("\n".join([
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


def own_mirror() -> list[str]:
    """What MNIST_MIRROR names, if anything: a URL, or a folder as seen from where the person typed its name.

    Queued and temporary experiments run in folders below the repository's own .dvc/.
    """
    mirror = os.environ.get("MNIST_MIRROR", "")
    if not mirror or "://" in mirror:
        return [mirror] if mirror else []
    here = Path.cwd().parts
    return [str(Path(*here[: here.index(".dvc")] if ".dvc" in here else here, mirror))]


def main() -> None:
    fetch = read_parameters().fetch
    if fetch.dataset == "digits":
        files = embedded_digits()
    else:
        files = mnist([*own_mirror(), *fetch.mirrors], Path(pooch.os_cache("digits-mnist")))
    for name, content in files.items():
        write_bytes(RAW / name, content)


if __name__ == "__main__":
    run(main)
