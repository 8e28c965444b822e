"""Pictures in one style: rows of images, a network, its weights; PNG files whose bytes depend on the drawing alone."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from digits.foundation.files import replacing

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
BLUE = "#1f77b4"
QUIET = "#666666"  # what is beside the point

FEW_CLASSES = 15  # whose confusion has room for every count
MANY_CLASSES = 60  # whose confusion is no matrix that could be read
MOST_KERNELS, MOST_MISTAKES = 60, 30
CAPTION_LETTERS, FILE_LETTERS = 12, 11


def use_style() -> None:
    """Draw without a screen and in this project's style, whatever a person's own settings are."""
    matplotlib.use("agg")
    matplotlib.rcdefaults()
    plt.style.use(STYLE)


def shortened(name: str, letters: int) -> str:
    """A name in at most so many letters, its end left out where it is longer."""
    return name if len(name) <= letters else f"{name[: letters - 1].rstrip()}\u2026"


def ending(name: str, letters: int) -> str:
    """The end of a file's name in at most so many letters, its beginning left out where it is longer."""
    return name if len(name) <= letters else f"\u2026{name[1 - letters :].lstrip()}"


def caption(name: str) -> str:
    """A class's name in at most two lines, as wide as fits under a tenth of a picture."""
    first, *more = textwrap.wrap(name, CAPTION_LETTERS) or [name]
    return "\n".join([first, *([shortened(" ".join(more), CAPTION_LETTERS)] if more else [])])


def grey_map(ink: bool) -> str:
    """The colors, by matplotlib's name, in which grey images are seen as they are: `Task.ink` says which of the two."""
    return "gray_r" if ink else "gray"


def file_caption(file: str) -> str:
    """The end of a file's name, without its kind, as wide as fits under a tenth of a picture."""
    return ending(str(Path(file).with_suffix("")), FILE_LETTERS)


