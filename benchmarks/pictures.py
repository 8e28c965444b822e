"""How well pictures of digits are read, and which are refused: drawings of many kinds, and pictures without a digit.

Usage: python -m benchmarks.pictures

Needs a network trained on real MNIST (`dvc repro`). Digits are drawn as lines: the skeletons of MNIST's test digits,
and the strokes of HANDWRITTEN below. Writes a row a kind to benchmarks/results/pictures.csv.
"""

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline

from benchmarks.processes import ROOT
from digits.foundation.command import Refusal
from digits.foundation.parameters import PATH as PARAMETERS
from digits.foundation.parameters import read_parameters
from digits.foundation.tables import write_table
from digits.network import archive, inference, reproducibility
from digits.pictures.framing import SIDE, read_picture

# Strokes of digits as they are taught and written here and there, none of them from MNIST: points of x,y in a box of
# 10 x 15, a smooth curve through the points of each stroke, | between strokes; a corner is where two strokes meet.
HANDWRITTEN: dict[int, list[str]] = {
    0: [
        "5,0 1.5,3 1,8 2.5,13 5,15 8,13 9,8 8.5,3 5,0",
        "6,0.5 3,1 1,6 1.5,11 4.5,15 8,13 9,7 8,2 5.5,0",
        "5,2.5 1,4.5 0,8.5 2,12.5 5.5,13.5 9,11 9.5,7 8,3.5 5,2.5",
        "7,1 4,0 1.5,4 1.5,11 4.5,15 8,11.5 8.5,4 6,0 3.5,1",
    ],
    1: ["5,0 5,15", "7,0 3,15", "2,4 6,0|6,0 6,15", "2.5,3.5 5,0|5,0 5,15|2,15 8,15"],
    2: [
        "1,4 2,1 5,0 8,1.5 9,4 7,8 4,11.5 1,15|1,15 10,15",
        "1,4 3,0.5 7,0.5 8.5,4 6,9 2.5,13.5 1,14 1.2,12.5 3,12.5 6,14.5 9.5,14",
        "1,2 4,0 8,1 8.5,4 5,9.5 1,15|1,15 9,15",
        "0.5,3.5 4,0 9,3 7.5,8 0.5,14.5|0.5,14.5 4,13.7 9.5,14.5",
    ],
    3: [
        "1,2 4,0 8,1.5 8,5 4,7|4,7 8.5,8.5 9,12 6,15 1,13",
        "1,0 9,0|9,0 4,6|4,6 8,7.5 9,11 6.5,14.5 1,14",
        "1.5,1.5 5,0 8,2.5 6.5,6 4.5,7 4.2,7.4 5,7.6 8.5,10 7.5,14 4,15 1,13",
        "2,1 6,0 8,3 6,6.5 3.5,7|3.5,7 8,8 9,11.5 5,15 2,14.5",
    ],
    4: [
        "2,0 1,9|1,9 9,9|8,3 8,15",
        "7,0 0.5,10|0.5,10 10,10|7,0 7,15",
        "1.5,0 1.2,5 3,7.5 6,7.5 9,5.5|9,0 8.5,15",
        "4,0 1,9.5|1,9.5 9.5,9|6.5,5 6,15",
    ],
    5: [
        "9,0 2,0|2,0 1.5,6|1.5,6 5,5 9,8 8.5,13 4,15 1,13.5",
        "9,0 4,0.5 2,3 3,6 7,8 9,11 7,14.5 1,14.5",
        "2,0.5 1.5,6.5|1.5,6.5 6,6 9,9.5 7,14 1,14.5|2,0.5 9,0",
        "8.5,1 2.5,1|2.5,1 2,7|2,7 7,6.5 8.5,10.5 6,14.5 1.5,14",
    ],
    6: [
        "8,0 3,5 1,10 3,14.5 7,14.5 9,11 7,8 3,9 1.2,11.5",
        "6,0 2,7 1,11 4,15 8,13.5 8.5,10 5,8 1.5,10.5",
        "8,1 4,1.5 1.5,6 1.5,12 5,15 8.5,12 7,8.5 4,8.5 1.7,11",
        "4,0 2,6 1.5,11.5 4,15 8,13 7.5,9.5 4.5,9 1.7,12",
    ],
    7: [
        "1,0 9,0|9,0 4,15",
        "1,0 9,0|9,0 4,15|3,7.5 9,7.5",
        "1,3 1,0.5|1,0.5 9,0.5|9,0.5 7,5 4.5,10 4,15",
        "0.5,1.5 3,0.5 6,1 9,0|9,0 6.5,5 4.5,10 4,15|3.5,8 8,7",
    ],
    8: [
        "8,2 5,0 2,2 3,5.5 7,8.5 9,12 5,15 1,12 3,8.5 7,5.5 8,2",
        "5,0 2,3.5 5,7 8,3.5 5,0|5,7 1,11 5,15 9,11 5,7",
        "7.5,1.5 4,0 2,3 4.5,6.5 8,10 7,14 4,15 1.5,12 4,8 7.5,4 8,1",
        "5.5,0 2.5,2.5 4,6 7.5,9.5 7.5,13.5 4,15 1.5,11.5 5,7 8.5,3 5.5,0",
    ],
    9: [
        "8.5,3 5,0 1.5,4 4,7.5 8.5,4|8.5,2 8.5,15",
        "8.5,4 5,0 1.5,3.5 4,7.5 8.5,4 8.5,10 6,15 2,14",
        "8,4 5,0.5 2,3 3,7 6.5,7 8,3|8,3 7,9 5.5,15",
        "8,1.5 4,0 1.5,4 4.5,7.5 8,3.5|8,1.5 8.5,8 7,15",
    ],
}


