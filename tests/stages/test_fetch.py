"""Sources that deliver, lie and die, on a small stand-in for MNIST: four files and their digests."""

import gzip
import hashlib
import itertools
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from digits.data.idx import header
from digits.data.raw import FETCHED, write_raw
from digits.foundation.command import Refusal
from digits.foundation.parameters import Idx, read_parameters
from digits.published import download, sources
from digits.published.embedded import embedded_digits
from stages import fetch
from tests.conftest import ROOT

GENERATOR = np.random.default_rng(0)
ARRAYS = [
    GENERATOR.integers(0, 256, (40, 28, 28), np.uint8),
    GENERATOR.integers(0, 10, 40, np.uint8),
    GENERATOR.integers(0, 256, (20, 28, 28), np.uint8),
    GENERATOR.integers(0, 10, 20, np.uint8),
]
NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
FILES = {name: header(array.shape, array.dtype) + array.tobytes() for name, array in zip(NAMES, ARRAYS, strict=True)}
MNIST = Idx(
    kind="idx", mirrors=[], copies=["keras", "openml"], classes=10, height=28, width=28, train=40, test=20,
    framing="digit", files=NAMES, sha256=[hashlib.sha256(file).hexdigest() for file in FILES.values()],
)  # fmt: skip


def fetched(mirrors: list[str], cache: Path, published: Idx = MNIST) -> sources.Files:
    return sources.fetch_files("mnist", published, mirrors, cache)


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch: pytest.MonkeyPatch):
    """Leave no source but the ones a test gives, and lose patience soon."""
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    monkeypatch.setattr(sources, "NPZ", "http://127.0.0.1:9/mnist.npz")
    monkeypatch.setattr(sources, "OPENML", "127.0.0.1")
    copies = {"keras": (sources.NPZ, sources.from_npz), "openml": (f"https://{sources.OPENML}", sources.from_openml)}
    monkeypatch.setattr(sources, "COPIES", copies)


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A folder with the four .gz files."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


BOMB = gzip.compress(bytes(10**8))  # made beforehand: on a busy machine, it takes longer than a source may be silent


