"""Sources that deliver, lie and die, on a small stand-in for MNIST: four files whose digests `check_mnist` is given."""

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

from digits import dataset, download, sources
from digits.command import Refusal
from digits.dataset import TEST, TRAIN, Fingerprint, IdxFile
from stages import fetch

GENERATOR = np.random.default_rng(0)
ARRAYS = {
    TRAIN[0]: GENERATOR.integers(0, 256, (40, 28, 28), np.uint8),
    TRAIN[1]: GENERATOR.integers(0, 10, 40, np.uint8),
    TEST[0]: GENERATOR.integers(0, 256, (20, 28, 28), np.uint8),
    TEST[1]: GENERATOR.integers(0, 10, 20, np.uint8),
}
FILES = dataset.as_files(*ARRAYS.values())
PUBLISHED = {name: Fingerprint(len(file), hashlib.sha256(file).hexdigest()) for name, file in FILES.items()}


@pytest.fixture(autouse=True)
def small_mnist(monkeypatch: pytest.MonkeyPatch):
    """Let the stand-in pass for MNIST, leave no source but the ones a test gives, and lose patience soon."""
    monkeypatch.setattr(dataset, "MNIST", PUBLISHED)
    monkeypatch.setattr(sources, "MNIST", PUBLISHED)
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    for module in (fetch, sources):
        monkeypatch.setattr(module, "NPZ", "http://127.0.0.1:9/mnist.npz")
        monkeypatch.setattr(module, "OPENML", "127.0.0.1")


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
    assert fetch.mnist([str(mirror)], tmp_path / "cache") == FILES


def test_a_download_is_kept_and_not_repeated(mirror: Path, tmp_path: Path):
    with serving(mirror) as server:
        assert fetch.mnist([server.url], tmp_path / "cache") == FILES
        assert fetch.mnist([server.url], tmp_path / "cache") == FILES
        assert server.asked == 4


def test_a_damaged_cache_is_passed_over_and_mended(mirror: Path, tmp_path: Path):
    with serving(mirror) as server:
        fetch.mnist([server.url], tmp_path / "cache")
        (tmp_path / "cache" / TRAIN[1]).write_bytes(b"damage")
        assert fetch.mnist([server.url], tmp_path / "cache") == FILES
        assert (tmp_path / "cache" / TRAIN[1]).read_bytes() == FILES[TRAIN[1]]


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("truncates", "IncompleteRead|more expected|Connection broken"),
        ("cuts short in silence", "bytes, MNIST's has"),
        ("flips a byte", "has the SHA-256"),
        ("answers 404", "404"),
        ("answers 500", "500"),
        ("serves a page", "no gzip file, it starts with b'<html>"),
        ("redirects in a loop", "30 redirects"),
        ("stalls in the headers", "sent 0 bytes in 0 s|timed out"),
        ("drips headers", "sent 0 bytes in 0 s"),
        ("stalls in the body", "bytes in 0 s|timed out"),
        ("drips", "bytes in 0 s"),
        ("sends a bomb", "bytes, MNIST's has|sends more than"),
        ("never ends", "sends more than"),
    ],
)
def test_a_bad_mirror_is_named_with_its_reason_and_the_next_one_is_asked(
    mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture, manner: str, said: str
):
    with serving(mirror, manner) as bad:
        with pytest.raises(Refusal, match=rf"(?s)no source delivers MNIST:\n  {bad.url}: [^\n]*({said})"):
            fetch.mnist([bad.url], tmp_path / "cache")
        assert not (tmp_path / "cache").exists()
        with serving(mirror) as good:
            assert fetch.mnist([bad.url, good.url], tmp_path / "cache") == FILES
            assert f"MNIST from {good.url}" in capsys.readouterr().out


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
    assert fetch.mnist([str(mirror)], tmp_path / "closed/digits-mnist") == FILES


@pytest.mark.parametrize("below", ["", ".dvc/tmp"])
def test_a_relative_mirror_is_seen_from_the_repository_by_its_experiments_too(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, below: str
):
    (workspace / below).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(workspace / below)
    monkeypatch.setenv("MNIST_MIRROR", "../mnist")
    assert Path(*fetch.own_mirror()).resolve() == (workspace / "../mnist").resolve()


