"""How far a network's confidence can be believed."""

import numpy as np
import pandas as pd

BINS = 15


def reliability(confidence: np.ndarray, correct: np.ndarray) -> pd.DataFrame:
    """Compare confidence with accuracy in 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599).

    Args:
        confidence: the probability of the predicted class, shape (n,), in [0, 1].
        correct: whether the prediction is right, bool of shape (n,).

    Returns:
        A row for each bin that has images, in order: mean `confidence`, `accuracy`, `count`.
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    table = pd.DataFrame({"bin": bins, "confidence": confidence, "correct": correct})
    return table.groupby("bin").agg(
        confidence=("confidence", "mean"), accuracy=("correct", "mean"), count=("correct", "size")
    )


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """The mean distance of confidence and accuracy over all images, in [0, 1], from the table of `reliability`."""
    return float(np.average((bins["confidence"] - bins["accuracy"]).abs(), weights=bins["count"]))
