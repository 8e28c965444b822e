"""How far an accuracy can be believed."""

from scipy.stats import binomtest


def wilson_interval(right: int, images: int) -> tuple[float, float]:
    """The 95% Wilson interval of an accuracy.

    Other images of the same kind would give an accuracy within such an interval 95 times in 100.

    Args:
        right: how many images were recognized, 0 <= right <= images.
        images: how many there were, at least one.

    Returns:
        Its lower and its upper bound, in [0, 1].
    """
    interval = binomtest(right, images).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)
