"""Several digits on a picture, and one that only looks like several."""

import functools

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.pictures import encoded, to_image
from digits.data.task import Task
from digits.pictures import framing
from digits.pictures.framing import Reading
from digits.pictures.ink import NoDigit
from tests.commands.strokes import DIGITS, Point
from tests.conftest import DIGITS as TASK
from tests.digits.pictures.test_pictures import blank, difference, drawn, ink

SHAPE = (28, 28, 1)
TALL = 70  # pixels


def page(*lines: str, apart: float = 0.9) -> Image.Image:
    """Lines of digits, each as wide as `apart` of its height with what is free beside it; a point is a point."""
    wide = round(apart * TALL)
    image = Image.new("L", (60 + wide * max(map(len, lines)), 60 + 2 * TALL * len(lines)), 245)
    for row, line in enumerate(lines):
        for column, name in enumerate(line):
            corner = (30 + wide * column, 30 + 2 * TALL * row)
            strokes(image, DIGITS[name] if name != "." else [[(0.45, 0.98), (0.55, 0.98)]], corner)
    return image


def strokes(image: Image.Image, lines: list[list[Point]], corner: tuple[int, int], tall: int = TALL) -> None:
    for line in lines:
        points = [(corner[0] + 0.8 * tall * x, corner[1] + tall * y) for x, y in line]
        ImageDraw.Draw(image).line(points, fill=20, width=5, joint="curve")


def readings(image: Image.Image, task: Task = TASK) -> list[Reading]:
    return framing.read_picture(encoded(image), task, SHAPE)


@functools.cache
def alone(name: str) -> np.ndarray:
    """A digit as it is framed where it is the only one."""
    return readings(page(name))[0].image[..., 0]


def likest(reading: Reading) -> str:
    """The digit that a reading differs least from."""
    return min(DIGITS, key=lambda name: difference(alone(name), reading.image[..., 0]))


def test_a_row_is_read_from_left_to_right_and_where_each_digit_is():
    image = page("36498072")
    found = readings(image)
    assert len(found) == 8
    for name, reading, column in zip("36498072", found, range(8), strict=True):
        assert likest(reading) == name
        left, top, right, bottom = np.array(reading.box) * (2 * image.size)
        assert 30 + 63 * column - 5 < left < right < 30 + 63 * (column + 1) + 5
        assert (top, bottom) == pytest.approx((30, 30 + TALL), abs=5)


def test_a_sheet_is_read_line_by_line():
    found = readings(page("3064", "2817", "9352"))
    assert [reading.line for reading in found] == [0] * 4 + [1] * 4 + [2] * 4
    for name, reading in zip("306428179352", found, strict=True):
        assert likest(reading) == name


def test_a_row_may_slope_and_lie_in_slanted_light():
    turned = page("20481").rotate(12, Image.Resampling.BICUBIC, expand=True, fillcolor=245)
    light = np.linspace(1, 0.5, turned.width)
    assert len(framing.read_picture(encoded(to_image(np.asarray(turned) / 255 * light), "JPEG"), TASK, SHAPE)) == 5


def test_points_between_digits_are_no_digits():
    assert len(readings(page("12.50"))) == 4


def test_a_row_may_be_cut_out_so_closely_that_some_of_its_digits_touch_the_rim():
    image = page("5820")
    ImageDraw.Draw(image).line([(30 + 63 + 28, 0), (30 + 63 + 28, 40)], fill=20, width=5)  # up from the eight
    assert len(readings(image)) == 4
    alone = page("8")
    ImageDraw.Draw(alone).line([(5, 0), (5, 50)], fill=20, width=5)  # what is beside a single digit stays away
    assert len(readings(alone)) == 1


def test_gaps_as_chalk_leaves_them_are_within_a_stroke():
    image = Image.new("L", (260, 280), 245)
    strokes(image, [DIGITS["0"][0]], (50, 40), 200)
    image.paste(245, (126, 0, 130, 280))
    assert len(readings(image)) == 1


@pytest.mark.parametrize(
    "lines",
    [
        [[(0.2, 0.03), (0.8, 0.03)], [(0.24, 0.2), *DIGITS["5"][0][2:]]],
        [[(0.2, 0), (0.1, 0.6), (0.9, 0.6)], [(0.68, 0.2), (0.68, 0.52)], [(0.68, 0.68), (0.68, 1)]],
        [DIGITS["8"][0][:25], [(x, y + 0.15) for x, y in DIGITS["8"][0][25:]]],
        [[(0.1 + 0.1 * step, 0.05), (0.13 + 0.1 * step, 0.05)] for step in range(8)]
        + [[(0.85 - 0.06 * step, 0.1 * step), (0.84 - 0.06 * step, 0.02 + 0.1 * step)] for step in range(1, 10)],
    ],
    ids=["five and its bar", "four in three strokes", "broken eight", "dotted seven"],
)
def test_a_digit_of_several_strokes_stays_one(lines: list[list[Point]]):
    image = Image.new("L", (260, 280), 245)
    strokes(image, lines, (50, 40), 200)
    assert len(readings(image)) == 1


@pytest.mark.parametrize("digit", range(10))
def test_one_digit_is_read_as_it_is_kept_as_data(digit: int):
    content = encoded(to_image(1 - ink(digit, 200, 0.08, smooth=True)))
    (reading,) = framing.read_picture(content, TASK, SHAPE)
    np.testing.assert_array_equal(reading.image[..., 0], framing.prepare(content))


@pytest.mark.parametrize("kind", ["lined", "squared", "salt", "crumbs", "noise"])
def test_an_empty_page_shows_no_row_either(kind: str):
    with pytest.raises(NoDigit, match="shows no digit"):
        framing.read_picture(encoded(to_image(blank(kind))), TASK, SHAPE)


def test_where_classes_are_no_digits_what_is_drawn_counts_as_one():
    (reading,) = readings(page("11"), Task(["H", "K"], "digit"))
    assert len(reading.views) == 1


def test_a_digit_is_shown_in_three_views_and_what_is_in_mnists_form_as_it_is():
    (reading,) = readings(drawn())
    as_framed, narrow, soft = reading.views[..., 0]
    np.testing.assert_array_equal(as_framed, reading.image[..., 0])
    width = [np.ptp(np.nonzero(view > 0.3)[1]) for view in (as_framed, narrow)]
    assert width[1] == pytest.approx(framing.NARROW * width[0], abs=1)
    assert np.abs(np.diff(soft)).max() < np.abs(np.diff(as_framed)).max()
    (in_form,) = readings(to_image(reading.image[..., 0]))
    assert in_form.views.shape == (1, *SHAPE)
