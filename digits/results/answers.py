"""What is said of a network's answer, by whichever command."""

import numpy as np

IN_DOUBT = 0.9  # below this confidence the runner-up is named too


def two_best(probabilities: np.ndarray) -> tuple[int, int]:
    """The places of the largest and of the second largest of an image's probabilities, shape (classes,)."""
    runner_up, best = np.argsort(probabilities, kind="stable")[-2:]
    return int(best), int(runner_up)


def in_doubt(probabilities: np.ndarray) -> bool:
    """Whether the answer is to name the runner-up, too."""
    return bool(probabilities.max() < IN_DOUBT)


def sentence(probabilities: np.ndarray, classes: list[str]) -> str:
    """What the network says of an image, as `7 (98.2%)`, or as `7 (61.0%), or 1 (35.2%)` where it is in doubt."""
    found, runner_up = two_best(probabilities)
    said = f"{classes[found]} ({probabilities[found]:.1%})"
    return f"{said}, or {classes[runner_up]} ({probabilities[runner_up]:.1%})" if in_doubt(probabilities) else said


def entry(path: str, probabilities: np.ndarray, classes: list[str]) -> dict[str, object]:
    """An answer for programs: path, class, confidence, probabilities by class.

    Args:
        path: of the picture.
        probabilities: shape (classes,).
        classes: their names.
    """
    by_class = dict(zip(classes, probabilities.round(6).tolist(), strict=True))
    best = classes[two_best(probabilities)[0]]
    return {"path": path, "class": best, "confidence": by_class[best], "probabilities": by_class}
