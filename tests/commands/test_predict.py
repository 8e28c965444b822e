import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import predict
from digits.foundation.command import run
from digits.network import archive, reproducibility
from digits.network.tensorflow import keras
from tests.conftest import DIGITS, ROOT
from tests.digits.pictures.test_pictures import drawn


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
        "error: text.png: is no PNG, JPEG, GIF, WebP, BMP or TIFF image",
    ]


def test_json_is_for_programs(command):
    code, out, _ = command("--json", "missing.png", "seven.png")
    missing, answered = json.loads(out)
    assert code == 1
    assert missing == {"path": "missing.png", "error": "is missing"}
    assert (answered["path"], answered["class"]) == ("seven.png", "7")
    assert answered["confidence"] == answered["probabilities"]["7"] == pytest.approx(0.528, abs=1e-3)
    assert sum(answered["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_a_folder_is_its_images_in_order(command):
    Path("mine").mkdir()
    for name in ("b.png", "a.JPG", "c.webp"):
        drawn().save(Path("mine") / name)
    Path("mine/notes.txt").write_text("hello")
    assert [line.split(":")[0] for line in command("mine")[1].splitlines()] == [
        "mine/a.JPG",
        "mine/b.png",
        "mine/c.webp",
    ]
    Path("empty").mkdir()
    assert command("empty")[2].startswith("error: empty: holds no image, expected files that end in .bmp,")


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


def test_wrong_arguments_end_before_tensorflow_is_imported(command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "digits.network", None)
    assert command()[0] == 2
    code, _, error = command("seven.png", "--show", "seen.jpg")
    assert code == 2
    assert "argument --show: seen.jpg, expected a name that ends in .png" in error
    code, out, _ = command("--help")
    assert code == 0
    assert "IMAGE" in out
