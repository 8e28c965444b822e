import numpy as np
import pytest

from digits.results.calibration import BINS, expected_calibration_error, reliability


def test_bins_compare_confidence_with_accuracy():
    confidence = np.array([0.5, 0.52, 0.99, 1.0, 1.0])
    correct = np.array([True, False, True, True, False])
    bins = reliability(confidence, correct)
    assert bins["count"].tolist() == [2, 3]
    assert bins["confidence"].tolist() == pytest.approx([0.51, 2.99 / 3])
    assert bins["accuracy"].tolist() == pytest.approx([0.5, 2 / 3])
    assert expected_calibration_error(bins) == pytest.approx((2 * 0.01 + 3 * (2.99 / 3 - 2 / 3)) / 5)


def test_a_network_that_is_right_as_often_as_it_says_has_no_error():
    confidence = np.full(10, 0.8)
    assert expected_calibration_error(reliability(confidence, np.arange(10) < 8)) == pytest.approx(0)


def test_each_of_the_bins_is_reached():
    confidence = (np.arange(BINS) + 0.5) / BINS
    assert len(reliability(confidence, confidence > 0)) == BINS
