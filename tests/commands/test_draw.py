import asyncio
import base64
import errno
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from digits.foundation.command import Refusal, run
from digits.network import reproducibility
from digits.results.answers import IN_DOUBT
from tests.commands.serving import PNG, Server, encoded, serving, seven
from tests.conftest import ROOT, Repository
from tests.digits.pictures.test_several import page

pytest.importorskip("fastapi", reason="needs the drawing page's packages: make .venv/installed-draw")
pytest.importorskip("uvicorn", reason="needs the drawing page's packages: make .venv/installed-draw")

from commands.draw import __main__ as command
from commands.draw import drawings
from commands.draw.drawings import IMAGES, Kept

DIGITS = [str(digit) for digit in range(10)]
LARGE = encoded(Image.new("L", (7900, 7900), 255))  # which takes a second


# Reading


@pytest.mark.parametrize("name", ["four.png", "seven.jpg"])
def test_a_picture_is_answered_with_the_fields_and_numbers_of_predict(
    server: Server, predicted: dict[str, dict], name: str
):
    entry = predicted[name]
    sample = (ROOT / "docs/samples" / name).read_bytes()
    answer = server.ask("POST", "/predict", sample, {"Content-Type": "image/*"}).json
    assert answer["seen"].startswith("data:image/png;base64,")
    assert {**entry, "path": "-", "says": answer["says"], "seen": answer["seen"]} == answer
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["seen"].partition(",")[2]))))
    assert (seen[0, 0], seen.min()) == (255, 0)  # ink on white


def test_a_picture_without_a_digit_has_an_answer_that_says_so(server: Server):
    answer = server.ask("POST", "/predict", encoded(Image.new("L", (99, 99), 255)), PNG)
    assert answer.status == 200
    assert answer.json == {
        "path": "-",
        "error": "the picture shows no digit: nothing stands out from its background",
        "says": "I see no digit",
    }


def test_the_page_is_in_doubt_where_the_answers_are():
    assert f"const IN_DOUBT = {IN_DOUBT};" in (ROOT / "commands/draw/page.js").read_text()


def test_several_digits_are_read_as_a_row_and_not_kept_as_one(server: Server):
    row = encoded(page("365"))
    answer = server.ask("POST", "/predict", row, PNG).json
    assert answer["says"] == answer["text"] == "".join(digit["class"] for digit in answer["digits"])
    lefts = [digit["box"][0] for digit in answer["digits"]]
    assert (len(lefts), lefts) == (3, sorted(lefts))
    seen = Image.open(io.BytesIO(base64.b64decode(answer["seen"].partition(",")[2])))
    assert seen.size == (3 * 28, 28)
    refused = server.ask("POST", "/keep?class=3", row, PNG)
    said = f"the picture shows several digits, {answer['text']}, so it is not kept; expected one"
    assert (refused.status, refused.error) == (422, said)


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"hello", 422, "the picture is no PNG, JPEG, GIF, WebP, BMP or TIFF image"),
        (b"", 422, "the picture is no PNG, JPEG, GIF, WebP, BMP or TIFF image"),
        (seven()[:200], 422, "the picture is broken or ends too early: "),
        (encoded(Image.new("1", (9000, 9000))), 422, "the picture is 9,000 x 9,000 pixels, expected 64"),
        (bytes(8 * 2**20 + 1), 413, "what was sent is too large, expected 8,388,608 bytes at most"),
        (iter([bytes(2**20)] * 9), 413, "what was sent is too large, expected 8,388,608 bytes at most"),
    ],
    ids=["text", "nothing", "half a picture", "many pixels", "large", "large without a length"],
)  # fmt: skip
def test_what_is_no_picture_gets_a_status_and_a_sentence(server: Server, body: object, status: int, sentence: str):
    answer = server.ask("POST", "/predict", body, PNG)
    assert (answer.status, answer.error[: len(sentence)]) == (status, sentence)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_the_types_that_a_form_sends_are_refused(server: Server, kind: str):
    answer = server.ask("POST", "/keep?class=7", seven(), {"Content-Type": kind})
    assert (answer.status, answer.error) == (
        415, "the Content-Type is not an image's, expected image/png or another image/*"
    )  # fmt: skip


def test_an_address_or_method_that_is_not_there_gets_a_sentence(server: Server):
    assert server.ask("GET", "/../params.yaml").error == "there is nothing at this address"
    assert server.ask("PUT", "/predict").error == "this address does not take this method"
    assert server.ask("POST", "/keep", seven(), PNG).error.startswith("the query lacks class=")


