"""What is said, told to programs and drawn of several digits on a picture: an amount, a date, a sheet of them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from digits.results.answers import entry, in_doubt, sentence, two_best


class Row(NamedTuple):
    """The digits on a picture, line by line from left to right."""

    probabilities: np.ndarray
    """Of each digit: shape (n, classes)."""
    boxes: list[tuple[float, float, float, float]]
    """Where each is: left, top, right and bottom, as shares of the picture's width and height."""
    lines: list[int]
    """In which line each is."""


def text(row: Row, classes: list[str]) -> str:
    """The digits as they are read, a blank between lines."""
    best = [classes[two_best(chances)[0]] for chances in row.probabilities]
    lines = np.array(row.lines)
    return " ".join("".join(np.array(best)[lines == line]) for line in np.unique(lines))


def row_sentence(row: Row, classes: list[str]) -> str:
    """What is read, how probable all of it is, what is in doubt: `1250 (58.4%); digit 3: 5 (61.0%), or 6 (35.2%)`."""
    if len(row.lines) == 1:
        return sentence(row.probabilities[0], classes)
    doubts = [
        f"; digit {place}: {sentence(chances, classes)}"
        for place, chances in enumerate(row.probabilities, 1)
        if in_doubt(chances)
    ]
    return f"{text(row, classes)} ({all_right(row):.1%})" + "".join(doubts)


def all_right(row: Row) -> float:
    """The probability that each digit is read right, if what makes one hard to read says nothing of the others."""
    return float(row.probabilities.max(axis=1).prod())


def row_entry(path: str, row: Row, classes: list[str]) -> dict[str, object]:
    """A row for programs: path, text, confidence, and of each digit the fields of `entry`, its line and its box."""
    digits = []
    for chances, box, line in zip(row.probabilities, row.boxes, row.lines, strict=True):
        said = entry(path, chances, classes)
        del said["path"]
        digits.append(said | {"line": line, "box": [round(side, 4) for side in box]})
    return {"path": path, "text": text(row, classes), "confidence": round(all_right(row), 6), "digits": digits}


def draw_rows(names: list[str], pictures: list[Image.Image], rows: list[Row], classes: list[str], path: Path) -> None:
    """Draw pictures with a box around each digit, and above it what it was read as.

    Args:
        names: of the pictures.
        pictures: themselves, grey or in color.
        rows: the digits on each.
        classes: their names.
        path: of the PNG.
    """
    from matplotlib import pyplot as plt
    from matplotlib.patches import Rectangle

    from digits.results.drawing import BLUE, ending, shortened, use_style, write_figure

    use_style()
    heights = [0.5 + min(7 * picture.height / picture.width, 3.5) for picture in pictures]
    figure, axes = plt.subplots(len(pictures), 1, figsize=(7, sum(heights)), squeeze=False, height_ratios=heights)
    for axis, name, picture, row in zip(axes.flat, names, pictures, rows, strict=True):
        axis.imshow(picture, cmap="gray")
        axis.set_axis_off()
        axis.set_title(f"{ending(name, 24)}: {shortened(text(row, classes), 40)}", fontsize=10, parse_math=False)
        for chances, (left, top, right, bottom) in zip(row.probabilities, row.boxes, strict=True):
            x, y = left * picture.width, top * picture.height
            size = (right - left) * picture.width, (bottom - top) * picture.height
            color = "#d62728" if in_doubt(chances) else BLUE
            axis.add_patch(Rectangle((x - 0.5, y - 0.5), *size, fill=False, edgecolor=color, linewidth=1.2))
            said = f"{classes[two_best(chances)[0]]} {chances.max():.0%}"
            axis.annotate(
                said, (x, y), (0, 2), textcoords="offset points", color=color, fontsize=8, va="bottom",
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5}, parse_math=False,
            )  # fmt: skip
    write_figure(path, figure, dpi=120)
