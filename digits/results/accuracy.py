"""How far an accuracy can be believed."""

from scipy.stats import binomtest


def wilson_interval(right: int, images: int) -> tuple[float, float]:
    """The 95% Wilson interval of an accuracy.

    Were it taken from many test sets of this kind and size, each with its own interval, 95 in 100 of the intervals
    would hold the accuracy on all images of the kind (Wilson 1927).

    Args:
        right: how many images were recognized, 0 <= right <= images.
        images: how many there were, at least one.

    Returns:
        Its lower and its upper bound, in [0, 1].
    """
    interval = binomtest(right, images).proportion_ci(confidence_level=0.95, method="wilson")
    return float(interval.low), float(interval.high)