@pytest.mark.parametrize(("named", "mirrors"), [(None, []), ("", []), ("http://x/y", ["http://x/y"]), ("/m", ["/m"])])
def test_a_mirror_of_ones_own_is_a_folder_or_an_address(
    monkeypatch: pytest.MonkeyPatch, named: str | None, mirrors: list[str]
):
    monkeypatch.delenv("MNIST_MIRROR", raising=False)
    if named is not None:
        monkeypatch.setenv("MNIST_MIRROR", named)
    assert fetch.own_mirror() == mirrors


def test_a_mirror_that_refuses_is_named(tmp_path: Path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(Refusal, match=f"http://127.0.0.1:{port}: Connection refused"):
            fetch.mnist([f"http://127.0.0.1:{port}"], tmp_path / "cache")


def test_only_the_lack_of_a_source_has_the_exit_code_for_which_make_goes_on():
    assert (fetch.NoSource.exit_code, Refusal.exit_code) == (69, 1)


def test_without_a_source_each_is_named_and_what_to_do(tmp_path: Path):
    with pytest.raises(Refusal) as refused:
        fetch.mnist([str(tmp_path / "absent")], tmp_path / "cache")
    lines = str(refused.value).splitlines()
    assert lines[0] == "no source delivers MNIST:"
    assert lines[1] == f"  {tmp_path / 'absent'}: No such file or directory"
    assert lines[2].startswith("  http://127.0.0.1:9/mnist.npz: Connection refused")
    assert lines[3].startswith("  https://127.0.0.1: Connection refused")
    assert "MNIST_MIRROR=" in lines[4]
    assert "dvc exp run -S fetch.dataset=digits" in lines[5]


def test_keras_archive_becomes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), ARRAYS.values(), strict=True))
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setattr(sources, "NPZ_SHA256", hashlib.sha256((tmp_path / "mnist.npz").read_bytes()).hexdigest())
    with serving(tmp_path) as server:
        monkeypatch.setattr(sources, "NPZ", f"{server.url}mnist.npz")
        assert fetch.mnist([], tmp_path / "cache") == FILES


def test_another_archive_than_keras_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    np.savez(tmp_path / "mnist.npz", x_train=np.array([{}]))
    with serving(tmp_path) as server:
        monkeypatch.setattr(sources, "NPZ", f"{server.url}mnist.npz")
        with pytest.raises(Refusal, match=r"mnist.npz has the SHA-256 .*, expected 731c5ac602"):
            fetch.mnist([], tmp_path / "cache")


def test_openmls_table_becomes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """OpenML itself is out of reach for a test: its client is replaced by one that gives what it gives."""
    train = 40
    pixels = np.concatenate([ARRAYS[TRAIN[0]], ARRAYS[TEST[0]]]).reshape(-1, 784).astype(np.float64)
    labels = np.concatenate([ARRAYS[TRAIN[1]], ARRAYS[TEST[1]]]).astype(str).astype(object)
    monkeypatch.setattr(sources, "fetch_openml", lambda *_, **__: (pixels, labels))
    monkeypatch.setattr(sources, "OPENML_TRAIN", train)
    with serving(tmp_path) as server:
        monkeypatch.setattr(sources, "OPENML_PORT", server.server_address[1])
        assert fetch.mnist([], tmp_path / "cache") == FILES


def test_the_embedded_digits_come_as_mnist_does(tmp_path: Path):
    files = fetch.embedded_digits()
    assert files == fetch.embedded_digits()
    arrays = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        arrays[name] = IdxFile(tmp_path / name).read()
    assert arrays[TRAIN[0]].shape == (1437, 28, 28)
    assert arrays[TEST[0]].shape == (360, 28, 28)
    assert arrays[TRAIN[0]].max() == 255
    share = np.bincount(arrays[TEST[1]]) / np.bincount(np.concatenate([arrays[TRAIN[1]], arrays[TEST[1]]]))
    np.testing.assert_allclose(share, 0.2, atol=0.005)


def test_real_mnist_is_mnist(mnist_mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    files = fetch.mnist([str(mnist_mirror)], tmp_path / "cache")
    assert {name: len(content) for name, content in files.items()} == {
        name: published.size for name, published in dataset.MNIST.items()
    }