def test_the_answers_are_described(server: Server):
    described = server.ask("GET", "/openapi.json").json
    assert {"/predict", "/keep", "/health", "/kept", "/kept/{label}/{name}"} == described["paths"].keys()
    assert described["components"]["schemas"]["Answer"]["properties"].keys() >= {"path", "class", "probabilities"}


def test_the_network_and_its_accuracy_are_those_that_dvc_lock_has(server: Server, home: Repository):
    about = server.ask("GET", "/health").json
    accuracy = json.loads((home.path / "metrics/test.json").read_text())["accuracy"]
    assert (about["network"], about["dataset"], about["accuracy"]) == ("convnet", "digits", accuracy)
    assert about["classes"] == DIGITS


@pytest.mark.slow
def test_a_new_network_answers_without_a_restart_and_a_broken_one_does_not(replaceable: Repository):
    repository = replaceable
    model = repository.path / "models/model.keras"
    with serving(repository) as server:
        before = server.ask("POST", "/predict", seven(), PNG).json["probabilities"]
        assert server.ask("GET", "/health").json["network"] == "relu-128-128"
        repository.run("git", "checkout", "--quiet", ".")
        repository.dvc("checkout")
        assert server.ask("POST", "/predict", seven(), PNG).json["probabilities"] != before
        about = server.ask("GET", "/health").json
        assert about["network"] == "convnet"
        assert about["accuracy"] == json.loads((repository.path / "metrics/test.json").read_text())["accuracy"]

        after = server.ask("POST", "/predict", seven(), PNG).json["probabilities"]
        model.unlink()
        model.write_bytes(b"no network")
        assert server.ask("POST", "/predict", seven(), PNG).json["probabilities"] == after
        assert "models/model.keras is no Keras model" in server.ask("GET", "/health").json["trouble"]


def test_a_plain_keras_model_answers_for_the_page(workspace: Path):
    from commands.draw.reader import Reader
    from digits.network.tensorflow import keras
    from digits.pictures.framing import read_picture

    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(10)])
    model.set_weights([np.zeros((784, 10), np.float32), np.eye(10, dtype=np.float32)[4] * 9])
    model.save("theirs.keras")
    reader = Reader(Path("theirs.keras"))
    network = reader.network()
    readings = read_picture(seven(), network.task, network.shape)
    assert network.answer(readings)["says"] == "4"
    assert reader.told() == "theirs.keras answers"
    assert reader.about()["assumed"].startswith("theirs.keras does not say what it tells apart: taken for the digits 0")


def sleep(_: bytes) -> None:
    time.sleep(60)


async def is_there() -> bool:
    return False


async def has_gone() -> bool:
    return True


def is_written(path: bytes) -> bytes:
    """Wait until the file is there, and give what it holds."""
    while not Path(path.decode()).exists():
        time.sleep(0.01)
    return Path(path.decode()).read_bytes()