def thinned(mask: np.ndarray) -> np.ndarray:
    """The skeleton of a mask, one pixel wide (Zhang and Suen, "A fast parallel algorithm for thinning", 1984)."""
    mask = np.pad(mask, 1)
    while True:
        before = mask.sum()
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            around = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
            near = np.stack([np.roll(mask, (-down, -across), (0, 1)) for down, across in around])
            count = near.sum(axis=0)
            rises = (~near & np.roll(near, -1, axis=0)).sum(axis=0)
            loose = ~near[list(first)].all(axis=0) & ~near[list(second)].all(axis=0)
            mask = mask & ~((count >= 2) & (count <= 6) & (rises == 1) & loose)
        if mask.sum() == before:
            return mask[1:-1, 1:-1]


def skeleton(image: np.ndarray) -> np.ndarray:
    """An MNIST image of (28, 28) as the segments, (n, 2, 2) of x and y, that a pencil would draw it with."""
    large = np.asarray(Image.fromarray(image).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BICUBIC))
    points = np.argwhere(thinned(large > 0.4))
    near = np.abs(points[:, None] - points).max(axis=-1) <= 1
    smooth = points.astype(float)
    inner = near.sum(axis=1) > 2  # ends stay
    for _ in range(6):
        smooth[inner] = (near @ smooth / near.sum(axis=1)[:, None])[inner]
    pairs = np.argwhere(np.triu(near))  # a lone point is joined to itself
    return in_unit_box(smooth[pairs][..., ::-1])


def handwritten(strokes: str, generator: np.random.Generator) -> np.ndarray:
    """Segments as `skeleton`'s of one of HANDWRITTEN, drawn by another hand each time."""
    lean, turn = np.tan(np.radians(generator.uniform(-5, 20))), np.radians(generator.uniform(-8, 8))
    shape = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = shape @ np.array([[1, -lean], [0, 1]]) @ np.diag([generator.uniform(0.7, 1.2), 1])
    moved: dict[str, np.ndarray] = {}
    segments = []
    for stroke in strokes.split("|"):
        corners = []
        for corner in stroke.split():
            if corner not in moved:
                moved[corner] = np.array(corner.split(","), float) + generator.normal(0, 0.25, 2)
            corners.append(moved[corner])
        points = np.array(corners) @ shape.T
        along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        curve = CubicSpline(along, points)(np.linspace(0, along[-1], 40))
        segments.append(np.stack([curve[:-1], curve[1:]], axis=1))
    return in_unit_box(np.concatenate(segments))


def in_unit_box(segments: np.ndarray) -> np.ndarray:
    """Scaled so that the longer side of what they span is 1, its corner at 0, 0."""
    corner = segments.min(axis=(0, 1))
    return (segments - corner) / max((segments.max(axis=(0, 1)) - corner).max(), 1e-6)


def to_image(grey: np.ndarray) -> Image.Image:
    """Brightness in [0, 1] as an image of 8 bits."""
    return Image.fromarray(np.round(grey.clip(0, 1) * 255).astype(np.uint8))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


class Hand:
    """Chance, as it draws: each image has its own."""

    def __init__(self, *seed: int) -> None:
        self.chance = np.random.default_rng(seed)

    def between(self, low: float, high: float) -> float:
        """A number between two others."""
        return float(self.chance.uniform(low, high))

    def side(self, low: float, high: float) -> float:
        """A length between two others, each doubling as likely."""
        return float(np.exp(self.chance.uniform(np.log(low), np.log(high))))

    def one_of(self, *choices: Any) -> Any:
        """One of some, each as likely."""
        return choices[int(self.chance.integers(len(choices)))]

    def noise(self, shape: tuple[int, ...], most: float) -> np.ndarray:
        """A sensor's, of a standard deviation up to `most`."""
        return self.chance.normal(0, self.between(0, most), shape)


