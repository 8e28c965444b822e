"""Draw the data, the network, its training and its results.

Takes what the stages before wrote: training and test images, plots/*.csv and the first layer's weights.
Gives plots/images/*.png, the same bytes for the same inputs: one style, one font, no metadata.
"""

import math
from pathlib import Path

from digits.command import Refusal, run

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import confusion_matrix

from digits.arrays import read_images, read_split
from digits.calibration import expected_calibration_error, reliability
from digits.dataset import CLASSES, SIDE
from digits.drawing import draw_digits, mosaic, use_style, write_figure
from digits.files import read_array, read_table
from digits.parameters import read_parameters

IMAGES = Path("plots/images")
FIRST_KERNEL = Path("models/first_kernel.npy")
HISTORY = Path("plots/history.csv")
HISTORY_COLUMNS = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"]
LAYERS = Path("models/layers.csv")
PREDICTIONS = Path("plots/predictions.csv")

TRAINING, VALIDATION, QUIET = "#1f77b4", "#ff7f0e", "#666666"
MOST_KERNELS = 60


def draw_samples(images: np.ndarray, labels: np.ndarray) -> Figure:
    """Draw the first two training images of each digit, as far as there are two."""
    firsts = [np.flatnonzero(labels == digit)[:2] for digit in range(CLASSES)]
    chosen = [first[row] for row in range(2) for first in firsts if row < len(first)]
    return draw_digits(images[chosen], [str(labels[index]) for index in chosen], CLASSES, "Training digits")


def draw_architecture(layers: pd.DataFrame) -> Figure:
    """Draw the layers from input to output, each with its output shape and number of parameters."""
    rows = [("Input", f"{SIDE} x {SIDE}", ""), *(
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


def kernel_pictures(kernel: np.ndarray) -> np.ndarray:
    """A layer's weights as pictures.

    Args:
        kernel: as Keras shapes it: (height, width, inputs, outputs) of a convolution, (inputs, outputs) of a dense
            layer, or anything else with two dimensions or more.

    Returns:
        Shape (n, height, width): a picture an output, where the inputs are an image or have its 784 pixels (the mean
        over channels, where there are several); otherwise a single one, the weights as a matrix.
    """
    match kernel.shape:
        case (_, _, _, _):
            return np.moveaxis(kernel.mean(axis=2), -1, 0)
        case (inputs, _) if inputs == SIDE * SIDE:
            return kernel.T.reshape(-1, SIDE, SIDE)
        case _:
            return kernel.reshape(1, -1, max(kernel.shape[-1], 1))


def draw_weights(kernel: np.ndarray) -> Figure:
    """Draw a layer's weights, as `kernel_pictures` takes them, in one scale symmetric around zero."""
    pictures = kernel_pictures(kernel)
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


def draw_curves(history: pd.DataFrame) -> Figure:
    """Draw accuracy and loss over the epochs, in training and, where there is any, in validation."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, metric in zip(axes, ("accuracy", "loss"), strict=True):
        for column, name, color in ((metric, "training", TRAINING), (f"val_{metric}", "validation", VALIDATION)):
            if history[column].notna().any():
                axis.plot(history["epoch"], history[column], marker="o", markersize=4, color=color, label=name)
        axis.set(title=metric.capitalize(), xlabel="epoch", ylabel=metric)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(True)
        axis.legend()
    figure.suptitle("Training")
    return figure


def draw_confusion(predictions: pd.DataFrame) -> Figure:
    """Draw how the images of each digit were read: counts, colored by their share of the digit."""
    counts = confusion_matrix(predictions["actual"], predictions["predicted"], labels=range(CLASSES))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axis = plt.subplots(figsize=(7.5, 6.5))
    drawn = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (actual, predicted), count in np.ndenumerate(counts):
        color = "white" if shares[actual, predicted] > 0.5 else "black" if count else "#bbbbbb"
        axis.text(predicted, actual, f"{count:,}", ha="center", va="center", fontsize=9, color=color)
    axis.set(xlabel="predicted", ylabel="actual", xticks=range(CLASSES), yticks=range(CLASSES))
    figure.colorbar(drawn, ax=axis, shrink=0.85, label="share of the digit's images", format=PercentFormatter(1))
    figure.suptitle("Confusion on the test images")
    return figure


def draw_predictions(images: np.ndarray, predictions: pd.DataFrame, title: str) -> Figure:
    """Draw test images with what the network said of them; `predictions` is indexed by their place in `images`."""
    captions = [f"{row.predicted} ({row.confidence:.1%})\nis {row.actual}" for row in predictions.itertuples()]
    return draw_digits(images[predictions.index], captions, 10, title)


def draw_calibration(predictions: pd.DataFrame) -> Figure:
    """Draw accuracy against confidence, and below how many images each bin has."""
    correct = (predictions["actual"] == predictions["predicted"]).to_numpy()
    bins = reliability(predictions["confidence"].to_numpy(), correct)
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6, 6.5), sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    upper.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1, label="perfectly calibrated")
    upper.plot(bins["confidence"], bins["accuracy"], "o", color=TRAINING, label="the network, a dot a bin")
    upper.set(ylabel="accuracy", xlim=(0, 1.02), ylim=(-0.03, 1.05))
    upper.grid(True)
    upper.legend(loc="lower right")
    lower.bar(bins["confidence"], bins["count"], width=0.04, color=TRAINING)
    lower.set(xlabel="confidence", ylabel="images", yscale="log", ylim=(0.5, None))
    lower.set_axisbelow(True)
    lower.grid(True, axis="y")
    figure.suptitle(f"Calibration: expected error {expected_calibration_error(bins):.2%}")
    return figure


def save(figure: Figure, name: str, dpi: int) -> None:
    """Write a figure to plots/images/."""
    write_figure(IMAGES / f"{name}.png", figure, dpi)


def main() -> None:
    plot = read_parameters().plot
    use_style()

    predictions = read_table(PREDICTIONS, {"actual": int, "predicted": int, "confidence": float})
    test_images = read_images("test")
    if len(predictions) != len(test_images):
        raise Refusal(f"{PREDICTIONS} has {len(predictions):,} rows for {len(test_images):,} test images")
    correct = predictions["actual"] == predictions["predicted"]
    right, wrong = predictions[correct], predictions[~correct].sort_values("confidence", ascending=False, kind="stable")
    most = plot.mistakes

    save(draw_samples(*read_split("train")), "samples", plot.dpi)
    save(
        draw_architecture(read_table(LAYERS, {"layer": str, "output": str, "parameters": int})),
        "architecture",
        plot.dpi,
    )
    save(draw_weights(read_array(FIRST_KERNEL)), "weights", plot.dpi)
    save(draw_curves(read_table(HISTORY, dict.fromkeys(HISTORY_COLUMNS, float))), "curves", plot.dpi)
    save(draw_confusion(predictions), "confusion", plot.dpi)
    save(draw_predictions(test_images, right[:most], f"Recognized: the first of {len(right):,}"), "correct", plot.dpi)
    title = f"Misread: the most confident of {len(wrong):,}"
    save(draw_predictions(test_images, wrong[:most], title), "misclassified", plot.dpi)
    save(draw_calibration(predictions), "calibration", plot.dpi)


if __name__ == "__main__":
    run(main)
