"""Measure the trained network on the test split.

Takes models/model.keras, data/prepared/test_*.npy, data/prepared/images.csv, for the labels that were corrected,
metrics/data.json, for how many test images are of which source, and metrics/test_images.csv, for the names of a
person's own.
Gives metrics/test.json, plots/predictions.csv (a row a test image, in order) and plots/classes.csv (a row a class).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, precision_recall_fscore_support

from digits.data.measured import DATA, TEST_IMAGES, images_by_source, parse_test_images
from digits.data.prepared import read_image_table, read_split
from digits.foundation.command import Refusal
from digits.foundation.files import write_json
from digits.foundation.parameters import read_parameters
from digits.foundation.tables import write_table
from digits.network import archive, inference, reproducibility
from digits.results.accuracy import wilson_interval
from digits.results.calibration import expected_calibration_error, reliability
from digits.results.predictions import PREDICTIONS
from stages import run

METRICS = Path("metrics/test.json")
CLASS_TABLE = Path("plots/classes.csv")


def predict(probabilities: np.ndarray, labels: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """What the network says of each image.

    Args:
        probabilities: shape (n, classes), rows that sum to 1.
        labels: shape (n,), the truth.
        classes: their names.

    Returns:
        A row an image, in order: the classes `actual` and `predicted`, `confidence` (the predicted one's probability).
    """
    names = np.array(classes)
    confidence = probabilities.max(axis=1).round(6)
    found = names[probabilities.argmax(axis=1)]
    return pd.DataFrame({"actual": names[labels], "predicted": found, "confidence": confidence})


def score_classes(predictions: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """A row a class: `class`, `precision`, `recall`, `f1`, `support`. What has no images to measure on is 0."""
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions["actual"], predictions["predicted"], labels=classes, zero_division=0
    )
    scores = {"class": classes, "precision": precision, "recall": recall, "f1": f1, "support": support}
    return pd.DataFrame(scores).round(6)


def score_accuracy(correct: np.ndarray) -> dict[str, float]:
    """The accuracy of predictions, bool of shape (n,), and the bounds of its 95% Wilson interval."""
    low, high = wilson_interval(int(correct.sum()), len(correct))
    numbers = {"accuracy": correct.mean(), "accuracy_low": low, "accuracy_high": high}
    return {name: round(float(number), 6) for name, number in numbers.items()}


def score(log_probabilities: np.ndarray, predictions: pd.DataFrame, classes: list[str]) -> dict[str, object]:
    """The numbers of metrics/test.json.

    `cross_entropy` is whole, where scikit-learn's log_loss takes probabilities and ends at 36. `macro_f1` is
    the mean over the classes that have test images: of the others nothing was measured.

    Args:
        log_probabilities: shape (n, classes), the logarithms of what `predict` was given.
        predictions: what it gave.
        classes: their names.
    """
    actual, predicted = predictions["actual"], predictions["predicted"]
    correct = (actual == predicted).to_numpy()
    labels = actual.map({name: label for label, name in enumerate(classes)})
    numbers = {
        "cross_entropy": -log_probabilities[np.arange(len(actual)), labels].mean(),
        "macro_f1": f1_score(actual, predicted, labels=np.unique(actual), average="macro", zero_division=0),
        "calibration_error": expected_calibration_error(reliability(predictions["confidence"].to_numpy(), correct)),
    }
    rounded = {name: round(float(number), 6) for name, number in numbers.items()}
    return {**score_accuracy(correct), **rounded, "errors": int((~correct).sum())}


def score_sources(predictions: pd.DataFrame, images: dict[str, int]) -> dict[str, dict[str, float]]:
    """The accuracy on the test images of each source that has any.

    Args:
        predictions: as `predict` gives them.
        images: how many each source has, in order.
    """
    correct = (predictions["actual"] == predictions["predicted"]).to_numpy()
    parts = np.split(correct, np.cumsum(list(images.values()))[:-1])
    return {name: score_accuracy(part) for name, part in zip(images, parts, strict=True) if len(part)}


def score_as_published(probabilities: np.ndarray, images: pd.DataFrame, classes: list[str]) -> dict[str, float]:
    """The accuracy by the labels that the test images came with, where any of these was corrected: else nothing.

    So that no correction makes a figure better in silence.

    Args:
        probabilities: shape (n, classes), also of the images that are left out.
        images: their rows of data/prepared/images.csv.
        classes: their names.
    """
    if images["was"].equals(images["is"]):
        return {}
    correct = np.array(classes)[probabilities.argmax(axis=1)] == images["was"]
    return {"accuracy_as_published": round(float(correct.mean()), 6)}


def main() -> None:
    parameters = read_parameters()
    reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
    classifier = archive.load()
    classes = classifier.task.classes
    images, labels = read_split("test", len(classes))
    table = read_image_table("test", len(images))
    counted = int((table["is"] != "").sum())  # those that are left out stand behind them
    files = parse_test_images(TEST_IMAGES.read_bytes(), str(TEST_IMAGES)).drop(columns="image")
    if len(files) != counted:
        raise Refusal(f"{TEST_IMAGES} has {len(files):,} rows for {counted:,} test images")
    log_probabilities = inference.log_probabilities(classifier.model, images)

    predictions = predict(np.exp(log_probabilities[:counted]), labels[:counted], classes)
    numbers = score(log_probabilities[:counted], predictions, classes)
    numbers |= score_as_published(log_probabilities, table, classes)
    sources = images_by_source(DATA.read_bytes(), str(DATA))
    if len(sources) > 1:
        numbers["sources"] = score_sources(predictions, sources)
    write_table(PREDICTIONS, predictions.join(files))
    write_table(CLASS_TABLE, score_classes(predictions, classes))
    write_json(METRICS, numbers)
    print(
        f"accuracy {numbers['accuracy']:.2%} ({numbers['accuracy_low']:.2%} to {numbers['accuracy_high']:.2%}), "
        f"{numbers['errors']} errors in {counted:,} images"
    )


if __name__ == "__main__":
    run(main)
