"""Draw the data, the network, its training and its results.

Takes what the stages before wrote: training and test images, plots/*.csv and the first layer's weights.
Gives plots/images/*.png, the same bytes for the same inputs: one style, one font, no metadata.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from digits.data.prepared import read_image_table, read_images, read_split, read_task
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.files import read_array
from digits.foundation.parameters import read_parameters
from digits.foundation.tables import read_table
from digits.results.calibration import BINS, expected_calibration_error, reliability
from digits.results.drawing import (
    BLUE,
    FEW_CLASSES,
    QUIET,
    caption,
    draw_architecture,
    draw_confusion,
    draw_images,
    draw_weights,
    file_caption,
    use_style,
    write_figure,
)
from digits.results.predictions import PREDICTIONS, misread, read_predictions
from stages import run

IMAGES = Path("plots/images")
FIRST_KERNEL = Path("models/first_kernel.npy")
HISTORY = Path("plots/history.csv")
HISTORY_COLUMNS = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "val_cross_entropy", "learning_rate"]
BEST = "best_epoch"  # the last column, where the best epoch was kept
LAYERS = Path("models/layers.csv")

MOST_SAMPLES = 60

TRAINING, VALIDATION = BLUE, "#ff7f0e"


def draw_samples(images: np.ndarray, labels: np.ndarray, task: Task) -> Figure:
    """Draw the first two training images of each class, as far as there are two; of many classes, the first one."""
    classes = task.classes
    each, columns = (2, len(classes)) if len(classes) <= FEW_CLASSES else (1, 10)
    firsts = [np.flatnonzero(labels == label)[:each] for label in range(min(len(classes), MOST_SAMPLES))]
    chosen = [first[row] for row in range(each) for first in firsts if row < len(first)]
    captions = [caption(classes[labels[index]]) for index in chosen]
    some = f": {MOST_SAMPLES} of {len(classes)} classes" if len(classes) > MOST_SAMPLES else ""
    return draw_images(images[chosen], task.ink, captions, max(columns, 6), f"Training images{some}")


def read_history() -> pd.DataFrame:
    """The rows that `train` wrote, of numbers alone."""
    found = HISTORY.read_bytes().partition(b"\n")[0].endswith(f",{BEST}".encode())
    return read_table(HISTORY, dict.fromkeys([*HISTORY_COLUMNS, *[BEST] * found], float))


def draw_curves(history: pd.DataFrame) -> Figure:
    """Draw accuracy and loss over the epochs, in training and in validation, where there is any; mark the best one."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4))
    for axis, metric in zip(axes, ("accuracy", "loss"), strict=True):
        for column, name, color in ((metric, "training", TRAINING), (f"val_{metric}", "validation", VALIDATION)):
            if history[column].notna().any():
                axis.plot(history["epoch"], history[column], marker="o", markersize=4, color=color, label=name)
        if BEST in history:
            axis.axvline(history[BEST].iloc[-1], color="grey", linestyle="--", label="kept")
        axis.set(title=metric.capitalize(), xlabel="epoch", ylabel=metric)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(True)
        axis.legend()
    figure.suptitle("Training")
    return figure


def told(what: str, which: str, images: int, most: int) -> str:
    """A title for so many images, of which at most `most` are drawn: `which` ones they are, if not all."""
    if images < 2:
        return f"{what}: {'one' if images else 'none'} of the test images"
    return f"{what}: all {images:,}" if images <= most else f"{what}: {which} of {images:,}"


def draw_predictions(images: np.ndarray, ink: bool, predictions: pd.DataFrame, title: str) -> Figure:
    """Draw test images with what the network said of them, and where that is wrong, with what they are and their files.

    Where a label was corrected, what it was stands there, too.

    Args:
        images: shape (n, height, width, channels).
        ink: whether they are, as `Task.ink` says.
        predictions: of those to draw, indexed by their places in `images`; `was` has the labels as they were delivered.
        title: of the picture.
    """
    columns = (predictions[name] for name in ("actual", "predicted", "confidence"))
    short = max(map(len, pd.unique(predictions[["actual", "predicted"]].to_numpy().ravel())), default=0) <= 3
    files = predictions["file"] if "file" in predictions else [""] * len(predictions)
    delivered = predictions["was"] if "was" in predictions else predictions["actual"]
    captions = []
    for truth, found, sure, file, was in zip(*columns, files, delivered, strict=True):
        said = f"{caption(found)}{' ' if short else chr(10)}({sure:.1%})"
        named = f"\n{file_caption(file)}" if file else ""
        corrected = "" if was == truth else f"\nwas {caption(was)}"
        captions.append(f"{said}{corrected}" if found == truth else f"{said}\nis {caption(truth)}{corrected}{named}")
    return draw_images(images[predictions.index], ink, captions, 10, title)


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
    lower.bar((bins.index + 0.5) / BINS, bins["count"], width=0.9 / BINS, color=TRAINING)
    lower.set(xlabel="confidence", ylabel="images", yscale="log", ylim=(0.5, None))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
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

    task = read_task()
    classes = task.classes
    predictions = read_predictions()
    test_images = read_images("test")
    if len(predictions) > len(test_images):  # of which those that are left out stand behind the others
        raise Refusal(f"{PREDICTIONS} has {len(predictions):,} rows for {len(test_images):,} test images")
    labels = read_image_table("test", len(test_images)).loc[: len(predictions) - 1]
    predictions["was"] = labels["was"]
    right, wrong = predictions[predictions["actual"] == predictions["predicted"]], misread(predictions)
    most = plot.mistakes

    shape = test_images.shape[1:]
    layers = read_table(LAYERS, {"layer": str, "output": str, "parameters": int})
    save(draw_samples(*read_split("train", len(classes)), task), "samples", plot.dpi)
    save(draw_architecture(layers, shape), "architecture", plot.dpi)
    save(draw_weights(read_array(FIRST_KERNEL), shape), "weights", plot.dpi)
    save(draw_curves(read_history()), "curves", plot.dpi)
    corrected = int((labels["was"] != labels["is"]).sum())
    save(draw_confusion(predictions, classes, corrected), "confusion", plot.dpi)
    for name, some, title in (
        ("correct", right, told("Recognized", "the first", len(right), most)),
        ("misclassified", wrong, told("Misread", "the most confident", len(wrong), most)),
    ):
        save(draw_predictions(test_images, task.ink, some[:most], title), name, plot.dpi)
    save(draw_calibration(predictions), "calibration", plot.dpi)


if __name__ == "__main__":
    run(main)
