import base64
import http.client
import io
import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from digits.data.corrections import CORRECTIONS, Correction, read_corrections, write_corrections
from digits.foundation.command import Refusal
from tests.commands.serving import Answer, ask, in_process, serving
from tests.conftest import Repository

pytest.importorskip("fastapi", reason="needs the pages' packages: make .venv/installed-draw")
pytest.importorskip("uvicorn", reason="needs the pages' packages: make .venv/installed-draw")

from commands.review.decisions import Review, doubtful, rewriting
from commands.review.server import application
from tests.commands.doubts import IDENTITIES, review

DIGITS = [str(digit) for digit in range(10)]
LABEL, TRUTH = "9", "8"  # of the most doubtful image
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def empty(workspace: Path) -> Path:
    """A working directory with a data/corrections.csv of no rows."""
    write_corrections([])
    return workspace


@dataclass(frozen=True)
class Page:
    """A server with six doubtful labels."""

    port: int
    review: Review

    def get(self, path: str, **headers: str) -> Answer:
        return ask(self.port, "GET", path, headers=headers)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        return ask(self.port, "POST", path, json.dumps(body).encode(), JSON | headers)

    def decide(self, position: int, label: str, **headers: str) -> Answer:
        body = {"dataset": "made-up", "image": IDENTITIES[position], "label": label}
        return self.post("/decide", body, **headers)


@contextmanager
def served(made: Review) -> Iterator[Page]:
    with in_process(application(made, ["dvc repro"])) as port:
        yield Page(port, made)


@pytest.fixture
def page(empty: Path) -> Iterator[Page]:
    with served(review(DIGITS)) as opened:
        yield opened


def rows() -> list[tuple[str, str, str]]:
    return [(row.image, row.was, row.becomes) for row in read_corrections().values()]


# What is shown


def test_a_doubtful_label_is_shown_with_the_likeliest_classes_and_the_nearest_relatives(page: Page):
    view = page.get("/view").json
    doubt = view["doubt"]
    assert (doubt["position"], doubt["image"], doubt["split"]) == (0, IDENTITIES[0], "train")
    assert doubt["label"] == {"label": LABEL, "probability": 0.001}
    assert [share["label"] for share in doubt["likely"]] == [TRUTH, "0", "1"]
    assert doubt["likely"][0]["probability"] == pytest.approx(0.97)
    assert [relative["label"] for relative in doubt["relatives"]].count(TRUTH) >= 4
    assert {relative["seen"][:22] for relative in [doubt, *doubt["relatives"]]} == {"data:image/png;base64,"}
    assert (view["left"], view["undoable"]) == (6, False)


def test_what_is_reviewed_and_what_to_type_next_is_told(page: Page):
    assert page.get("/about").json == {"classes": DIGITS, "framing": "digit", "doubtful": 6, "commands": ["dvc repro"]}


def test_after_the_last_one_there_is_nothing_to_show(page: Page):
    view = page.get("/view?from=6").json
    assert (view["doubt"], view["left"]) == (None, 6)


@pytest.mark.parametrize(("framing", "corner"), [("digit", 255), ("whole", None)])
def test_ink_is_dark_on_white_and_photographs_are_light(empty: Path, framing: str, corner: int | None):
    made = review(["cat", "dog"], framing, images=16)
    seen = decoded(made.view().doubt.seen)
    assert seen.getpixel((0, 0)) == (corner or tuple((255 * made._images.pixels[0, 0, 0]).round().astype(int)))


