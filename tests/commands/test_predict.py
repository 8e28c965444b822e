import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import predict
from digits.data.task import Task
from digits.foundation.command import run
from digits.foundation.parameters import Framing
from digits.network import archive, reproducibility
from digits.network.tensorflow import keras
from digits.pictures.framing import read_picture
from tests.conftest import DIGITS, ROOT
from tests.digits.pictures.test_pictures import drawn
from tests.digits.pictures.test_several import page


@pytest.fixture
def command(workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """A workspace with parameters, a tiny network and a seven; run there, the command gives (exit code, out, error)."""
    shutil.copy(ROOT / "params.yaml", workspace)
    monkeypatch.setattr(reproducibility, "compute_reproducibly", lambda *_: None)  # once a process, and tests share one
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    weights = np.zeros((784, 10), np.float32)
    model.set_weights([weights, np.array([0, 2.3, 0, 0, 0, 0, 0, 3, 0, 0], np.float32)])
    archive.save(archive.Classifier(model, DIGITS))
    drawn().save("seven.png")

    def typed(*arguments: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["predict", *arguments])
        capsys.readouterr()
        code: object = 0
        try:
            run(predict.main)
        except SystemExit as end:
            code = end.code
        return (code, *capsys.readouterr())

    return typed


def test_an_answer_in_doubt_names_the_runner_up(command):
    assert command("seven.png") == (0, "seven.png: 7 (52.8%), or 1 (26.2%)\n", "")


def test_a_sure_answer_names_no_other():
    assert predict.sentence(np.eye(10)[7] * 0.9 + 0.01, DIGITS.classes) == "7 (91.0%)"


def test_a_missing_model_is_said_plainly(command):
    Path("models/model.keras").unlink()
    said = "error: models/model.keras is missing; `dvc repro` trains it\n"
    assert command("seven.png") == (1, "", said)


def test_each_image_that_fails_is_told_and_the_others_answered(command):
    Path("text.png").write_text("hello")
    code, out, error = command("missing.png", "text.png", "seven.png")
    assert code == 1
    assert out.startswith("seven.png: 7 (")
    assert error.splitlines() == [
        "error: missing.png: is missing",
        "error: text.png: is no PNG, JPEG, GIF, WebP, BMP or TIFF image that can be read",
    ]


def read_slowly(content: bytes, *framed: object) -> np.ndarray:
    return time.sleep(60) if content == b"slow" else read_picture(content, *framed)


def test_a_picture_that_takes_too_long_is_named_and_the_others_answered(command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(predict, "SLOWEST", 0.5)
    monkeypatch.setattr(predict, "read_picture", read_slowly)
    Path("slow.png").write_bytes(b"slow")
    code, out, error = command("slow.png", "seven.png")
    assert (code, error) == (1, "error: slow.png: takes longer than 0.5 s to read\n")
    assert out.startswith("seven.png: 7 (")


def test_json_is_for_programs(command):
    code, out, _ = command("--json", "missing.png", "seven.png")
    missing, answered = json.loads(out)
    assert code == 1
    assert missing == {"path": "missing.png", "error": "is missing"}
    assert (answered["path"], answered["class"]) == ("seven.png", "7")
    assert answered["confidence"] == answered["probabilities"]["7"] == pytest.approx(0.528, abs=1e-3)
    assert sum(answered["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_folder_is_all_pictures_below_it_in_order(command):
    for name in ("mine/b.png", "mine/a.JPG", "mine/deep/er/c.webp"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        drawn().save(name)
    assert [line.split(":")[0] for line in command("mine")[1].splitlines()] == [
        "mine/a.JPG",
        "mine/b.png",
        "mine/deep/er/c.webp",
    ]
    Path("empty").mkdir()
    assert command("empty")[2].startswith("error: empty: holds no image, expected files that end in .bmp,")


def test_what_a_folder_holds_besides_is_named_with_why(command):
    Path("mine/.git").mkdir(parents=True)
    drawn().save("mine/seven.png")
    drawn().save("seven.png")
    Path("mine/linked.png").symlink_to(Path("seven.png").resolve())
    for name in ("._seven.png", "Thumbs.db", "notes.txt"):
        (Path("mine") / name).write_text("hello")
    (Path("mine") / "up").symlink_to("..")
    code, out, error = command("mine")
    assert (code, out.count("7 (")) == (0, 2)
    assert error.splitlines() == [
        "left out: mine/._seven.png: is hidden, or what a system leaves behind",
        "left out: mine/.git: is hidden, or what a system leaves behind",
        "left out: mine/Thumbs.db: is hidden, or what a system leaves behind",
        "left out: mine/notes.txt: is no image by its name, expected one that ends in "
        ".bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp",
        "left out: mine/up: is a link to a folder, expected a folder",
    ]
    for number in range(20):
        (Path("mine") / f"{number}.txt").touch()
    assert command("mine")[2].splitlines()[-1] == "left out: 15 more of mine"


@pytest.mark.parametrize("name", ["photo.HEIC", "photo.jpg"])
def test_of_a_heic_is_said_what_to_do(command, name: str):
    Path("mine").mkdir()
    drawn().save("mine/seven.png")
    (Path("mine") / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    code, out, error = command("mine")
    assert (code, out.count("7 (")) == (1, 1)
    assert error == f"error: mine/{name}: is HEIC or AVIF, which is not read here; save it as JPEG or PNG\n"


@pytest.fixture
def sorted_in() -> None:
    """Sevens in folders: two of 7, one of 1 and one of what is no class."""
    for name in ("mine/7/a.png", "mine/7/anna/b.png", "mine/train/1/c.png", "mine/cat/d.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        drawn().save(name)


def test_of_class_folders_is_said_how_many_are_right_and_which_are_not(command, sorted_in: None):
    code, out, error = command("mine")
    assert (code, error) == (0, "")
    assert out.splitlines() == [
        "mine/cat/d.png: 7 (52.8%), or 1 (26.2%)",
        "2 of 3 right by the folders they lie in: 66.67%, 95% Wilson interval 20.77% to 93.85%",
        "mine/train/1/c.png: is 1, read as 7 (52.8%), or 1 (26.2%)",
    ]
    assert command("mine/7")[1].startswith("2 of 2 right by the folders they lie in: 100.00%")


def test_json_has_what_the_folders_say(command, sorted_in: None):
    Path("mine/7/bad.png").write_text("hello")
    code, out, _ = command("--json", "mine")
    assert code == 1
    found = {Path(entry["path"]).name: (entry.get("is"), entry.get("class")) for entry in json.loads(out)}
    assert found == {
        "a.png": ("7", "7"), "bad.png": ("7", None), "b.png": ("7", "7"), "d.png": (None, "7"), "c.png": ("1", "7")
    }  # fmt: skip


def test_a_folder_that_may_not_be_entered_is_named(command, monkeypatch: pytest.MonkeyPatch):
    Path("mine/closed").mkdir(parents=True)
    list_of = Path.iterdir

    def closed(path: Path):
        """Access as another user than root has it, whom no mode of a folder stops."""
        if path.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return list_of(path)

    monkeypatch.setattr(Path, "iterdir", closed)
    assert command("mine") == (1, "", "error: mine/closed: cannot be read: Permission denied\n")


def test_several_digits_are_no_answer_unless_asked_for(command):
    page("365").save("row.png")
    code, out, error = command("row.png", "seven.png")
    assert (code, out) == (1, "seven.png: 7 (52.8%), or 1 (26.2%)\n")
    assert error == "error: row.png: shows 3 digits, expected one; --several reads them\n"
    page("12", "345").save("sheet.png")
    code, out, error = command("--several", "row.png", "sheet.png", "seven.png")
    assert (code, error) == (0, "")
    row, sheet, seven = out.splitlines()
    each = "; ".join(f"digit {place}: 7 (52.8%), or 1 (26.2%)" for place in (1, 2, 3))
    assert row == f"row.png: 777 (14.7%); {each}"
    assert sheet.startswith("sheet.png: 77 777 (4.1%); digit 1: ")
    assert seven == "seven.png: 7 (52.8%), or 1 (26.2%)"


def test_json_says_of_each_digit_where_it_is(command):
    page("365").save("row.png")
    (row,) = json.loads(command("--several", "--json", "row.png")[1])
    assert (row["path"], row["text"]) == ("row.png", "777")
    assert row["confidence"] == pytest.approx(0.528**3, abs=1e-3)
    assert [digit["class"] for digit in row["digits"]] == ["7", "7", "7"]
    assert {digit["line"] for digit in row["digits"]} == {0}
    lefts = [digit["box"][0] for digit in row["digits"]]
    assert lefts == sorted(lefts)
    assert all(0 <= left < right <= 1 and 0 <= top < bottom <= 1 for left, top, right, bottom in
               (digit["box"] for digit in row["digits"]))  # fmt: skip


def test_show_draws_where_each_of_several_digits_is(command):
    page("35").save("row.png")
    assert command("--several", "--show", "seen.png", "row.png", "seven.png")[0] == 0
    shown = np.asarray(Image.open("seen.png").convert("RGB")).astype(int)
    red = (shown[..., 0] > 180) & (shown[..., 1:].max(axis=-1) < 80)
    assert red.sum() > 300  # boxes, and what is in doubt


def test_several_is_for_digits(command):
    model = archive.load(archive.PATH).model
    archive.save(archive.Classifier(model, Task(list("abcdefghij"), "digit")))
    said = "error: --several reads digits; models/model.keras tells apart a, b, c and 7 more\n"
    assert command("--several", "seven.png") == (1, "", said)


def test_a_dash_is_standard_input(command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path("seven.png").read_bytes())))
    assert command("-")[1].startswith("-: 7 (")


def test_a_pipe_without_a_writer_is_refused_instead_of_waited_for(command):
    os.mkfifo("pipe.png")
    code, _, error = command("pipe.png", "seven.png")
    assert code == 1
    assert error == "error: pipe.png: is no file, expected - to read a pipe from standard input\n"


def test_any_name_can_be_printed_on_any_terminal(workspace: Path):
    ended = subprocess.run(
        [sys.executable, "-c", "import commands; print('\u00f6.png: 7')"],
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout == "\\xf6.png: 7\n"


def test_show_draws_a_picture_whatever_the_names(command):
    drawn().save("a$^{b$.png")
    assert command("--show", "seen/by.PNG", "seven.png", "a$^{b$.png", "seven.png")[0] == 0
    assert Image.open("seen/by.PNG").width == 1200


def test_a_plain_keras_model_answers_and_what_was_assumed_is_said(command):
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.set_weights([np.zeros((784, 10), np.float32), np.eye(10, dtype=np.float32)[4] * 9])
    model.save("theirs.keras")
    assert command("--model", "theirs.keras", "seven.png") == (
        0,
        "seven.png: 4 (99.9%)\n",
        "theirs.keras does not say what it tells apart: taken for the digits 0 to 9, "
        "white on black as MNIST's, black 0 and white 1\n",
    )
    assert command("--model", "models/model.keras", "seven.png")[2] == ""
    assert command("--model", "none.keras", "seven.png")[2] == "error: none.keras is missing\n"


@pytest.mark.parametrize(("framing", "seen"), [("digit", 0), ("whole", 255)])
def test_show_draws_digits_as_ink_and_photographs_as_light(workspace: Path, framing: Framing, seen: int):
    bright = np.ones((1, 28, 28, 1), np.float32)
    predict.draw(["bright.png"], bright, np.eye(2)[:1], Task(["a", "b"], framing), Path("seen.png"))
    drawn = np.asarray(Image.open("seen.png").convert("L"))
    assert (drawn[60:, :100] == seen).mean() > 0.5


def test_wrong_arguments_end_before_tensorflow_is_imported(command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "digits.network", None)
    assert command()[0] == 2
    code, _, error = command("seven.png", "--show", "seen.jpg")
    assert code == 2
    assert "argument --show: seen.jpg, expected a name that ends in .png" in error
    code, out, _ = command("--help")
    assert code == 0
    assert "IMAGE" in out
