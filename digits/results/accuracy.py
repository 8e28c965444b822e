"""How far an accuracy can be believed, and why it may be no better."""

from scipy.stats import binomtest

FITTED = 0.9  # a network that knows less of its own training images has not come to the end of what it could learn
BY_HEART = 0.05  # by which the accuracy on training images passes the interval of that on others


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


def shortcomings(accuracy: float, high: float, guessed: float, trained: float) -> list[str]:
    """Why an accuracy cannot be good, in words for a person; nothing where nothing speaks against it.

    Args:
        accuracy: on the test images.
        high: of its interval.
        guessed: the accuracy of naming one class always, the commonest; 1 where no other is there to be told from it.
        trained: the accuracy on the training images, as they were seen in the epoch that is kept.
    """
    found = []
    if accuracy <= guessed < 1:
        found.append(f"to name the commonest class always is right for {guessed:.1%}: nothing was learned that helps")
    if max(accuracy, trained) < FITTED:
        found.append(
            f"even of the images it trains on it knew no more than {trained:.1%}: more epochs or least_steps, "
            "another learning_rate or another network may help"
        )
    elif trained - high > BY_HEART:
        found.append(
            f"of the images it trains on it knew {trained:.1%}, so it has learned them by heart: more images help "
            "most, layers that vary them, as few-pictures has, or a weight_decay"
        )
    return found
