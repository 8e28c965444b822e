import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from stages import evaluate


def some_probabilities(labels: np.ndarray, right: int) -> np.ndarray:
    """Probabilities whose largest is 0.91, at the label for the first `right` rows and at the next digit after."""
    predicted = np.where(np.arange(len(labels)) < right, labels, (labels + 1) % 10)
    return np.where(np.arange(10) == predicted[:, None], 0.91, 0.01)


NAMES = [f"the {digit}" for digit in range(10)]
LABELS = np.tile(np.arange(10, dtype=np.uint8), 20)


def test_the_numbers_are_those_of_their_definitions():
    probabilities = some_probabilities(LABELS, 190)
    predictions = evaluate.predict(probabilities, LABELS, NAMES)
    assert list(predictions.columns) == ["actual", "predicted", "confidence"]
    numbers = evaluate.score(np.log(probabilities), predictions, NAMES)
    predicted = probabilities.argmax(axis=1)
    assert numbers["accuracy"] == accuracy_score(LABELS, predicted) == 0.95
    assert numbers["errors"] == 10
    assert numbers["cross_entropy"] == pytest.approx(-(190 * np.log(0.91) + 10 * np.log(0.01)) / 200, abs=1e-6)
    assert numbers["macro_f1"] == pytest.approx(f1_score(LABELS, predicted, average="macro"), abs=1e-6)
    assert numbers["calibration_error"] == pytest.approx(0.95 - 0.91, abs=1e-6)


def test_the_loss_of_a_confident_mistake_is_whole():
    """Its probability is 0 in any number of bits; scikit-learn would have it cost 36."""
    log_probabilities = np.full((2, 10), -5000.0)
    log_probabilities[:, 3] = 0
    labels = np.array([3, 4], np.uint8)
    numbers = evaluate.score(log_probabilities, evaluate.predict(np.exp(log_probabilities), labels, NAMES), NAMES)
    assert numbers["cross_entropy"] == 2500


def test_the_interval_is_wilsons():
    """Against the formula (Wilson 1927), and within [0, 1] where a normal interval is not."""
    for right in (190, 200):
        probabilities = some_probabilities(LABELS, right)
        numbers = evaluate.score(np.log(probabilities), evaluate.predict(probabilities, LABELS, NAMES), NAMES)
        n, p, z = 200, right / 200, 1.959964
        centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        assert numbers["accuracy_low"] == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-6)
        assert numbers["accuracy_high"] == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-6)
        assert numbers["accuracy_high"] <= 1


def test_every_digit_has_its_row_even_without_images():
    labels = np.array([1, 1, 2], np.uint8)
    table = evaluate.score_classes(evaluate.predict(some_probabilities(labels, 2), labels, NAMES), NAMES)
    assert table["class"].tolist() == NAMES
    assert table["support"].tolist() == [0, 2, 1, 0, 0, 0, 0, 0, 0, 0]
    assert table.loc[1, ["precision", "recall", "f1"]].tolist() == [1, 1, 1]
    assert table.loc[2, ["precision", "recall", "f1"]].tolist() == [0, 0, 0]


def test_the_mean_over_classes_is_of_those_that_have_test_images():
    labels = np.array([1, 1, 2], np.uint8)
    probabilities = some_probabilities(labels, 3)
    numbers = evaluate.score(np.log(probabilities), evaluate.predict(probabilities, labels, NAMES), NAMES)
    assert (numbers["errors"], numbers["macro_f1"]) == (0, 1)


def test_each_source_of_a_joined_dataset_has_its_accuracy():
    predictions = evaluate.predict(some_probabilities(LABELS, 190), LABELS, NAMES)
    found = evaluate.score_sources(predictions, {"mnist": 180, "none": 0, "own": 20})
    assert {name: numbers["accuracy"] for name, numbers in found.items()} == {"mnist": 1, "own": 0.5}
    assert found["own"]["accuracy_low"] < 0.5 < found["own"]["accuracy_high"]