def decoded(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_those_are_doubtful_to_which_another_class_is_likelier_and_twenty_at_least():
    table = pd.DataFrame({"probability": [0.1, 0.2, 0.6, 0.9], "likely_probability": [0.9, 0.8, 0.4, 0.1]})
    assert [len(doubtful(table, least)) for least in (0, 3, 20)] == [2, 3, 4]


# What is decided


def test_each_decision_is_in_the_file_at_once_and_the_next_label_is_shown(page: Page):
    answer = page.decide(0, TRUTH).json
    assert CORRECTIONS.read_text() == f"image,dataset,was,is,why\n{IDENTITIES[0]},made-up,{LABEL},{TRUTH},\n"
    assert (answer["doubt"]["position"], answer["left"], answer["corrected"]) == (1, 5, 1)
    label = answer["doubt"]["label"]["label"]
    page.decide(1, label)
    last = page.decide(2, "").json
    assert [(was == becomes, becomes == "") for _, was, becomes in rows()] == [
        (False, False), (True, False), (False, True)
    ]  # fmt: skip
    assert [last[count] for count in ("left", "corrected", "left_out", "right")] == [3, 1, 1, 1]


def test_a_label_that_is_found_right_is_not_shown_again(page: Page):
    page.decide(0, LABEL)
    assert page.get("/view").json["doubt"]["position"] == 1


def test_the_last_decisions_are_taken_back_one_after_the_other(page: Page):
    assert page.post("/undo", {}).error == "there is no decision to take back"
    page.decide(0, TRUTH)
    page.decide(1, "")
    for position in (1, 0):
        answer = page.post("/undo", {}).json
        assert (answer["doubt"]["position"], answer["undoable"]) == (position, position == 1)
    assert CORRECTIONS.read_text() == "image,dataset,was,is,why\n"
    assert page.decide(0, "5").status == 200


def test_what_others_write_meanwhile_stays_and_rows_keep_their_order(page: Page):
    theirs = [Correction("f" * 16, "mnist", "4", "9", "a hand, of course"), Correction("0" * 16, "own", "1", "")]
    page.decide(0, TRUTH)
    write_corrections([theirs[0], *read_corrections().values(), theirs[1]])
    page.decide(1, "6")
    assert [row[0] for row in rows()] == ["f" * 16, IDENTITIES[0], "0" * 16, IDENTITIES[1]]
    page.post("/undo", {})
    assert read_corrections()["mnist", "f" * 16] == theirs[0]
    assert [row[0] for row in rows()] == ["f" * 16, IDENTITIES[0], "0" * 16]


def test_a_row_that_somebody_else_wrote_for_the_image_stays_as_it_is(page: Page):
    write_corrections([Correction(IDENTITIES[0], "made-up", LABEL, "2", "by hand")])
    answer = page.decide(0, TRUTH)
    sentence = "data/corrections.csv, line 2: this image has a row already, which stays as it is"
    assert (answer.status, answer.error) == (422, sentence)
    assert rows() == [(IDENTITIES[0], LABEL, "2")]


def test_of_two_pages_at_once_neither_writes_over_the_other(empty: Path):
    one, other = review(DIGITS), review(DIGITS)
    with ThreadPoolExecutor(1) as pool:
        with rewriting() as between_reading_and_writing:
            decision = pool.submit(other.decide, "made-up", IDENTITIES[1], "6")
            with pytest.raises(TimeoutError):
                decision.result(timeout=0.3)
            row = Correction(IDENTITIES[0], "made-up", LABEL, TRUTH)
            between_reading_and_writing["made-up", IDENTITIES[0]] = row
        decision.result()
    assert [row[0] for row in rows()] == IDENTITIES[:2]
    assert one.view().left == 4


def test_a_page_that_keeps_the_file_is_told(empty: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("commands.review.decisions.LONGEST_S", 0.1)
    with rewriting(), pytest.raises(Refusal, match="cannot be written: .*lock: .* could not be acquired"):
        review(DIGITS).decide("made-up", IDENTITIES[0], TRUTH)


def test_a_row_that_was_changed_since_is_not_taken_back(page: Page):
    page.decide(0, TRUTH)
    page.decide(1, "6")
    first, second = read_corrections().values()
    write_corrections([first, Correction(second.image, second.dataset, second.was, "2", "by hand")])
    assert "was changed since, and stays as it is" in page.post("/undo", {}).error
    assert page.post("/undo", {}).json["doubt"]["position"] == 0
    assert [row[0] for row in rows()] == [IDENTITIES[1]]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"dataset": "made-up", "image": IDENTITIES[0], "label": "seven"}, "there is no class 'seven'"),
        ({"dataset": "mnist", "image": IDENTITIES[0], "label": "7"}, "this image is none of the doubtful ones"),
        ({"dataset": "made-up", "image": IDENTITIES[9], "label": "7"}, "this image is none of the doubtful ones"),
        ({"dataset": "made-up", "image": IDENTITIES[0]}, "the request lacks what this address needs"),
        ({"dataset": "made-up", "image": IDENTITIES[0], "label": None}, "the request lacks what this address needs"),
        ([], "the request lacks what this address needs"),
    ],
)
def test_what_is_no_decision_is_refused_and_nothing_is_written(page: Page, body: object, sentence: str):
    answer = page.post("/decide", body)
    assert (answer.status, answer.error[: len(sentence)]) == (422, sentence)
    assert rows() == []