@pytest.mark.slow
def test_a_picture_that_takes_long_keeps_no_other_from_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is read until the others have their answers, however long these take."""
    from commands.draw import decoding

    async def asked() -> tuple[list[int], bytes]:
        lanes = decoding.Decoding()
        async with lanes:
            late = asyncio.create_task(lanes.call(is_there, is_written, bytes(tmp_path / "answered")))
            await asyncio.sleep(0)  # it comes first
            meanwhile = [await lanes.call(is_there, len, b"abc") for _ in range(3)]
            (tmp_path / "answered").write_bytes(b"all")
            return meanwhile, await late

    monkeypatch.setattr(decoding, "WAY", "fork")
    assert asyncio.run(asked()) == ([3, 3, 3], b"all")


@pytest.mark.slow
def test_a_picture_that_takes_too_long_is_refused_and_its_process_ended(monkeypatch: pytest.MonkeyPatch):
    from commands.draw import decoding

    async def asked() -> tuple[list[object], int]:
        lanes = decoding.Decoding()
        async with lanes:
            slow = [lanes.call(is_there, sleep, b"large") for _ in range(4)]
            return await asyncio.gather(*slow, return_exceptions=True), await lanes.call(is_there, len, b"abc")

    monkeypatch.setattr(decoding, "SOON", 0.05)
    monkeypatch.setattr(decoding, "SLOWEST", 0.9)
    monkeypatch.setattr(decoding, "MOST_LATE", 1)
    monkeypatch.setattr(decoding, "WAY", "fork")
    before = {process.pid for process in psutil.Process().children()}
    said, after = asyncio.run(asked())
    assert {(refused.status_code, refused.detail) for refused in said} == {
        (422, "the picture takes longer than 0.9 s to read"),
        (503, "too many pictures are waiting already; send it again in a few seconds"),
    }
    assert after == 3, "the next is read"
    assert {process.pid for process in psutil.Process().children()} <= before


def test_what_nobody_waits_for_is_not_read(monkeypatch: pytest.MonkeyPatch):
    from commands.draw import decoding

    async def asked() -> list[object]:
        lanes = decoding.Decoding()
        async with lanes:
            asking = [lanes.call(has_gone, sleep, b"large"), lanes.call(is_there, len, b"abc")]
            return await asyncio.gather(*asking, return_exceptions=True)

    monkeypatch.setattr(decoding, "WAY", "fork")
    gone, read = asyncio.run(asked())
    assert (gone.status_code, gone.detail) == (408, "nobody waits for the answer")
    assert read == 3


def test_drawings_go_before_the_photographs_that_wait_but_not_all_of_them(monkeypatch: pytest.MonkeyPatch):
    from commands.draw import decoding

    done = []

    async def ask(lanes: decoding.Decoding, size: int) -> None:
        done.append(await lanes.call(is_there, len, bytes(size)))

    async def asked() -> None:
        lanes = decoding.Decoding()
        async with lanes:
            await asyncio.gather(*(ask(lanes, size) for size in (900, 800, 700, 50, 40, 30, 20, 10)))

    monkeypatch.setattr(decoding, "WAY", "fork")
    asyncio.run(asked())
    assert done == [10, 20, 900, 30, 40, 800, 50, 700]


@pytest.mark.slow
@pytest.mark.parametrize("how", [pytest.param(signal.SIGTERM, marks=pytest.mark.torture), signal.SIGKILL])
def test_no_process_outlives_the_page(finished: Repository, how: signal.Signals):
    with serving(finished) as server:
        reading = psutil.Process(server.process.pid).children(recursive=True)
        assert len(reading) >= 2
        server.process.send_signal(how)
        server.process.wait(20)
        _, alive = psutil.wait_procs(reading, timeout=20)
        assert alive == []


# Keeping


def test_a_drawing_is_kept_under_its_content_shown_and_taken_back(server: Server, home: Repository):
    kept = server.ask("POST", "/keep?class=7", seven(), PNG)
    assert (kept.status, kept.json["class"]) == (201, "7")
    file = home.path / IMAGES / "7" / kept.json["name"]
    assert file.stem == hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    assert Image.open(file).tobytes() == Image.open(io.BytesIO(seven())).tobytes()

    address = f"/kept/7/{file.name}"
    assert server.ask("GET", "/kept").json == {"counts": dict.fromkeys(DIGITS, 0) | {"7": 1}, "last": [kept.json]}
    assert server.ask("GET", address).body == file.read_bytes()
    assert server.ask("DELETE", address).status == 204
    assert not file.exists()
    assert server.ask("DELETE", address).error == "there is no such drawing"


def test_what_shows_no_digit_is_not_kept(server: Server):
    answer = server.ask("POST", "/keep?class=7", encoded(Image.new("L", (99, 99), 255)), PNG)
    assert (answer.status, answer.error.endswith(", so it is not kept")) == (422, True)


@pytest.mark.parametrize(
    "label", ["", "..", "../../7", "7/../../../x", "/tmp", "seven", "7%00", "%2e%2e%2f7", "7\\..", "+7"]
)
def test_nothing_is_kept_under_another_name_than_a_class(server: Server, home: Repository, label: str):
    before = listing(home.path)
    answer = server.ask("POST", f"/keep?class={label}", seven(), PNG)
    assert (answer.status, answer.error[:41]) == (422, "there is no such class, expected one of 0")
    assert listing(home.path) == before


@pytest.mark.parametrize(
    "path", ["/kept/../README.md", "/kept/%2e%2e/README.md", "/kept/7/%2e%2e%2f..%2fREADME.md", "/kept/..%2f7/x.png"]
)
def test_nothing_else_is_shown_or_taken_away(server: Server, home: Repository, path: str):
    assert server.ask("GET", path).status == 404
    assert server.ask("DELETE", path).status == 404
    assert (home.path / "data/own/README.md").exists()


def test_a_picture_of_one_s_own_is_not_taken_away_through_the_page(server: Server, home: Repository):
    own = home.path / IMAGES / "7/from-my-phone.png"
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_bytes(seven())
    assert server.ask("DELETE", f"/kept/7/{own.name}").error == "there is no such drawing"
    assert server.ask("GET", "/kept").json["counts"]["7"] == 1
    assert own.exists()
    own.unlink()


def listing(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if "__pycache__" not in str(path)}


@pytest.mark.parametrize("label", ["T-shirt/top", "..", ".", ".git", "a\\b", "a\nb", "/"])
def test_a_class_that_cannot_be_a_folder_is_refused(workspace: Path, label: str):
    with pytest.raises(Refusal, match="cannot be a folder's name"):
        drawings.check_label(label, [label])
    with pytest.raises(Refusal, match="cannot be written"):
        drawings.keep(seven(), label, [label])
    assert [path for path in workspace.rglob("*") if path.is_file()] == []


def test_nothing_is_written_over(workspace: Path):
    kept = drawings.keep(seven(), "7", DIGITS)
    (IMAGES / "7" / kept.name).write_bytes(b"edited")
    assert drawings.keep(seven(), "7", DIGITS) == kept
    assert (IMAGES / "7" / kept.name).read_bytes() == b"edited"


def test_a_drawing_is_kept_under_one_class(workspace: Path):
    drawings.keep(seven(), "7", DIGITS)
    with pytest.raises(Refusal, match="^this drawing is kept under 7; take it back there first$"):
        drawings.keep(seven(), "1", DIGITS)


def test_a_full_disk_is_a_sentence_and_leaves_nothing_behind(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(Refusal, match=r"^data/own/images/7/\w{16}\.png cannot be written: No space left on device$"):
        drawings.keep(seven(), "7", DIGITS)
    assert [path for path in workspace.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("linked", ["data/own/images", "data/own/images/7"])
def test_a_folder_that_leads_elsewhere_is_not_followed(workspace: Path, linked: str):
    elsewhere = workspace / "elsewhere"
    elsewhere.mkdir()
    Path(linked).parent.mkdir(parents=True)
    Path(linked).symlink_to(elsewhere)
    with pytest.raises(Refusal, match=f"^{linked} is a link, expected a folder$"):
        drawings.keep(seven(), "7", DIGITS)
    assert list(elsewhere.iterdir()) == []


def test_what_dvc_has_linked_into_its_cache_is_shown_and_taken_back(workspace: Path):
    """As `dvc add` does where `cache.type` is symlink."""
    kept = drawings.keep(seven(), "7", DIGITS)
    file, cached = IMAGES / "7" / kept.name, workspace / ".dvc/cache/files/md5/1a" / ("2b" * 15)
    cached.parent.mkdir(parents=True)
    file.rename(cached)
    file.symlink_to(cached)
    assert drawings.survey(DIGITS, 12) == (dict.fromkeys(DIGITS, 0) | {"7": 1}, [kept])
    assert drawings.read(kept) == seven()
    assert drawings.keep(seven(), "7", DIGITS) == kept
    drawings.take_back(kept)
    assert not file.parent.exists(), "a class without pictures is refused by gather"
    assert cached.read_bytes() == seven()


def test_a_file_that_leads_elsewhere_is_neither_shown_nor_taken_away(workspace: Path):
    secret = workspace / "secret"
    secret.write_text("secret")
    kept = Kept("7", f"{'0' * 16}.png")
    (IMAGES / "7").mkdir(parents=True)
    (IMAGES / "7" / kept.name).symlink_to(secret)
    for action in (drawings.read, drawings.take_back):
        with pytest.raises(Refusal, match="there is no such drawing"):
            action(kept)
    assert drawings.survey(DIGITS, 12)[1] == []


@pytest.mark.parametrize(("mode", "form"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("LAB", "TIFF")])
def test_a_picture_in_a_printers_colors_is_kept_as_it_looks(mode: str, form: str):
    drawing = Image.open(io.BytesIO(seven())).convert("RGB")
    if mode == "LAB":
        drawing = Image.merge("LAB", [drawing.getchannel("R"), *[Image.new("L", drawing.size, 128)] * 2])
    kept = Image.open(io.BytesIO(drawings.as_png(encoded(drawing if mode == "LAB" else drawing.convert(mode), form))))
    apart = np.abs(np.asarray(kept.convert("L"), int) - np.asarray(Image.open(io.BytesIO(seven())), int))
    assert apart.mean() < 2


def test_a_picture_of_16_bits_is_kept_as_it_looks():
    grey = np.asarray(Image.open(io.BytesIO(seven())), np.uint16)
    deep = encoded(Image.fromarray(grey * 257))
    assert Image.open(io.BytesIO(drawings.as_png(deep))).tobytes() == grey.astype(np.uint8).tobytes()


def test_where_a_photograph_was_taken_is_not_kept():
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"
    exif[0x010F] = "the camera's maker"
    photograph = encoded(Image.open(io.BytesIO(seven())), "JPEG", exif=exif, comment=b"at home")
    png = drawings.as_png(photograph)
    assert not Image.open(io.BytesIO(png)).getexif()
    assert b"maker" not in png
    assert b"at home" not in png


# Who may ask


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"Host": "[evil"}, 403),
        ({"Host": ""}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost:81"}, 403),
        ({"Host": "localhost:80", "Origin": "https://localhost:80"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
    ids=str,
)
def test_a_page_of_another_site_can_neither_read_nor_keep(server: Server, headers: dict[str, str], status: int):
    assert server.ask("GET", "/kept", headers=headers).status == status
    kept = server.ask("POST", "/keep?class=1", seven(1), PNG | headers)
    assert kept.status == (201 if status == 200 else 403)
    if kept.status == 201:
        server.ask("DELETE", f"/kept/1/{kept.json['name']}")


def test_a_link_on_another_page_leads_to_the_page_and_nowhere_else(server: Server):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert server.ask("GET", "/", headers=link).status == 200
    assert server.ask("GET", "/kept", headers=link).status == 403


@pytest.mark.parametrize("path", ["/", "/page.js", "/base.css", "/kept", "/nothing"])
def test_every_answer_forbids_scripts_from_elsewhere(server: Server, path: str):
    answer = server.ask("GET", path)
    assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_brings_no_script_and_no_style_along_in_its_html():
    html = (ROOT / "commands/draw/page.html").read_text()
    assert "http" not in html
    assert " style=" not in html
    assert " on" not in html.replace(" on</", "").replace(" on.", "").partition("<body>")[0]


# As a command


@pytest.mark.slow
def test_ctrl_c_ends_it_in_one_line(finished: Repository):
    with serving(finished) as server:
        server.ask("POST", "/predict", seven(), PNG)
        waiting = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
        for connection in waiting[1:]:  # most with a question that is being answered
            connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n")
            connection.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(LARGE), LARGE))
        time.sleep(1)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 130
        for connection in waiting:
            connection.close()
    assert server.printed[1:] == ["interrupted\n"]
    assert server.printed[0].startswith("http://127.0.0.1:")


@pytest.mark.slow
def test_what_another_host_means_is_said(finished: Repository):
    with serving(finished, "--host", "0.0.0.0") as server:
        assert server.printed[0].startswith("--host 0.0.0.0: whoever reaches this computer")
        assert server.ask("GET", "/health").status == 200
        assert server.ask("GET", "/health", headers={"Host": "192.168.1.9:80"}).status == 200
        assert server.ask("GET", "/health", headers={"Host": "evil.example"}).status == 403


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Gives the one line that the command says in a repository before it ends, refused. It runs in this process."""

    def refuse(repository: Repository, *options: str) -> str:
        monkeypatch.chdir(repository.path)
        monkeypatch.setattr(sys, "argv", ["draw", *options])
        monkeypatch.setattr(
            reproducibility, "compute_reproducibly", lambda *_: None
        )  # once a process, and tests share one
        capsys.readouterr()
        with pytest.raises(SystemExit, match="1"):
            run(command.main)
        (line,) = "".join(capsys.readouterr()).splitlines()
        return line

    return refuse


def test_a_port_that_is_taken_is_said_at_once(finished: Repository, refused: Callable[..., str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused(finished, "--port", str(port)) == (
            f"error: --host 127.0.0.1 --port {port}: Address already in use; --port 0 finds a free port"
        )


def test_a_clone_without_a_network_is_told_what_trains_one(fresh: Repository, refused: Callable[..., str]):
    assert refused(fresh, "--port", "0") == "error: models/model.keras is missing; `dvc repro` trains it"


def test_where_a_package_is_missing_it_is_said_what_installs_it(finished: Repository, tmp_path: Path):
    start = "import runpy, sys; sys.modules['uvicorn'] = None; runpy.run_module('commands.draw', run_name='__main__')"
    ended = subprocess.run(
        [sys.executable, "-c", start], cwd=finished.path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (
        1, "error: uvicorn is not installed, which the page needs; `make draw` installs it\n"
    )  # fmt: skip
