"""Measure the trained network on the test split.

Takes models/model.keras and data/prepared/test_*.npy.
Gives metrics/test.json, plots/predictions.csv (a row a test image, in order) and plots/classes.csv (a row a digit).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, precision_recall_fscore_support

from digits import network
from digits.accuracy import wilson_interval
from digits.arrays import read_split
from digits.calibration import expected_calibration_error, reliability
from digits.dataset import CLASSES
from digits.files import write_json, write_table
from digits.parameters import read_parameters
from stages import run

METRICS = Path("metrics/test.json")
PREDICTIONS = Path("plots/predictions.csv")
CLASS_TABLE = Path("plots/classes.csv")
DIGITS = range(CLASSES)


def predict(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """What the network says of each image.

    Args:
        probabilities: shape (n, 10), rows that sum to 1.
        labels: shape (n,), the truth.

    Returns:
        A row an image, in order: `actual`, `predicted`, `confidence` (the predicted class's probability).
    """
    confidence = probabilities.max(axis=1).round(6)
    return pd.DataFrame({"actual": labels, "predicted": probabilities.argmax(axis=1), "confidence": confidence})


def score_classes(predictions: pd.DataFrame) -> pd.DataFrame:
    """A row a digit: `digit`, `precision`, `recall`, `f1`, `support`. What has no images to measure on is 0."""
    precision, recall, f1, support = precision_recall_fscore_support(
        predictions["actual"], predictions["predicted"], labels=DIGITS, zero_division=0
    )
    scores = {"digit": DIGITS, "precision": precision, "recall": recall, "f1": f1, "support": support}
    return pd.DataFrame(scores).round(6)


def score(log_probabilities: np.ndarray, predictions: pd.DataFrame) -> dict[str, float]:
    """The numbers of metrics/test.json.

    `accuracy_low` and `accuracy_high` bound the accuracy's 95% Wilson interval. `loss` is the cross-entropy whole,
    where scikit-learn's log_loss takes probabilities and ends at 36.

    Args:
        log_probabilities: shape (n, 10), the logarithms of what `predict` was given.
        predictions: what it gave.
    """
    actual, predicted = predictions["actual"], predictions["predicted"]
    correct = (actual == predicted).to_numpy()
    low, high = wilson_interval(int(correct.sum()), len(correct))
    numbers = {
        "accuracy": correct.mean(),
        "accuracy_low": low,
        "accuracy_high": high,
        "loss": -log_probabilities[np.arange(len(actual)), actual].mean(),
        "macro_f1": f1_score(actual, predicted, labels=DIGITS, average="macro", zero_division=0),
        "calibration_error": expected_calibration_error(reliability(predictions["confidence"].to_numpy(), correct)),
    }
    return {name: round(float(number), 6) for name, number in numbers.items()} | {"errors": int((~correct).sum())}


def main() -> None:
    parameters = read_parameters()
    images, labels = read_split("test")
    network.compute_reproducibly(parameters.seed, parameters.threads)
    log_probabilities = network.log_probabilities(network.load(), images)

    predictions = predict(np.exp(log_probabilities), labels)
    numbers = score(log_probabilities, predictions)
    write_table(PREDICTIONS, predictions)
    write_table(CLASS_TABLE, score_classes(predictions))
    write_json(METRICS, numbers)
    print(
        f"accuracy {numbers['accuracy']:.2%} ({numbers['accuracy_low']:.2%} to {numbers['accuracy_high']:.2%}), "
        f"{numbers['errors']} errors in {len(labels):,} images"
    )


if __name__ == "__main__":
    run(main)