@dataclass
class Canvas:
    """What a digit is drawn on and with: sides in pixels, the pen's width in pixels or, below 1, as a share of it."""

    side: float
    pen: float = 1
    smooth: bool = True  # else a pixel has ink or none
    size: tuple[float, float] = (0.5, 0.9)  # of the digit, as a share of the shorter side
    aspect: float = 1  # width by height

    def draw(self, segments: np.ndarray, hand: Hand) -> np.ndarray:
        """How much ink lies on each pixel, in [0, 1]: the digit anywhere on the canvas."""
        height, width = round(self.side), max(round(self.side * self.aspect), 1)
        times = 1 if not self.smooth else 4 if max(height, width) < 400 else 2
        length = hand.between(*self.size) * min(height, width)
        pen = self.pen if self.pen >= 1 else max(self.pen * length, 1)
        free = np.maximum(np.array([width, height]) - segments.max(axis=(0, 1)) * length - pen, 0)
        points = (segments * length + pen / 2 + free * hand.chance.uniform(0, 1, 2)) * times
        page = Image.new("L", (width * times, height * times))
        thick = max(round(pen * times), 1)
        for start, end in points:
            ImageDraw.Draw(page).line([*start, *end], fill=255, width=thick)
            for x, y in (start, end) if thick > 2 else ():
                half = thick / 2
                ImageDraw.Draw(page).ellipse([x - half, y - half, x + half - 1, y + half - 1], fill=255)
        return np.asarray(page.resize((width, height), Image.Resampling.BOX), float) / 255


def any_canvas(hand: Hand) -> Canvas:
    """A paint program's: from an icon's size up, a pencil or a brush, its edge smooth or not."""
    return Canvas(hand.side(28, 500), hand.one_of(1, 2, 0.03, 0.08), hand.one_of(True, False))


def across(shape: tuple[int, ...], hand: Hand, width: float) -> np.ndarray:
    """From 0 to 1 over a line across the picture, in about so many of its halves."""
    y, x = grid(shape)
    angle = hand.between(0, 2 * np.pi)
    return 1 / (1 + np.exp(-4 / width * (x * np.cos(angle) + y * np.sin(angle) + hand.between(-0.6, 0.6))))