def mosaic(pictures: np.ndarray, columns: int, margin: int, below: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Lay pictures out in rows on one canvas.

    Args:
        pictures: shape (n, height, width), or (n, height, width, 3) in color.
        columns: pictures in a row.
        margin: empty pixels around each.
        below: further empty pixels under each.

    Returns:
        The canvas, NaN where it is empty, and the (x, y) of each picture's upper left corner.
    """
    count, height, width = pictures.shape[:3]
    down, across = height + 2 * margin + below, width + 2 * margin
    corners = [(index % columns * across + margin, index // columns * down + margin) for index in range(count)]
    shape = (max(math.ceil(count / columns), 1) * down, columns * across, *pictures.shape[3:])
    canvas = np.full(shape, np.nan, np.float32)
    for (x, y), picture in zip(corners, pictures, strict=True):
        canvas[y : y + height, x : x + width] = picture
    return canvas, corners


def draw_images(images: np.ndarray, ink: bool, captions: Sequence[str], columns: int, title: str) -> Figure:
    """Draw images in rows, each with its caption below.

    Args:
        images: shape (n, height, width, channels), in [0, 1].
        ink: whether 1 is black where they are grey, as `Task.ink` says.
        captions: n of them, in one line or several.
        columns: images in a row.
        title: of the picture.
    """
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    height, width, channels = images.shape[1:]
    unit = width / 28  # what follows was looked at for MNIST's images
    pictures = images if channels > 1 else images[..., 0]
    margin, below = math.ceil(3 * unit), math.ceil((2 + 6 * lines) * unit)
    canvas, corners = mosaic(pictures, columns, margin, below)
    figure, axis = plt.subplots(figsize=(10, 0.5 + (10 * canvas.shape[0] / canvas.shape[1] if len(images) else 0)))
    axis.set_axis_off()
    axis.imshow(np.nan_to_num(canvas, nan=1) if channels > 1 else canvas, cmap=grey_map(ink), vmin=0, vmax=1)
    for (x, y), caption in zip(corners, captions, strict=True):
        axis.text(
            x + width / 2, y + height + 2 * unit, caption,
            ha="center", va="top", fontsize=9, linespacing=1.3, parse_math=False,
        )  # fmt: skip
    figure.suptitle(title, parse_math=False)
    return figure


def draw_confusion(predictions: pd.DataFrame, classes: list[str], corrected: int = 0) -> Figure:
    """Draw how the images of each class were read: counts, colored by their share of the class.

    Args:
        predictions: of the columns `actual` and `predicted`.
        classes: their names.
        corrected: how many of the images have another label than they came with.
    """
    if len(classes) > MANY_CLASSES:
        return draw_mistakes(predictions)
    few = len(classes) <= FEW_CLASSES
    table = pd.crosstab(predictions["actual"], predictions["predicted"])
    counts = table.reindex(index=classes, columns=classes, fill_value=0).to_numpy()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(0.65, 0.1 * len(str(counts.max()))) if few else 0.27  # inches of a cell
    names = [shortened(name, 24 if few else 16) for name in classes]
    margin = 1 + 0.07 * max(map(len, names))
    width = max(side * len(classes), 3) + margin
    figure, axis = plt.subplots(figsize=(width + 1, width))
    drawn = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (actual, predicted), count in np.ndenumerate(counts):
        if count or few:
            color = "white" if shares[actual, predicted] > 0.5 else "black" if count else "#bbbbbb"
            size = 9 if few else 7 if count < 1000 else 5
            axis.text(predicted, actual, f"{count:,}", ha="center", va="center", fontsize=size, color=color)
    places = range(len(classes))
    axis.set_xticks(places, names, parse_math=False, rotation=90 if max(map(len, names)) > 2 else 0)
    axis.set_yticks(places, names, parse_math=False)
    axis.tick_params(labelsize=10 if few else 8)
    axis.set(xlabel="predicted", ylabel="actual")
    figure.colorbar(drawn, ax=axis, shrink=0.85, label="share of the class's images", format=PercentFormatter(1))
    figure.suptitle(f"Confusion on the test images{f', {corrected:,} of them corrected' if corrected else ''}")
    return figure


def draw_mistakes(predictions: pd.DataFrame) -> Figure:
    """Draw the most frequent mistakes, as bars: the confusion of classes too many for a matrix."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    pairs = wrong.groupby(["actual", "predicted"]).size().sort_values(ascending=False, kind="stable")[:MOST_MISTAKES]
    figure, axis = plt.subplots(figsize=(9, 1.5 + 0.25 * len(pairs)))
    axis.barh(range(len(pairs)), pairs.to_numpy(), color=BLUE)
    names = [f"{shortened(actual, 24)} read as {shortened(predicted, 24)}" for actual, predicted in pairs.index]
    axis.set_yticks(range(len(pairs)), names, parse_math=False)
    axis.set(xlabel="test images", ylim=(len(pairs) - 0.4, -0.6))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(f"The most frequent of {len(wrong):,} mistakes in {len(predictions):,} test images")
    return figure


def draw_architecture(layers: pd.DataFrame, shape: tuple[int, ...]) -> Figure:
    """Draw the layers from images of that shape to outputs, each with its output shape and number of parameters."""
    rows = [("Input", " x ".join(map(str, shape)), ""), *(
        (layer, output, f"{parameters:,}" if parameters else "")
        for layer, output, parameters in layers[["layer", "output", "parameters"]].itertuples(index=False)
    )]  # fmt: skip
    figure, axis = plt.subplots(figsize=(7, 1.2 + 0.42 * len(rows)))
    axis.set(xlim=(0, 7), ylim=(len(rows) + 0.2, -1.1))
    axis.set_axis_off()
    for x, align, heading in ((0.3, "left", "layer"), (4.1, "center", "output"), (6.7, "right", "parameters")):
        axis.text(x, -0.35, heading, ha=align, va="center", color=QUIET)
    for y, (layer, output, parameters) in enumerate(rows):
        face = "#dbe9f6" if parameters else "#f3f3f3"
        axis.add_patch(
            FancyBboxPatch((0.1, y + 0.12), 6.8, 0.72, boxstyle="round,pad=0,rounding_size=0.12", fc=face, ec="#9fb3c8")
        )
        axis.text(0.3, y + 0.48, layer, va="center")
        axis.text(4.1, y + 0.48, output.replace(" x ", " \u00d7 "), va="center", ha="center")
        axis.text(6.7, y + 0.48, parameters, va="center", ha="right")
    figure.suptitle(f"The network: {layers['parameters'].sum():,} parameters")
    return figure


def kernel_pictures(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A layer's weights as pictures.

    Args:
        kernel: as Keras shapes it: (height, width, inputs, outputs) of a convolution, (inputs, outputs) of a dense
            layer, or anything else with two dimensions or more.
        shape: of an image: height, width, channels.

    Returns:
        Shape (n, height, width): a picture an output, where the inputs are an image or as many as its pixels (the mean
        over channels, where there are several); otherwise a single one, the weights as a matrix.
    """
    match kernel.shape:
        case (_, _, _, _):
            return np.moveaxis(kernel.mean(axis=2), -1, 0)
        case (inputs, _) if inputs == math.prod(shape):
            return kernel.T.reshape(-1, *shape).mean(axis=-1)
        case _:
            return kernel.reshape(1, -1, max(kernel.shape[-1], 1))


def draw_weights(kernel: np.ndarray, shape: tuple[int, ...]) -> Figure:
    """Draw a layer's weights, as `kernel_pictures` takes them, in one scale symmetric around zero."""
    pictures = kernel_pictures(kernel, shape)
    shown = pictures[:MOST_KERNELS]
    columns = math.ceil(len(shown) / max(len(shown) // 10, 1 + (len(shown) > 10)))
    canvas, _ = mosaic(shown, columns, margin=math.ceil(shown.shape[2] / 20), below=0)
    height, width = canvas.shape
    figure, axis = plt.subplots(figsize=(10, np.clip(0.5 + 9 * height / width, 3, 9)))
    axis.set_axis_off()
    limit = float(np.abs(shown).max(initial=1e-9))
    drawn = axis.imshow(canvas, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="equal" if len(shown) > 1 else "auto")
    figure.colorbar(drawn, ax=axis, shrink=0.8, label="weight")
    some = f"{len(shown)} of {len(pictures)}" if len(shown) < len(pictures) else "a picture for each output"
    figure.suptitle(f"Weights of the first trainable layer: {some}")
    return figure


def write_figure(path: Path, figure: Figure, dpi: int) -> None:
    """Write a figure as PNG, without the metadata that names program and version, and forget it."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=dpi, metadata={"Software": None})
    plt.close(figure)