class Server(ThreadingHTTPServer):
    """Serves a folder after its manner, and counts what it was asked for."""

    daemon_threads = True

    def __init__(self, folder: Path, manner: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.manner, self.asked = folder, manner, 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's manner has it."""

    def do_GET(self) -> None:
        self.server.asked += 1
        content = (self.server.folder / self.path.strip("/")).read_bytes()
        status, declared, sent = 200, None, [content]
        match self.server.manner:
            case "truncates":
                declared, sent = len(content), [content[: len(content) // 2]]
            case "cuts short in silence":
                sent = [content[: len(content) // 2]]
            case "flips a byte":
                raw = bytearray(gzip.decompress(content))
                raw[-1] ^= 1
                sent = [gzip.compress(bytes(raw))]
            case "answers 404" | "answers 500":
                status, sent = int(self.server.manner[-3:]), [b"no"]
            case "serves a page":
                sent = [b"<html>Sign in</html>"]
            case "redirects in a loop":
                status = 302
            case "stalls in the headers":
                time.sleep(3)
                return
            case "drips headers":
                self.wfile.write(b"HTTP/1.0 200 OK\r\n")
                for _ in range(30):
                    self.wfile.write(b"X-Slow: 1\r\n")
                    time.sleep(0.1)
                return
            case "stalls in the body":
                sent = [content[:10], 3]
            case "drips":
                sent = itertools.chain.from_iterable((bytes([byte]), 0.1) for byte in content[:30])
            case "sends a bomb":
                sent = [BOMB]
            case "never ends":
                sent = itertools.repeat(content, 10_000)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.path)
        if declared or self.server.manner == "is honest":
            self.send_header("Content-Length", str(declared or len(content)))
        self.end_headers()
        for part in sent:
            if isinstance(part, bytes):
                self.wfile.write(part)
            else:
                time.sleep(part)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Take it when the other side hangs up."""
        with suppress(OSError):
            super().handle()


@contextmanager
def serving(folder: Path, manner: str = "is honest") -> Iterator[Server]:
    with Server(folder, manner) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_a_folder_is_a_mirror(mirror: Path, tmp_path: Path):
    assert fetched([str(mirror)], tmp_path / "cache") == FILES


def test_a_download_is_kept_and_not_repeated(mirror: Path, tmp_path: Path):
    with serving(mirror) as server:
        assert fetched([server.url], tmp_path / "cache") == FILES
        assert fetched([server.url], tmp_path / "cache") == FILES
        assert server.asked == 4


def test_what_came_from_a_folder_is_there_when_the_folder_is_not(mirror: Path, tmp_path: Path):
    assert fetched([str(mirror)], tmp_path / "cache") == FILES
    assert fetched([str(tmp_path / "absent")], tmp_path / "cache") == FILES


def test_a_damaged_cache_is_passed_over_and_mended(mirror: Path, tmp_path: Path):
    with serving(mirror) as server:
        fetched([server.url], tmp_path / "cache")
        (tmp_path / "cache" / NAMES[1]).write_bytes(b"damage")
        assert fetched([server.url], tmp_path / "cache") == FILES
        assert (tmp_path / "cache" / NAMES[1]).read_bytes() == FILES[NAMES[1]]


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("truncates", "IncompleteRead|more expected|Connection broken"),
        ("cuts short in silence", "bytes, the published one has"),
        ("flips a byte", "has the SHA-256"),
        ("answers 404", "404"),
        ("answers 500", "500"),
        ("serves a page", "no gzip file, it starts with b'<html>"),
        ("redirects in a loop", "30 redirects"),
        ("stalls in the headers", "sent 0 bytes in 0 s|timed out"),
        ("drips headers", "sent 0 bytes in 0 s"),
        ("stalls in the body", "bytes in 0 s|timed out"),
        ("drips", "bytes in 0 s"),
        ("sends a bomb", "bytes, the published one has|sends more than"),
        ("never ends", "sends more than"),
    ],
)
def test_a_bad_mirror_is_named_with_its_reason_and_the_next_one_is_asked(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture, manner: str, said: str
):
    with serving(mirror, manner) as bad:
        with pytest.raises(Refusal, match=rf"(?s)no source delivers mnist:\n  {bad.url}: [^\n]*({said})"):
            fetched([bad.url], tmp_path / "cache")
        assert not (tmp_path / "cache").exists()
        with serving(mirror) as good:
            assert fetched([bad.url, good.url], tmp_path / "cache") == FILES
            assert f"mnist from {good.url}" in capsys.readouterr().out


def test_a_cache_that_nobody_may_look_into_is_passed_over(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "closed").mkdir()

    def closed(path: Path, *_: object, **__: object) -> os.stat_result:
        """Access as another user than root has it, whom no mode of a file stops."""
        if path.is_relative_to(tmp_path / "closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return os.stat(path)  # noqa: PTH116

    monkeypatch.setattr(Path, "stat", closed)
    monkeypatch.setattr(os, "access", lambda path, _: not Path(path).is_relative_to(tmp_path / "closed"))
    assert fetched([str(mirror)], tmp_path / "closed/digits-mnist") == FILES


@pytest.mark.parametrize("below", ["", ".dvc/tmp"])
def test_a_relative_mirror_is_seen_from_the_repository_by_its_experiments_too(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, below: str
):
    (workspace / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(workspace / below)
    monkeypatch.setenv("MNIST_MIRROR", "../mnist")
    assert Path(*sources.own_mirror("mnist")).resolve() == (workspace / "../mnist").resolve()


@pytest.mark.parametrize(("named", "mirrors"), [(None, []), ("", []), ("http://x/y", ["http://x/y"]), ("/m", ["/m"])])
def test_a_mirror_of_ones_own_is_a_folder_or_an_address(
    monkeypatch: pytest.MonkeyPatch, named: str | None, mirrors: list[str]
):
    monkeypatch.delenv("MNIST_MIRROR", raising=False)
    if named is not None:
        monkeypatch.setenv("MNIST_MIRROR", named)
    assert sources.own_mirror("mnist") == mirrors


def test_a_mirror_that_refuses_is_named(tmp_path: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Refusal, match=f"http://127.0.0.1:{port}: Connection refused"):
            fetched([f"http://127.0.0.1:{port}"], tmp_path / "cache")


def test_only_the_lack_of_a_source_has_the_exit_code_for_which_make_goes_on():
    assert (sources.NoSource.exit_code, Refusal.exit_code) == (69, 1)


def test_without_a_source_each_is_named_and_what_to_do(tmp_path: Path):
    with pytest.raises(Refusal) as refused:
        fetched([str(tmp_path / "absent")], tmp_path / "cache")
    lines = str(refused.value).splitlines()
    assert lines[0] == "no source delivers mnist:"
    assert lines[1] == f"  {tmp_path / 'absent'}: No such file or directory"
    assert lines[2].startswith("  http://127.0.0.1:9/mnist.npz: Connection refused")
    assert lines[3].startswith("  https://127.0.0.1: Connection refused")
    assert "MNIST_MIRROR=" in lines[4]
    assert "dvc exp run -S fetch.dataset=digits" in lines[5]


def test_keras_archive_becomes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), ARRAYS, strict=True))
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setattr(sources, "NPZ_SHA256", hashlib.sha256((tmp_path / "mnist.npz").read_bytes()).hexdigest())
    with serving(tmp_path) as server:
        monkeypatch.setattr(sources, "NPZ", f"{server.url}mnist.npz")
        assert fetched([], tmp_path / "cache") == FILES


def test_another_archive_than_keras_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    np.savez(tmp_path / "mnist.npz", x_train=np.array([{}]))
    with serving(tmp_path) as server:
        monkeypatch.setattr(sources, "NPZ", f"{server.url}mnist.npz")
        with pytest.raises(Refusal, match=r"mnist.npz has the SHA-256 .*, the published one has 731c5ac602"):
            fetched([], tmp_path / "cache")


def test_openmls_table_becomes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """OpenML itself is out of reach for a test: its client is replaced by one that gives what it gives."""
    pixels = np.concatenate([ARRAYS[0], ARRAYS[2]]).reshape(-1, 784).astype(np.float64)
    labels = np.concatenate([ARRAYS[1], ARRAYS[3]]).astype(str).astype(object)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: (pixels, labels))
    with serving(tmp_path) as server:
        monkeypatch.setattr(sources, "OPENML_PORT", server.server_address[1])
        assert fetched([], tmp_path / "cache") == FILES


def test_the_embedded_digits_come_as_mnist_does():
    found = embedded_digits()
    train, test = found.labels[~found.in_test], found.labels[found.in_test]
    assert (len(train), len(test), found.images.shape[1:], found.images.max()) == (1437, 360, (28, 28, 1), 255)
    np.testing.assert_allclose(np.bincount(test) / np.bincount(found.labels), 0.2, atol=0.005)
    np.testing.assert_array_equal(found.images, embedded_digits().images)


def test_what_is_there_and_right_is_asked_for_nowhere(
    workspace: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    text = (ROOT / "params.yaml").read_text()
    digests = read_parameters(ROOT / "params.yaml").datasets["mnist"].sha256
    for known, own in zip(digests, MNIST.sha256, strict=True):
        text = text.replace(known, own)
    (workspace / "params.yaml").write_text(
        text.replace("train: 60000", "train: 40", 1).replace("test: 10000", "test: 20", 1)
    )
    monkeypatch.setattr(sources.pooch, "os_cache", lambda _: workspace / "cache")
    monkeypatch.setenv("MNIST_MIRROR", str(mirror))
    fetch.main()
    before = {path: path.read_bytes() for path in Path("data/raw").rglob("*.*")}
    assert f"mnist from {mirror}" in capsys.readouterr().out
    monkeypatch.setattr(sources, "fetch_published", None)  # which would ask
    fetch.main()
    assert "mnist is there already" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in Path("data/raw").rglob("*.*")} == before
    for spoilt in ("train-labels.idx", "dataset.json"):
        path = Path("data/raw/fetched/mnist") / spoilt
        path.write_bytes(before[path][:-1])
        with pytest.raises(TypeError):
            fetch.main()
        path.write_bytes(before[path])


SYMBOLS = [
    GENERATOR.integers(0, 256, (94, 20, 36), np.uint8),
    np.arange(94, dtype=np.uint8) % 47,
    GENERATOR.integers(0, 256, (47, 20, 36), np.uint8),
    np.arange(47, dtype=np.uint8),
]


@pytest.fixture
def symbols(tmp_path: Path) -> tuple[Path, Idx]:
    """A folder with a dataset of 20 x 36 pixels and 47 classes, whose digests are those of its .gz files."""
    folder = tmp_path / "symbols"
    folder.mkdir()
    for name, array in zip(NAMES, SYMBOLS, strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(header(array.shape, array.dtype) + array.tobytes(), mtime=0))
    files = [f"{name}.gz" for name in NAMES]
    sha256 = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files]
    return folder, Idx(
        kind="idx",
        mirrors=[],
        classes=47,
        height=20,
        width=36,
        train=94,
        test=47,
        framing="whole",
        files=files,
        sha256=sha256,
    )


def test_any_dataset_of_that_form_comes_from_its_mirror(symbols: tuple[Path, Idx], tmp_path: Path):
    folder, published = symbols
    with serving(folder) as server:
        for _ in range(2):
            found = fetched([server.url], tmp_path / "cache", published)
            for one, other in zip(sources.unpack(found, published), SYMBOLS, strict=True):
                np.testing.assert_array_equal(one, other)
        assert server.asked == 4


@pytest.mark.parametrize(
    ("manner", "said"), [("flips a byte", "has the SHA-256"), ("sends a bomb", "has the SHA-256|sends more than")]
)
def test_a_compressed_file_is_checked_before_it_is_unpacked(
    symbols: tuple[Path, Idx], tmp_path: Path, manner: str, said: str
):
    folder, published = symbols
    with serving(folder, manner) as server, pytest.raises(Refusal, match=said):
        fetched([server.url], tmp_path / "cache", published)


def test_files_of_another_shape_than_params_yaml_says_are_refused(symbols: tuple[Path, Idx], tmp_path: Path):
    folder, published = symbols
    files = fetched([str(folder)], tmp_path / "cache", published)
    with pytest.raises(
        Refusal, match=r"the files hold the shapes .*\(94, 20, 36\).*, params.yaml says .*\(94, 36, 20\)"
    ):
        sources.unpack(files, published.model_copy(update={"height": 36, "width": 20}))


def as_emnist(folder: Path, published: Idx) -> Idx:
    """The same dataset stored as EMNIST's letters are: rows and columns exchanged, the labels from 1 up."""
    for name, array in zip(published.files, SYMBOLS, strict=True):
        stored = array.swapaxes(1, 2) if array.ndim == 3 else array + np.uint8(1)
        (folder / name).write_bytes(gzip.compress(header(stored.shape, array.dtype) + stored.tobytes(), mtime=0))
    sha256 = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in published.files]
    return published.model_copy(update={"sha256": sha256})


def test_images_stored_transposed_and_labels_from_1_up_come_as_the_others_do(symbols: tuple[Path, Idx], tmp_path: Path):
    folder, published = symbols
    stored = as_emnist(folder, published)
    read_so = stored.model_copy(update={"transposed": True, "first_label": 1})
    files = fetched([str(folder)], tmp_path / "cache", read_so)
    for one, other in zip(sources.unpack(files, read_so), SYMBOLS, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    with pytest.raises(Refusal, match=r"labels 1 to 47, params.yaml says 0 to 46: 47 classes, the first of which is"):
        sources.unpack(files, read_so.model_copy(update={"first_label": 0}))


def test_files_that_are_to_be_read_otherwise_are_read_anew(
    symbols: tuple[Path, Idx], workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    _, published = symbols
    square = published.model_copy(update={"classes": ["a", "b"], "height": 28, "width": 28})
    images, labels = np.zeros((4, 28, 28), np.uint8), np.zeros(4, np.uint8)
    monkeypatch.setattr(sources, "fetch_published", lambda *_: [images, labels, images, labels])
    write_raw(FETCHED / "symbols", fetch.load("symbols", square))
    assert fetch.is_there(FETCHED / "symbols", square)
    for other in ({"transposed": True}, {"first_label": 1}):
        assert not fetch.is_there(FETCHED / "symbols", square.model_copy(update=other))


@pytest.mark.parametrize(("name", "variable"), [("mnist", "MNIST_MIRROR"), ("fashion-mnist", "FASHION_MNIST_MIRROR")])
def test_each_dataset_has_a_mirror_of_ones_own(name: str, variable: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, "http://127.0.0.1/x")
    assert sources.own_mirror(name) == ["http://127.0.0.1/x"]


def test_real_mnist_is_mnist(mnist_mirror: Path, tmp_path: Path):
    parameters = read_parameters(ROOT / "params.yaml")
    images, labels, test_images, test_labels = sources.unpack(
        fetched([str(mnist_mirror)], tmp_path / "cache", parameters.datasets["mnist"]), parameters.datasets["mnist"]
    )
    assert (images.shape, test_images.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert (labels[:5].tolist(), test_labels[:5].tolist()) == ([5, 0, 4, 1, 9], [7, 2, 1, 0, 4])