def test_a_file_that_cannot_be_read_is_told_and_left_as_it_is(page: Page):
    CORRECTIONS.write_text("image,dataset,was,is,why\nhalf a row")
    for answer in (page.decide(0, TRUTH), page.get("/view")):
        assert (answer.status, answer.error) == (
            422, "data/corrections.csv, line 2: 1 cells, expected 5: image,dataset,was,is,why"
        )  # fmt: skip
    assert CORRECTIONS.read_text().endswith("half a row")


def test_a_disk_that_does_not_take_it_leaves_file_and_label_as_they_were(page: Page, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        answer = page.decide(0, TRUTH)
    assert answer.error == "data/corrections.csv cannot be written: No space left on device"
    assert [path.name for path in Path("data").iterdir()] == ["corrections.csv"]
    view = page.get("/view").json
    assert (view["doubt"]["position"], view["undoable"], rows()) == (0, False, [])


def test_equal_images_are_decided_on_once(empty: Path):
    made = review(DIGITS)
    made._keys[3] = made._keys[0]
    view = made.decide("made-up", IDENTITIES[0], TRUTH)
    assert view.left == 4
    assert made.view(3).doubt.position == 4


# Who may ask


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:80", "Origin": "http://localhost:80"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 422),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 422),
    ],
    ids=str,
)
def test_a_page_of_another_site_can_neither_read_nor_decide(page: Page, headers: dict[str, str], status: int):
    assert page.decide(0, TRUTH, **headers).status == status
    assert len(rows()) == (status == 200)
    if status == 403:
        assert page.get("/view", **headers).status == 403


def test_a_body_that_is_too_large_is_refused(page: Page):
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request("POST", "/decide", headers=JSON | {"Content-Length": str(2**23 + 1)})
    assert connection.getresponse().status == 413
    connection.close()


def test_the_page_s_files_come_and_nothing_else(page: Page):
    for path in ("/", "/page.js", "/page.css", "/base.js", "/base.css"):
        answer = page.get(path)
        assert answer.status == 200
        assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
    assert page.get("/decisions.py").error == "there is nothing at this address"
    assert page.get("/decide").error == "this address does not take this method"


def test_the_page_brings_no_script_and_no_style_along_in_its_html(page: Page):
    html = page.get("/").body.decode()
    assert "http" not in html
    assert " style=" not in html


# As a command


def test_what_keeps_the_page_from_opening_is_said_before_the_minutes_go_by(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    from commands.review import __main__ as command

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["review", "--page", "--port", str(port)])
        with pytest.raises(Refusal, match=f"--port {port}: Address already in use; --port 0 finds a free port"):
            command.main()
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(Refusal, match="which the page needs; `make .venv/installed-draw` installs it"):
        command.main()


@pytest.mark.torture
def test_the_page_of_another_dataset_writes_into_the_project(fresh: Repository, tmp_path: Path):
    repository = fresh.copy(tmp_path / "repository")
    with serving(repository, "digits", "--page", command="review", patience=600) as server:
        about, view = (server.ask("GET", path).json for path in ("/about", "/view"))
        assert about["commands"] == ["dvc exp run -S fetch.dataset=digits", "dvc metrics show"]
        assert (about["classes"], about["doubtful"] >= 20) == (DIGITS, True)
        assert len(view["doubt"]["relatives"]) == 8
        body = {"dataset": "digits", "image": view["doubt"]["image"], "label": ""}
        assert server.ask("POST", "/decide", json.dumps(body).encode(), JSON).status == 200
        (row,) = read_corrections(repository.path / CORRECTIONS).values()
        assert (row.dataset, row.was, row.becomes) == ("digits", view["doubt"]["label"]["label"], "")
    changed = repository.run("git", "status", "--porcelain").split()
    assert changed == ["M", "data/corrections.csv"]
