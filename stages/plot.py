"""Draw the data, the network, its training and its results.

Takes what the stages before wrote: training and test images, plots/*.csv and the first layer's weights.
Gives plots/images/*.png, the same bytes for the same inputs: one style, one font, no metadata.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import confusion_matrix

from digits.arrays import read_images, read_split
from digits.calibration import expected_calibration_error, reliability
from digits.command import Refusal
from digits.dataset import CLASSES
from digits.drawing import QUIET, draw_architecture, draw_digits, draw_weights, use_style, write_figure
from digits.files import read_array, read_table
from digits.parameters import read_parameters
from stages import run

IMAGES = Path("plots/images")
FIRST_KERNEL = Path("models/first_kernel.npy")
HISTORY = Path("plots/history.csv")
HISTORY_COLUMNS = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"]
LAYERS = Path("models/layers.csv")
PREDICTIONS = Path("plots/predictions.csv")

TRAINING, VALIDATION = "#1f77b4", "#ff7f0e"


def draw_samples(images: np.ndarray, labels: np.ndarray) -> Figure:
    """Draw the first two training images of each digit, as far as there are two."""
    firsts = [np.flatnonzero(labels == digit)[:2] for digit in range(CLASSES)]
    chosen = [first[row] for row in range(2) for first in firsts if row < len(first)]
    return draw_digits(images[chosen], [str(labels[index]) for index in chosen], CLASSES, "Training digits")


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
