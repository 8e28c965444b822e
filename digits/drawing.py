"""Pictures: their style, rows of digits, and PNG files whose bytes depend on what is drawn alone."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from digits.dataset import SIDE
from digits.files import replacing

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "figure.titlesize": 13,
    "figure.constrained_layout.use": True,
    "grid.color": "#dddddd",
}


def use_style() -> None:
    """Draw without a screen and in this project's style, whatever a person's own settings are."""
    matplotlib.use("agg")
    matplotlib.rcdefaults()
    plt.style.use(STYLE)


def mosaic(pictures: np.ndarray, columns: int, margin: int, below: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Lay pictures out in rows on one canvas.

    Args:
        pictures: shape (n, height, width).
        columns: pictures in a row.
        margin: empty pixels around each.
        below: further empty pixels under each.

    Returns:
        The canvas, NaN where it is empty, and the (x, y) of each picture's upper left corner.
    """
    count, height, width = pictures.shape
    down, across = height + 2 * margin + below, width + 2 * margin
    corners = [(index % columns * across + margin, index // columns * down + margin) for index in range(count)]
    canvas = np.full((max(math.ceil(count / columns), 1) * down, columns * across), np.nan, np.float32)
    for (x, y), picture in zip(corners, pictures, strict=True):
        canvas[y : y + height, x : x + width] = picture
    return canvas, corners


def draw_digits(images: np.ndarray, captions: Sequence[str], columns: int, title: str) -> Figure:
    """Draw images of shape (n, 28, 28) in [0, 1] in rows of `columns`, each with its caption below."""
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    canvas, corners = mosaic(images, columns, margin=3, below=2 + 6 * lines)
    height, width = canvas.shape
    figure, axis = plt.subplots(figsize=(10, 0.5 + 10 * height / width))
    axis.set_axis_off()
    axis.imshow(canvas, cmap="gray_r", vmin=0, vmax=1)
    for (x, y), caption in zip(corners, captions, strict=True):
        axis.text(x + SIDE / 2, y + SIDE + 2, caption, ha="center", va="top", fontsize=9, linespacing=1.3)
    figure.suptitle(title, parse_math=False)
    return figure


def write_figure(path: Path, figure: Figure, dpi: int) -> None:
    """Write a figure as PNG, without the metadata that names program and version, and forget it."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=dpi, metadata={"Software": None})
    plt.close(figure)
