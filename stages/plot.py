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

from digits.arrays import read_images, read_split, read_task
from digits.calibration import expected_calibration_error, reliability
from digits.command import Refusal
from digits.drawing import (
    QUIET,
    caption,
    draw_architecture,
    draw_images,
    draw_weights,
    shortened,
    use_style,
    write_figure,
)
from digits.files import read_array, read_table
from digits.parameters import read_parameters
from stages import run

IMAGES = Path("plots/images")
FIRST_KERNEL = Path("models/first_kernel.npy")
HISTORY = Path("plots/history.csv")
HISTORY_COLUMNS = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate"]
LAYERS = Path("models/layers.csv")
PREDICTIONS = Path("plots/predictions.csv")

FEW_CLASSES = 15  # whose confusion has room for every count
MANY_CLASSES = 60  # whose confusion is no matrix that could be read
MOST_SAMPLES, MOST_MISTAKES = 60, 30

TRAINING, VALIDATION = "#1f77b4", "#ff7f0e"


def draw_samples(images: np.ndarray, labels: np.ndarray, classes: list[str]) -> Figure:
    """Draw the first two training images of each class, as far as there are two; of many classes, the first one."""
    each, columns = (2, len(classes)) if len(classes) <= FEW_CLASSES else (1, 10)
    firsts = [np.flatnonzero(labels == label)[:each] for label in range(min(len(classes), MOST_SAMPLES))]
    chosen = [first[row] for row in range(each) for first in firsts if row < len(first)]
    captions = [caption(classes[labels[index]]) for index in chosen]
    some = f": {MOST_SAMPLES} of {len(classes)} classes" if len(classes) > MOST_SAMPLES else ""
    return draw_images(images[chosen], captions, max(columns, 6), f"Training images{some}")


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


def draw_confusion(predictions: pd.DataFrame, classes: list[str]) -> Figure:
    """Draw how the images of each class were read: counts, colored by their share of the class."""
    if len(classes) > MANY_CLASSES:
        return draw_mistakes(predictions)
    few = len(classes) <= FEW_CLASSES
    counts = confusion_matrix(predictions["actual"], predictions["predicted"], labels=classes)
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
    figure.suptitle("Confusion on the test images")
    return figure


def draw_mistakes(predictions: pd.DataFrame) -> Figure:
    """Draw the most frequent mistakes, as bars: the confusion of classes too many for a matrix."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    pairs = wrong.groupby(["actual", "predicted"]).size().sort_values(ascending=False, kind="stable")[:MOST_MISTAKES]
    figure, axis = plt.subplots(figsize=(9, 1.5 + 0.25 * len(pairs)))
    axis.barh(range(len(pairs)), pairs.to_numpy(), color=TRAINING)
    names = [f"{shortened(actual, 24)} read as {shortened(predicted, 24)}" for actual, predicted in pairs.index]
    axis.set_yticks(range(len(pairs)), names, parse_math=False)
    axis.set(xlabel="test images", ylim=(len(pairs) - 0.4, -0.6))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(f"The most frequent of {len(wrong):,} mistakes in {len(predictions):,} test images")
    return figure


def draw_predictions(images: np.ndarray, predictions: pd.DataFrame, title: str) -> Figure:
    """Draw test images with what the network said of them; `predictions` is indexed by their place in `images`."""
    columns = (predictions[name] for name in ("actual", "predicted", "confidence"))
    short = max(map(len, pd.unique(predictions[["actual", "predicted"]].to_numpy().ravel())), default=0) <= 3
    captions = [
        f"{caption(found)}{' ' if short else chr(10)}({sure:.1%})\nis {caption(truth)}"
        for truth, found, sure in zip(*columns, strict=True)
    ]
    return draw_images(images[predictions.index], captions, 10, title)


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

    classes = read_task().classes
    predictions = read_table(PREDICTIONS, {"actual": str, "predicted": str, "confidence": float})
    test_images = read_images("test")
    if len(predictions) != len(test_images):
        raise Refusal(f"{PREDICTIONS} has {len(predictions):,} rows for {len(test_images):,} test images")
    correct = predictions["actual"] == predictions["predicted"]
    right, wrong = predictions[correct], predictions[~correct].sort_values("confidence", ascending=False, kind="stable")
    most = plot.mistakes

    shape = test_images.shape[1:]
    layers = read_table(LAYERS, {"layer": str, "output": str, "parameters": int})
    save(draw_samples(*read_split("train", len(classes)), classes), "samples", plot.dpi)
    save(draw_architecture(layers, shape), "architecture", plot.dpi)
    save(draw_weights(read_array(FIRST_KERNEL), shape), "weights", plot.dpi)
    save(draw_curves(read_table(HISTORY, dict.fromkeys(HISTORY_COLUMNS, float))), "curves", plot.dpi)
    save(draw_confusion(predictions, classes), "confusion", plot.dpi)
    save(draw_predictions(test_images, right[:most], f"Recognized: the first of {len(right):,}"), "correct", plot.dpi)
    title = f"Misread: the most confident of {len(wrong):,}"
    save(draw_predictions(test_images, wrong[:most], title), "misclassified", plot.dpi)
    save(draw_calibration(predictions), "calibration", plot.dpi)


if __name__ == "__main__":
    run(main)
