"""Damaged files: each is read rightly or refused in the project's own words, without a hang or a waste of memory.

`make test` puts 200 inputs to each reader, `make torture` 10,000.
"""

import hashlib
import io
import itertools
import json
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from digits.data.idx import IdxFile, header
from digits.data.measured import images_by_source
from digits.data.prepared import PREPARED, read_images, read_labels
from digits.data.raw import CONTENTS, DESCRIPTION, GATHERED, SPLITS, read_description
from digits.foundation.command import Refusal
from digits.foundation.files import write_bytes
from digits.foundation.parameters import read_parameters
from digits.foundation.tables import parse_table
from digits.foundation.yaml import parse_yaml
from digits.pictures.reading import Read, Worker, read_one
from tests.conftest import ROOT

HANG = 20  # seconds, where milliseconds are usual
SPARE = 256 * 2**20  # bytes of address space that an input of a few kB may take


class Hang(BaseException):
    """No `except Exception` may take this for an answer."""


@contextmanager
def bounds(spare: int = SPARE) -> Iterator[None]:
    """Let a block run out of time or of so many bytes of memory before the machine does."""

    def stop(*_: object) -> None:
        raise Hang

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, header: int) -> bytes:
    """A file with bytes replaced, inserted, taken out or cut off, half of the time in its first `header` bytes."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(header, len(content))) | st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 8))] = draw(st.binary(max_size=8))
    if draw(st.booleans()) and draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


@st.composite
def long(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file in which a piece comes again and again: what is read piece by piece may take its time."""
    at, size = draw(st.integers(0, len(whole))), draw(st.integers(1, 64))
    piece = whole[at : at + size]
    return whole[:at] + piece * draw(st.integers(2, 10_000)) + whole[at:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory for all inputs of a test: hypothesis wants no new one for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("bad-bytes"))
        PREPARED.mkdir(parents=True)
        yield Path()


IDX = [
    header(shape, np.dtype(dtype)) + bytes(12 * np.dtype(dtype).itemsize)
    for shape, dtype in [((12,), np.uint8), ((12,), np.int16), ((3, 2, 2), np.uint8), ((1, 2, 2, 3), np.uint8)]
]


@given(st.one_of([damaged(idx, header=16) for idx in IDX]))
def test_damaged_idx_files(folder: Path, content: bytes):
    (folder / "idx").write_bytes(content)
    with bounds(), suppress(Refusal):
        file = IdxFile(folder / "idx")
        values = file.read()
        start = 4 + 4 * content[3]
        assert content[:3] in {b"\0\0\x08", b"\0\0\x0b"}
        assert file.shape == tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
        assert values.shape == file.shape
        assert values.astype(values.dtype.newbyteorder(">")).tobytes() == content[start:]


def as_npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def read_and_compare(read: Callable[[str], np.ndarray], name: str, content: bytes) -> np.ndarray:
    """What `read` gives, which NumPy itself has to give too."""
    (PREPARED / f"test_{name}.npy").write_bytes(content)
    values = read("test")
    np.testing.assert_array_equal(values, np.load(io.BytesIO(content), allow_pickle=False))
    return values


@given(damaged(as_npy(np.linspace(0, 1, 2 * 784, dtype=np.float32).reshape(2, 28, 28, 1)), header=128))
def test_damaged_images(folder: Path, content: bytes):
    with bounds(), suppress(Refusal):
        images = read_and_compare(read_images, "images", content)
        assert images.dtype == np.float32
        assert images.ndim == 4
        assert ((images >= 0) & (images <= 1)).all()


@given(damaged(as_npy(np.arange(10, dtype=np.uint8)), header=128))
def test_damaged_labels(folder: Path, content: bytes):
    with bounds(), suppress(Refusal):
        labels = read_and_compare(partial(read_labels, classes=10), "labels", content)
        assert labels.dtype in (np.uint8, np.int16)
        assert labels.ndim == 1
        assert (labels < 10).all()


