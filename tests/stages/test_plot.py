from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from digits.data.task import Task
from digits.foundation.parameters import Framing
from digits.foundation.tables import write_table
from stages import plot
from tests.conftest import DIGITS
from tests.digits.results.test_drawing import first_pixel, said

IMAGES = np.random.default_rng(0).random((30, 28, 28, 1), np.float32)
HISTORY = pd.DataFrame({"epoch": [1], "accuracy": [0.9], "loss": [0.3], "val_accuracy": [0.8], "val_loss": [0.4]})
SURE = pd.DataFrame({"actual": ["7", "2", "1"], "predicted": ["7", "2", "7"], "confidence": [1.0, 0.9, 0.5]})


def test_samples_are_two_of_each_digit():
    labels = np.repeat(np.arange(10, dtype=np.uint8), 3)
    assert said(plot.draw_samples(IMAGES, labels, DIGITS)) == [
        *map(str, [*range(10), *range(10)]),
        "Training images",
    ]


@pytest.mark.parametrize(("framing", "seen"), [("digit", 0.1), ("whole", 0.9)])
def test_digits_are_drawn_as_ink_and_photographs_as_light(framing: Framing, seen: float):
    bright, task = np.full((3, 28, 28, 1), 0.9, np.float32), Task(DIGITS.classes, framing)
    for drawn in (
        plot.draw_samples(bright, SURE["actual"].to_numpy(np.uint8), task),
        plot.draw_predictions(bright, task.ink, SURE, "Recognized"),
    ):
        assert first_pixel(drawn) == pytest.approx(seen, abs=0.01)


def test_a_digit_that_is_rare_or_absent_is_drawn_as_often_as_it_is_there():
    assert said(plot.draw_samples(IMAGES[:3], np.array([4, 4, 7], np.uint8), DIGITS)) == [
        "4",
        "7",
        "4",
        "Training images",
    ]


def test_predictions_are_captioned_with_confidence_and_truth():
    texts = said(plot.draw_predictions(IMAGES, True, SURE[2:], "Misread"))
    assert texts == ["7 (50.0%)\nis 1", "Misread"]


def test_what_is_misread_has_the_name_of_its_file_where_it_is_ones_own():
    named = SURE.assign(file=["", "2/b.png", "1/a-long-way/IMG_0001.png"], more=0)
    texts = said(plot.draw_predictions(IMAGES, False, named, "Some"))[:-1]
    assert texts == ["7 (100.0%)", "2 (90.0%)", "7 (50.0%)\nis 1\n\u2026y/IMG_0001"]


def test_what_is_right_is_not_told_twice():
    assert said(plot.draw_predictions(IMAGES, True, SURE[:2], "Recognized"))[:-1] == ["7 (100.0%)", "2 (90.0%)"]


def test_no_mistakes_draw_a_title_and_no_empty_space():
    drawn = plot.draw_predictions(IMAGES, True, SURE[:0], "Misread: none")
    assert drawn.get_size_inches()[1] < 1
    assert said(drawn) == ["Misread: none"]


@pytest.mark.parametrize(
    ("images", "title"),
    [
        (0, "Misread: none of the test images"),
        (1, "Misread: one of the test images"),
        (30, "Misread: all 30"),
        (1031, "Misread: the most confident of 1,031"),
    ],
)
def test_a_title_says_how_many_of_how_many(images: int, title: str):
    assert plot.told("Misread", "the most confident", images, 30) == title


def test_curves_leave_out_a_validation_that_was_not():
    assert "validation" in said(plot.draw_curves(HISTORY))
    assert "validation" not in said(plot.draw_curves(HISTORY.assign(val_accuracy=np.nan, val_loss=np.nan)))


def test_curves_mark_the_epoch_that_was_kept_where_that_was_the_best_one():
    assert "kept" in said(plot.draw_curves(HISTORY.assign(best_epoch=[1])))
    assert "kept" not in said(plot.draw_curves(HISTORY))


@pytest.mark.parametrize("more", [[], ["best_epoch"]], ids=str)
def test_the_history_is_read_with_the_best_epoch_and_without(workspace: Path, more: list[str]):
    columns = [*plot.HISTORY_COLUMNS, *more]
    write_table(plot.HISTORY, pd.DataFrame([[1.0] * len(columns)], columns=columns))
    assert list(plot.read_history().columns) == columns


def test_the_confusion_has_every_count():
    names = {str(digit): f"the {digit}" for digit in range(10)}
    texts = said(plot.draw_confusion(SURE.replace(names), list(names.values())))
    assert texts.count("1") == 3
    assert texts.count("0") == 97


def test_the_calibration_names_its_error():
    assert any("Calibration: expected error" in text for text in said(plot.draw_calibration(SURE)))


def test_every_bar_of_the_calibration_is_whole_and_beside_the_others():
    figure = plot.draw_calibration(pd.DataFrame({"actual": "7", "predicted": "7", "confidence": [0.93, 0.94, 1.0]}))
    bars = [bar.get_bbox() for bar in figure.axes[1].patches]
    plt.close(figure)
    assert [bar.y1 for bar in bars] == [1, 2]
    assert bars[0].x1 < bars[1].x0
    assert bars[1].x1 <= 1


def test_the_same_figure_is_saved_as_the_same_bytes(workspace: Path):
    for name in ("one", "two"):
        plot.save(plot.draw_confusion(SURE, DIGITS.classes), name, dpi=80)
    one, two = ((plot.IMAGES / f"{name}.png").read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"matplotlib" not in one.lower()


def test_what_a_label_was_stands_beside_what_it_is():
    some = SURE[2:].assign(was=["5"])
    assert said(plot.draw_predictions(IMAGES, True, some, "Misread"))[0].endswith(f"is {some['actual'].iloc[0]}\nwas 5")
    right = SURE[:1].assign(was=["1"])
    assert said(plot.draw_predictions(IMAGES, True, right, "Recognized"))[0] == "7 (100.0%)\nwas 1"