def grid(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Of each pixel y and x, from -1 to 1."""
    return np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")


def lit(ink: np.ndarray, hand: Hand, falls: float) -> np.ndarray:
    """The brightness of a page with a pen's ink, in light that falls by such a share from one side to the other."""
    y, x = grid(ink.shape)
    angle = hand.between(0, 2 * np.pi)
    light = 1 - falls * (1 + (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)) / 2
    grey = hand.between(0.7, 0.95) * light * (1 - ink * hand.between(0.6, 0.9))
    return grey + hand.noise(grey.shape, 0.02)


def photographed(grey: np.ndarray, hand: Hand) -> bytes:
    return encoded(to_image(grey), "JPEG", quality=int(hand.between(20, 96)))


def trimmed(ink: np.ndarray) -> np.ndarray:
    """Cut so that the digit touches all four sides."""
    rows, columns = (np.flatnonzero(ink.max(axis=axis) > 0.5) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def in_colors(ink: np.ndarray, pen: np.ndarray, paper: np.ndarray) -> Image.Image:
    shares = ink[..., None]
    return Image.fromarray(np.round(paper * (1 - shares) + pen * shares).astype(np.uint8))


def any_colors(hand: Hand) -> tuple[np.ndarray, np.ndarray]:
    """A pen's and a paper's, a quarter of black to white apart in brightness."""
    while True:
        pen, paper = hand.chance.integers(0, 256, (2, 3)).astype(float)
        if abs((pen - paper) @ [0.299, 0.587, 0.114]) > 60:
            return pen, paper


# Kinds of drawings: from a digit's segments to a file.


def pencil(segments: np.ndarray, hand: Hand, low: float = 20, high: float = 300, smooth: bool = False) -> bytes:
    return encoded(to_image(1 - Canvas(hand.side(low, high), 1, smooth, (0.55, 0.95)).draw(segments, hand)))


def brush(segments: np.ndarray, hand: Hand) -> bytes:
    canvas = Canvas(hand.side(28, 600), hand.between(0.04, 0.12), size=(0.4, 0.9))
    return encoded(to_image(1 - canvas.draw(segments, hand)))


def marker(segments: np.ndarray, hand: Hand) -> bytes:
    canvas = Canvas(hand.side(28, 600), hand.between(0.12, 0.2), size=(0.4, 0.75))
    return encoded(to_image(1 - canvas.draw(segments, hand)))


def touching_rim(segments: np.ndarray, hand: Hand) -> bytes:
    ink = np.rot90(
        Canvas(hand.side(28, 400), hand.between(0.03, 0.12), size=(0.5, 0.8)).draw(segments, hand),
        turn := hand.one_of(0, 1, 2, 3),
    )
    return encoded(to_image(1 - np.rot90(ink[np.flatnonzero(ink.max(axis=1) > 0)[0] + 1 :], -turn)))


def filling(segments: np.ndarray, hand: Hand) -> bytes:
    smooth = hand.one_of(True, False)
    pen = hand.between(0.03, 0.15) if smooth else hand.one_of(1, 2, 3)
    return encoded(to_image(1 - trimmed(Canvas(hand.side(28, 400), pen, smooth).draw(segments, hand))))


def inverted(segments: np.ndarray, hand: Hand) -> bytes:
    return encoded(to_image(any_canvas(hand).draw(segments, hand)))


def transparent(segments: np.ndarray, hand: Hand) -> bytes:
    ink = any_canvas(hand).draw(segments, hand)
    image = Image.new("RGBA", ink.shape[::-1], tuple(hand.chance.integers(0, 256, 3).tolist()))
    image.putalpha(to_image(ink))
    return encoded(image, hand.one_of("PNG", "WEBP"), lossless=True)


def palette(segments: np.ndarray, hand: Hand) -> bytes:
    image = in_colors(any_canvas(hand).draw(segments, hand), *any_colors(hand))
    return encoded(image.quantize(hand.one_of(2, 4, 16, 256)), hand.one_of("PNG", "GIF", "BMP"))


def one_bit(segments: np.ndarray, hand: Hand) -> bytes:
    ink = Canvas(hand.side(28, 400), hand.one_of(1, 2, 0.03, 0.08), smooth=False).draw(segments, hand)
    image = to_image(hand.one_of(ink, 1 - ink)).convert("1")
    return encoded(image, hand.one_of("PNG", "GIF", "BMP", "TIFF"))


def colored(segments: np.ndarray, hand: Hand) -> bytes:
    image = in_colors(any_canvas(hand).draw(segments, hand), *any_colors(hand))
    return encoded(image, hand.one_of("PNG", "BMP", "GIF", "WEBP"))


def equally_bright(segments: np.ndarray, hand: Hand) -> bytes:
    pairs = [[(220, 30, 30), (30, 110, 200)], [(0, 150, 60), (230, 60, 60)], [(60, 60, 255), (180, 20, 20)],
             [(255, 230, 0), (255, 255, 255)], [(240, 120, 200), (120, 200, 120)]]  # fmt: skip
    return encoded(in_colors(any_canvas(hand).draw(segments, hand), *np.array(hand.one_of(*pairs), float)))


def slanted_light(segments: np.ndarray, hand: Hand) -> bytes:
    canvas = Canvas(hand.side(60, 600), hand.between(0.03, 0.1), size=(0.3, 0.8))
    return photographed(lit(canvas.draw(segments, hand), hand, hand.between(0.3, 0.65)), hand)


def shadowed(segments: np.ndarray, hand: Hand) -> bytes:
    grey = lit(Canvas(hand.side(60, 600), hand.between(0.03, 0.1), size=(0.3, 0.8)).draw(segments, hand), hand, 0.2)
    shadow = across(grey.shape, hand, hand.between(0.1, 0.4))
    return photographed(grey * (1 - hand.between(0.1, 0.4) * shadow), hand)


def photograph(segments: np.ndarray, hand: Hand) -> bytes:
    canvas = Canvas(hand.side(60, 900), hand.between(0.03, 0.12), size=(0.3, 0.8), aspect=hand.one_of(0.75, 1.33))
    return photographed(lit(canvas.draw(segments, hand), hand, 0.3), hand)


def wide_or_tall(segments: np.ndarray, hand: Hand) -> bytes:
    canvas = Canvas(hand.side(60, 300), hand.one_of(2, 0.04, 0.1), hand.one_of(True, False), aspect=hand.side(0.25, 4))
    return encoded(to_image(1 - canvas.draw(segments, hand)))


def poor_jpeg(segments: np.ndarray, hand: Hand) -> bytes:
    ink = Canvas(hand.side(40, 500), hand.one_of(2, 0.04, 0.1), hand.one_of(True, False)).draw(segments, hand)
    return encoded(to_image(1 - ink), "JPEG", quality=int(hand.between(5, 30)))


def dotted(segments: np.ndarray, hand: Hand) -> bytes:
    """Dots to dashes, up to two pens' widths apart."""
    pen = hand.between(0.03, 0.07)
    points = (segments[:, :1] + np.diff(segments, axis=1) * ((np.arange(16) + 0.5) / 16)[:, None]).reshape(-1, 2)
    along = np.repeat(np.hypot(*np.diff(segments, axis=1)[:, 0].T) / 16, 16).cumsum()
    dots = points[along % (pen * hand.between(1.6, 2.6)) < pen * hand.between(0.1, 0.8)]
    return encoded(to_image(1 - Canvas(hand.side(60, 500), pen).draw(np.stack([dots, dots], axis=1), hand)))


def hatched(segments: np.ndarray, hand: Hand) -> bytes:
    ink = Canvas(hand.side(60, 500), hand.between(0.06, 0.14)).draw(segments, hand)
    return encoded(to_image(1 - ink * (np.indices(ink.shape).sum(axis=0) % hand.one_of(3, 4, 5) < 2)))


def small_on_large(segments: np.ndarray, hand: Hand) -> bytes:
    canvas = Canvas(hand.side(300, 1200), hand.between(0.05, 0.12), True, (0.06, 0.2), hand.between(0.6, 1.6))
    return encoded(to_image(1 - canvas.draw(segments, hand)), hand.one_of("PNG", "JPEG"))


def framed(segments: np.ndarray, hand: Hand) -> bytes:
    """Within a frame of a few pixels, as screenshots have, and at times some page around that."""
    canvas = Canvas(hand.side(40, 500), hand.one_of(2, 0.04, 0.1), hand.one_of(True, False), (0.4, 0.7))
    ink = np.pad(np.pad(canvas.draw(segments, hand), 4), hand.one_of(1, 2, 3), constant_values=hand.between(0.2, 1))
    return encoded(to_image(1 - np.pad(ink, hand.one_of(0, 0, 3, 10))))


def nib(segments: np.ndarray, hand: Hand) -> bytes:
    """A broad nib, held at an angle: thick one way, thin the other."""
    ink = Canvas(hand.side(80, 500), 0.02).draw(segments, hand)
    angle, half = hand.between(0, np.pi), max(ink.shape) * hand.between(0.01, 0.03)
    moved = [
        ndimage.shift(ink, (np.sin(angle) * by, np.cos(angle) * by), order=1) for by in np.linspace(-half, half, 9)
    ]
    return encoded(to_image(1 - np.max(moved, axis=0)))


def chalk(segments: np.ndarray, hand: Hand) -> bytes:
    """Light on a dark board, with grain in the stroke and dust beside it."""
    ink = Canvas(hand.side(100, 600), hand.between(0.05, 0.1)).draw(segments, hand)
    grain = ndimage.gaussian_filter(hand.chance.normal(0, 1, ink.shape), 1)
    stroke = ink * (grain > -0.15) * hand.between(0.5, 0.8)
    return photographed(0.2 + stroke + 0.05 * np.abs(grain), hand)


def enlarged(segments: np.ndarray, hand: Hand) -> bytes:
    """A small drawing of hard pixels, shown many times as large."""
    ink = Canvas(hand.between(16, 40), 1, False).draw(segments, hand)
    times = hand.one_of(3, 8, 15)
    return encoded(to_image(1 - np.kron(ink, np.ones((times, times)))))


def on_squared_paper(segments: np.ndarray, hand: Hand) -> bytes:
    """A dark pen on a page whose squares are lighter."""
    ink = Canvas(hand.side(100, 500), hand.between(0.05, 0.1), size=(0.3, 0.6)).draw(segments, hand)
    return photographed(lit(np.maximum(ink, ruled(ink.shape, hand, True) * hand.between(0.05, 0.2)), hand, 0.1), hand)


def out_of_focus(segments: np.ndarray, hand: Hand) -> bytes:
    ink = Canvas(hand.side(100, 600), hand.between(0.05, 0.1), size=(0.4, 0.8)).draw(segments, hand)
    return photographed(lit(ndimage.gaussian_filter(ink, max(ink.shape) * hand.between(0.005, 0.02)), hand, 0.2), hand)


def note_on_table(segments: np.ndarray, hand: Hand) -> bytes:
    """A sheet on a darker table that shows on some sides of it."""
    grey = lit(Canvas(hand.side(100, 500), hand.between(0.04, 0.1), size=(0.4, 0.8)).draw(segments, hand), hand, 0.1)
    table = [[round(len(grey) * hand.one_of(0, 0.1, 0.15)) for _ in range(2)] for _ in range(2)]
    return photographed(np.pad(grey, table, constant_values=hand.between(0.2, 0.5)), hand)


def on_ruled_paper(segments: np.ndarray, hand: Hand, squared: bool = False) -> bytes:
    """A pen on an exercise book's page, whose rules are 0.3 to 0.7 as dark."""
    ink = Canvas(hand.side(150, 600), hand.between(0.06, 0.1), size=(0.3, 0.7)).draw(segments, hand)
    rules = ruled(ink.shape, hand, squared, (4, 10)) * hand.between(0.3, 0.7)
    return photographed(lit(np.maximum(ink, rules), hand, 0.2), hand)


def cropped(segments: np.ndarray, hand: Hand) -> bytes:
    """Cut out of a photograph along the digit, small and soft, its strokes a good part of it."""
    ink = trimmed(Canvas(hand.side(40, 120), hand.between(0.12, 0.22)).draw(segments, hand))
    soft = ndimage.gaussian_filter(ink, max(ink.shape) * hand.between(0.01, 0.025))
    return photographed(lit(soft, hand, 0.2), hand)


def soft_and_small(segments: np.ndarray, hand: Hand) -> bytes:
    """Scaled down to 28 or so pixels a side, or drawn there with a brush that has no hard edge."""
    ink = Canvas(hand.side(24, 60), hand.between(0.08, 0.18), size=(0.5, 0.8)).draw(segments, hand)
    soft = ndimage.gaussian_filter(ink, hand.between(0.3, 0.9) * max(ink.shape) / 28)
    soft = soft / soft.max() * hand.between(0.5, 1)
    return encoded(to_image(hand.one_of(soft, 1 - soft)), hand.one_of("PNG", "JPEG"), quality=90)


def with_toolbar(segments: np.ndarray, hand: Hand) -> bytes:
    """A paint program's window: a grey bar with icons above the canvas."""
    page = 1 - Canvas(hand.side(100, 500), hand.one_of(2, 0.05), size=(0.4, 0.8)).draw(segments, hand)
    bar = np.full((max(len(page) // 12, 6), page.shape[1]), 0.85)
    bar[2:-2, 3 : page.shape[1] // 2 : 4] = 0.3
    return encoded(to_image(np.concatenate([bar, page])))


def row_of_digits(segments: list[np.ndarray], hand: Hand) -> bytes:
    """Digits side by side as an amount is written: a fifteenth to a half of their height apart, and not quite level."""
    tall, apart = hand.side(20, 150), hand.between(0.07, 0.5)
    pen, jitter = max(hand.between(0.04, 0.1) * tall, 1), 0.1 * tall
    line, x = [], 0.0
    for one in segments:
        line.append(one * hand.between(0.8, 1) * tall + [x, hand.between(-jitter, jitter)])
        x = line[-1][..., 0].max() + pen + max(apart * hand.between(0.7, 1.3), 0.05) * tall
    page = np.concatenate(line)
    page -= page.min(axis=(0, 1))
    width, height = page.max(axis=(0, 1)) + pen
    around = hand.between(0.3, 1) * tall
    canvas = Canvas(height + around, pen, size=(1, 1), aspect=(width + around) / (height + around))
    ink = canvas.draw(page / (height + around), hand)
    return hand.one_of(encoded(to_image(1 - ink)), encoded(to_image(ink)), photographed(lit(ink, hand, 0.3), hand))


# Kinds of pictures without a digit.


def any_shape(hand: Hand, least: float = 28) -> tuple[int, int]:
    side = hand.side(least, 500)
    return round(side), round(side * hand.side(0.6, 1.7))


def saved(grey: np.ndarray, hand: Hand) -> bytes:
    form = hand.one_of("JPEG", "PNG", "BMP", "GIF")
    return encoded(to_image(grey), form, quality=int(hand.between(10, 96)))


def ruled(shape: tuple[int, ...], hand: Hand, squared: bool, count: tuple[float, float] = (3.5, 25)) -> np.ndarray:
    """The lines of a sheet, so many across its shorter side, at times turned and with a margin's line."""
    y, x = np.indices(shape)
    angle = np.radians(hand.one_of(0, 0, 0, hand.between(-8, 8)))
    right, down = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    gap = max(min(shape) / hand.between(*count), 4)
    pen = max(1, hand.between(0.03, 0.15) * gap)
    ways = [down, right] if squared else [down]
    ink = np.max([pen / 2 + 0.5 - np.abs((way + hand.between(0, gap)) % gap - gap / 2) for way in ways], axis=0)
    if not squared and hand.one_of(True, False):
        ink = np.maximum(ink, np.abs(right - 0.15 * shape[1]) < pen)
    return ink.clip(0, 1)


def blank(hand: Hand) -> bytes:
    return saved(np.full(any_shape(hand), hand.between(0, 1)), hand)


def gradient(hand: Hand) -> bytes:
    y, x = grid(any_shape(hand))
    angle, at = hand.between(0, 2 * np.pi), hand.chance.uniform(-1, 1, 2)
    way = hand.one_of(x * np.cos(angle) + y * np.sin(angle), np.hypot(x - at[0], y - at[1]))
    share = (way - way.min()) / np.ptp(way)
    return saved(hand.between(0, 1) * (1 - share) + hand.between(0, 1) * share, hand)


def shadow(hand: Hand) -> bytes:
    grey = np.full(any_shape(hand), hand.between(0.6, 0.95))
    for _ in range(hand.one_of(1, 2)):
        grey *= 1 - hand.between(0.1, 0.5) * across(grey.shape, hand, hand.between(0.15, 0.8))
    return saved(grey + hand.noise(grey.shape, 0.02), hand)


def noise(hand: Hand) -> bytes:
    """Gaussian, even, salt, or blurred."""
    grey = np.full(any_shape(hand), hand.between(0.3, 0.9))
    normal = hand.chance.normal(0, 1, grey.shape)
    return saved(hand.one_of(
        grey + normal * hand.between(0.01, 0.3),
        hand.chance.uniform(0, 1, grey.shape),
        np.where(hand.chance.uniform(0, 1, grey.shape) < hand.between(0, 0.05), 0, grey),
        grey + ndimage.gaussian_filter(normal, hand.between(0.5, 2)) * hand.between(0.02, 0.3),
    ), hand)  # fmt: skip


def jpeg_blocks(hand: Hand) -> bytes:
    y, x = grid(any_shape(hand))
    grey = hand.between(0.4, 0.9) + hand.between(-0.15, 0.15) * x + hand.between(-0.15, 0.15) * y
    return encoded(to_image(grey + hand.noise(grey.shape, 0.05)), "JPEG", quality=int(hand.between(1, 20)))


def lamp(hand: Hand) -> bytes:
    y, x = grid(any_shape(hand))
    away = np.hypot(x - hand.between(-0.8, 0.8), (y - hand.between(-0.8, 0.8)) * hand.between(0.6, 1.6))
    spot = np.exp(-((away / hand.between(0.2, 0.9)) ** 2))
    wide = np.cos(np.minimum(away * hand.between(0.4, 1), 1.5)) ** 2
    grey = hand.between(0.2, 0.7) + hand.between(0.1, 0.5) * hand.one_of(spot, wide)
    return saved(grey + hand.noise(grey.shape, 0.02), hand)


def lined_paper(hand: Hand, squared: bool = False) -> bytes:
    """Its lines to the rim or within a margin."""
    shape = any_shape(hand, 60)
    ink = ruled(shape, hand, squared) * hand.between(0.1, 0.8)
    margin = round(min(shape) * hand.one_of(0, 0, 0.08))
    ink = np.pad(ink[margin : shape[0] - margin, margin : shape[1] - margin], margin)
    return saved(hand.one_of(1 - ink, lit(ink, hand, 0.2)), hand)


def dotted_paper(hand: Hand) -> bytes:
    shape = any_shape(hand, 80)
    gap = max(min(shape) / hand.between(6, 20), 6)
    y, x = np.indices(shape)
    dots = np.hypot(y % gap - gap / 2, x % gap - gap / 2) < max(gap * hand.between(0.05, 0.12), 1)
    return saved(lit(dots * hand.between(0.2, 0.8), hand, 0.2), hand)


def grained(hand: Hand) -> bytes:
    """Wood, cloth or plaster: noise that is coarse and fine at once, stretched one way."""
    grey = np.zeros(any_shape(hand, 60))
    for scale in (1, 2, 4, 8, 16):
        layer = ndimage.gaussian_filter(hand.chance.normal(0, 1, grey.shape), (scale, scale * hand.one_of(1, 4)))
        grey += layer / layer.std()
    return saved(0.5 + grey * hand.between(0.02, 0.08), hand)


def folded(hand: Hand) -> bytes:
    """A sheet that was folded: each field in a light of its own."""
    shape = any_shape(hand, 60)
    grey = np.full(shape, 0.85)
    for _ in range(3):
        grey -= hand.between(0.02, 0.1) * across(shape, hand, 0.03)
    return saved(grey + hand.noise(shape, 0.02), hand)


def crumbs(hand: Hand) -> bytes:
    """Dust and hairs' ends, well below a digit's size."""
    grey = lit(np.zeros(any_shape(hand, 150)), hand, 0.2)
    for _ in range(hand.one_of(1, 3, 8)):
        y, x = (int(hand.between(0, side)) for side in grey.shape)
        grey[y : y + 2, x : x + 2] = hand.between(0, 0.4)
    return saved(grey, hand)


@dataclass
class Kind:
    """A kind of picture: `make` takes a digit's segments and chance, or chance alone where there is no digit."""

    name: str
    make: Callable[..., bytes]
    images: int = 60
    digit: str = "skeletons and strokes"  # or only one of them, rows of several digits, or none
    tuned_on: bool = True  # whether the reader was tuned on such pictures, of other digits


SKELETONS, STROKES, NONE, ROWS = "skeletons", "strokes", "none", "rows"
KINDS = [
    Kind("hard pencil, 28 x 28", partial(pencil, low=28, high=28), 300, SKELETONS),
    Kind("hard pencil, 28 x 28", partial(pencil, low=28, high=28), 300, STROKES),
    Kind("hard pencil, 20 to 300 a side", pencil, 200, SKELETONS),
    Kind("hard pencil, 20 to 300 a side", pencil, 200, STROKES),
    Kind("smooth pencil, 20 to 300 a side", partial(pencil, smooth=True), 100),
    Kind("brush", brush),
    Kind("thick marker", marker),
    Kind("touching the rim", touching_rim, 200),
    Kind("filling the picture", filling, 200),
    Kind("light on dark", inverted),
    Kind("transparent", transparent),
    Kind("palette", palette),
    Kind("1 bit", one_bit),
    Kind("colored pen and paper", colored),
    Kind("pen and paper equally bright", equally_bright),
    Kind("slanted light", slanted_light),
    Kind("half in a shadow", shadowed),
    Kind("photograph", photograph),
    Kind("wide or tall", wide_or_tall),
    Kind("JPEG of quality 5 to 30", poor_jpeg),
    Kind("dotted pen", dotted),
    Kind("hatched pen", hatched),
    Kind("small on a large page", small_on_large),
    Kind("framed", framed),
    Kind("broad nib", nib, tuned_on=False),
    Kind("chalk", chalk, tuned_on=False),
    Kind("hard pixels enlarged", enlarged, tuned_on=False),
    Kind("on squared paper", on_squared_paper, tuned_on=False),
    Kind("out of focus", out_of_focus, tuned_on=False),
    Kind("note on a table", note_on_table, tuned_on=False),
    Kind("with a toolbar", with_toolbar, tuned_on=False),
    Kind("on ruled paper", on_ruled_paper),
    Kind("on squared paper with dark rules", partial(on_ruled_paper, squared=True)),
    Kind("closely cropped", cropped),
    Kind("soft and small", soft_and_small),
    Kind("rows of 2 to 8 digits, all right", row_of_digits, 100, ROWS),
    Kind("blank", blank, 100, NONE),
    Kind("gradient", gradient, 100, NONE),
    Kind("shadow", shadow, 100, NONE),
    Kind("noise", noise, 100, NONE),
    Kind("JPEG blocks", jpeg_blocks, 100, NONE),
    Kind("lamp's shine", lamp, 100, NONE),
    Kind("lined paper", lined_paper, 100, NONE),
    Kind("squared paper", partial(lined_paper, squared=True), 100, NONE),
    Kind("dotted paper", dotted_paper, 60, NONE),
    Kind("wood, cloth, plaster", grained, 60, NONE, tuned_on=False),
    Kind("folded sheet", folded, 60, NONE, tuned_on=False),
    Kind("crumbs", crumbs, 60, NONE),
]


def picture(kind: Kind, seed: int, images: np.ndarray, labels: np.ndarray) -> tuple[bytes, str]:
    """A picture of a kind, and what is on it; `images` and `labels` are those that skeletons are taken of."""
    hand = Hand(zlib.crc32(f"{kind.name}, {kind.digit}".encode()), seed)
    if kind.digit == NONE:
        return kind.make(hand), ""
    if kind.digit == ROWS:
        row = [any_digit(seed % 2 == 1, hand, images, labels) for _ in range(hand.one_of(2, 3, 4, 5, 6, 8))]
        return kind.make([segments for segments, _ in row], hand), "".join(digit for _, digit in row)
    segments, digit = any_digit(
        kind.digit == SKELETONS or (kind.digit != STROKES and seed % 2 == 1), hand, images, labels
    )
    return kind.make(segments, hand), digit


def any_digit(of_mnist: bool, hand: Hand, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, str]:
    """A digit's segments, from MNIST or from HANDWRITTEN, and which it is."""
    if of_mnist:
        index = int(hand.chance.integers(len(images)))
        return skeleton(np.array(images[index])), str(labels[index])
    digit = int(hand.chance.integers(10))
    return handwritten(hand.one_of(*HANDWRITTEN[digit]), hand.chance), str(digit)


def pictures_table(runs: pd.DataFrame) -> str:
    """A row a kind of picture: how many, how many were read right, how many refused."""
    names = runs["kind"] + np.where(runs["tuned_on"], "", " *")
    names += runs["digit"].map(lambda digit: f", {digit}" if digit in {SKELETONS, STROKES} else "")
    shown = pd.DataFrame({"kind of picture": names, "images": runs["images"]})
    shown["right"] = [f"{n / of:.1%}" if n >= 0 else "" for n, of in zip(runs["right"], runs["images"], strict=True)]
    shown["refused"] = [f"{n / of:.1%}" for n, of in zip(runs["refused"], runs["images"], strict=True)]
    return (
        f"{shown.to_markdown(index=False, disable_numparse=True)}\n\n"
        "\\* built after the reader was tuned. Every image is of a digit and of chance that tuning did not use;\n"
        "the strokes are drawn anew, their styles were known. Crumbs were mended after these very images were seen."
    )


def main() -> None:
    """Draw, read and count; print a line a kind as it is done."""
    images = np.load(ROOT / "data/prepared/test_images.npy", mmap_mode="r")[5000:, ..., 0]  # tuned on the first half
    labels = np.load(ROOT / "data/prepared/test_labels.npy")[5000:]
    parameters = read_parameters(ROOT / PARAMETERS)
    reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
    classifier = archive.load(ROOT / archive.PATH)
    log_probabilities = inference.compiled(classifier.model)
    rows = []
    for kind in KINDS:
        right = refused = 0
        for seed in range(kind.images):
            content, expected = picture(kind, 10_000 + seed, images, labels)
            try:
                readings = read_picture(content, classifier.task, (SIDE, SIDE, 1))
                if len(readings) > 1 and kind.digit != ROWS:
                    raise Refusal("shows several digits")
            except Refusal:
                refused += 1
                continue
            found = inference.mean_probabilities(log_probabilities, [reading.views for reading in readings])
            right += "".join(map(str, found.argmax(axis=1))) == expected
        right = right if kind.digit != NONE else -1
        rows.append(
            {
                "kind": kind.name,
                "digit": kind.digit,
                "tuned_on": kind.tuned_on,
                "images": kind.images,
                "right": right,
                "refused": refused,
            }
        )
        said = f"{right:4} right" if right >= 0 else " no digit "
        print(f"{kind.name:30} {kind.digit:22} {kind.images:4} images {said} {refused:4} refused", flush=True)
    write_table(ROOT / "benchmarks/results/pictures.csv", pd.DataFrame(rows))
    print(f"\n{pictures_table(pd.DataFrame(rows))}")


if __name__ == "__main__":
    main()