PARAMETERS = parse_yaml((ROOT / "params.yaml").read_bytes(), ROOT / "params.yaml")
PARAMETERS |= {  # small, as YAML is slow to read
    "network": "mlp",
    "networks": {"mlp": PARAMETERS["networks"]["mlp"]},
    "fetch": {"dataset": "mnist-and-own"},
    "datasets": {name: PARAMETERS["datasets"][name] for name in ("mnist", "own", "mnist-and-own")},
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def altered(draw: st.DrawFn, whole: object) -> bytes:
    """The JSON of something with anything at all in the place of a value or of a whole section."""

    def change(value: object) -> object:
        inner = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
        if not inner or draw(st.integers(0, 4)) == 0:
            return draw(ANYTHING)
        key = draw(st.sampled_from(list(inner)))
        inner = inner | {key: change(inner[key])}
        return list(inner.values()) if isinstance(value, list) else inner

    return json.dumps(change(whole), ensure_ascii=False).encode() + b"\n"


def damaged_json(whole: object) -> st.SearchStrategy[bytes]:
    return damaged(json.dumps(whole, indent=1).encode() + b"\n", header=200) | altered(whole)


@given(damaged_json(PARAMETERS))  # which is YAML, too
def test_damaged_parameters(folder: Path, content: bytes):
    (folder / "params.yaml").write_bytes(content)
    with bounds(), suppress(Refusal):
        parameters = read_parameters()
        plain = parse_yaml(content, folder)
        assert (parameters.seed, parameters.threads) == (plain["seed"], plain["threads"])
        assert parameters.networks.keys() == {plain["network"]}
        assert parameters.networks[parameters.network].epochs == plain["networks"][plain["network"]]["epochs"]


FILES = [f"{split}-{content}.idx" for split in SPLITS for content in CONTENTS]
DESCRIBED = {
    "task": {"classes": ["cat", "dog"], "framing": "whole"},
    "by_content": True, "duplicates": 0, "unreadable": 0, "published": [],
    "sha256": dict.fromkeys(FILES, hashlib.sha256(b"").hexdigest()),
}  # fmt: skip


@given(damaged_json(DESCRIBED))
def test_damaged_descriptions(folder: Path, content: bytes):
    for name in FILES:
        write_bytes(folder / GATHERED / "own" / name, b"")
    (folder / GATHERED / "own" / DESCRIPTION).write_bytes(content)
    with bounds(), suppress(Refusal):
        description = read_description(GATHERED / "own")
        assert description.sha256.items() >= DESCRIBED["sha256"].items()
        assert all(isinstance(name, str) for name in description.task.classes)


COUNTS = {"dataset": "both", "test": 9, "sources": {"mnist": {"test": 7}, "own": {"test": 2}}}


@given(damaged_json(COUNTS))
def test_damaged_counts(folder: Path, content: bytes):
    with bounds(), suppress(Refusal):
        assert all(count >= 0 for count in images_by_source(content, "data.json").values())


@given(damaged(b"actual,predicted,confidence\ncat,dog,0.5\ndog,dog,0.75\n", header=40))
def test_damaged_tables(folder: Path, content: bytes):
    with bounds(), suppress(Refusal):
        table = parse_table(content, "table", {"actual": str, "predicted": str, "confidence": float})
        assert list(table.dtypes.map(lambda kind: kind.kind)) == ["O", "O", "f"]


@pytest.mark.parametrize(
    "value",
    [
        "!!bool x",
        '!!int ""',
        "!!float x",
        "!!timestamp x",
        "!!set 1",
        "1_",
        "0x",
        "9" * 5000,
        pytest.param("[" * 5000, marks=pytest.mark.slow),
    ],
)
def test_values_that_the_parser_trips_over(folder: Path, value: str):
    (folder / "params.yaml").write_text(f"seed: {value}\n")
    with bounds(), pytest.raises(Refusal, match="params.yaml"):
        read_parameters()


@pytest.mark.parametrize("key", ["seed", "networks", "wings"])
def test_aliases_that_would_fill_the_memory(folder: Path, key: str):
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for name, inner in itertools.pairwise("abcdefghij"):
        bomb += f"{inner}: &{inner} [{', '.join([f'*{name}'] * 9)}]\n"
    plain = "".join(f"{name}: {json.dumps(value)}\n" for name, value in PARAMETERS.items() if name != key)
    value = f"{{{bomb.replace(chr(10), ', ')}}}"
    (folder / "params.yaml").write_text(f"{plain}{key}: {f'{{mlp: {value}}}' if key == 'networks' else value}\n")
    with bounds(), pytest.raises(Refusal, match=f"params.yaml: .*{key}"):
        read_parameters()


def picture(form: str, mode: str) -> bytes:
    """A small picture as a file of that format, turned as a camera may have been held."""
    y, x = np.mgrid[:12, :10] * 20
    image = Image.fromarray(np.stack([x, y, x ^ y, 255 - x], axis=-1).astype(np.uint8), "RGBA")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 250)
    else:
        image = (image if mode == "RGBA" else image.convert("RGB")).convert(mode)
    turned, file = Image.Exif(), io.BytesIO()
    turned[274] = 6
    image.save(file, form, **({} if form in {"GIF", "BMP"} else {"exif": turned}))
    return file.getvalue()


MODES = {
    "PNG": ["1", "L", "P", "I;16", "RGB", "RGBA"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["P"],
    "WEBP": ["RGB", "RGBA"],
    "BMP": ["1", "L", "RGB", "RGBA"],
    "TIFF": ["1", "L", "I;16", "F", "RGB", "RGBA", "CMYK", "LAB"],
}
SHAPES = [("whole", (28, 28, 1)), ("whole", (28, 28, 3)), ("digit", (28, 28, 1))]


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Worker]:
    """A process that can be ended: what a decoder does in C is interrupted by nothing else."""
    with Worker() as worker:
        yield worker


def read_in_bounds(path: Path, framed: tuple[str, tuple[int, int, int]]) -> Read:
    with bounds(2**30):  # 64 megapixels are let in
        return read_one(path, *framed)


@pytest.mark.parametrize("form", MODES)
def test_damaged_pictures(folder: Path, worker: Worker, form: str):
    pictures = [picture(form, mode) for mode in MODES[form]]
    files = st.one_of([st.just(whole) | damaged(whole, header=64) | long(whole) for whole in pictures])

    @given(files, st.sampled_from(SHAPES))
    def read(content: bytes, framed: tuple[str, tuple[int, int, int]]) -> None:
        (folder / "picture").write_bytes(content)
        found = worker.call(read_in_bounds, folder / "picture", framed, seconds=HANG)
        assert bool(found.refused) != bool(found.pixels)
        assert len(found.pixels) in {0, np.prod(framed[1])}
        assert "\n" not in found.refused

    read()
