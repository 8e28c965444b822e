"""Doubtful labels without a network: images that are made up, and probabilities that say which labels are wrong."""

import hashlib
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from commands.review.decisions import Review, doubtful
from commands.review.suspects import Images, rank
from digits.data.task import Task
from digits.foundation.parameters import Framing
from tests.commands.strokes import DIGITS

IDENTITIES = [hashlib.blake2b(bytes([number]), digest_size=8).hexdigest() for number in range(256)]


def review(classes: list[str], framing: Framing = "digit", doubts: int = 6, images: int = 60, side: int = 28) -> Review:
    """Some images, of which the first ones are labelled as the class that follows theirs, the first with most doubt."""
    places = np.arange(images)
    labels = np.random.default_rng(1).permutation(places % len(classes)).astype(np.uint8)
    probabilities = np.full((images, len(classes)), 0.01 / len(classes))
    probabilities[places, (labels + 2) % len(classes)] += 0.01
    probabilities[places, (labels + 3) % len(classes)] += 0.006
    probabilities[places, labels] = 0.97 - 0.004 * places
    wrong = np.where(places < doubts, (labels + 1) % len(classes), labels)
    delivered = np.array(classes)[wrong]
    splits = np.array(["train", "test", "validation"])[places % 3]
    table = pd.DataFrame(
        {"split": splits, "dataset": "made-up", "image": IDENTITIES[:images], "was": delivered, "is": delivered,
         "file": [f"{name}/a day at the sea/photograph {place}.jpeg" * (framing == "whole")
                  for place, name in enumerate(delivered)]}
    )  # fmt: skip
    everything = Images(Task(classes, framing), drawn(tuple(labels), framing, side), wrong, table)
    ranked = doubtful(rank(everything, probabilities, {}), doubts)
    near = [np.argsort(labels != labels[place], kind="stable")[:8] for place in ranked["place"]]
    return Review(everything, ranked, probabilities, np.stack(near))


@cache
def drawn(labels: tuple[int, ...], framing: Framing, side: int) -> np.ndarray:
    """A digit or a photograph for each label."""
    chance = np.random.default_rng(1)
    if framing == "digit":
        return np.stack([digit(str(label % 10), chance) for label in labels])
    return np.stack([photograph(label, side, chance) for label in labels])


def digit(name: str, chance: np.random.Generator) -> np.ndarray:
    """A digit as the pipeline holds it, in strokes two pixels wide: float32 of shape (28, 28, 1)."""
    pairs = [pair for stroke in DIGITS[name] for pair in pairwise(stroke)]
    x, y = np.concatenate([np.linspace(start, end, 1 + int(24 * np.hypot(*np.subtract(end, start))) + 1)
                           for start, end in pairs]).T  # fmt: skip
    down, across = np.indices((28, 28))[..., None]
    far = np.hypot(across - 5 - 18 * (x + chance.uniform(-0.2, 0.2) * (y - 0.5)), down - 4 - 20 * y).min(axis=-1)
    return np.clip(1.8 - far, 0, 1)[..., None].astype(np.float32)


def photograph(label: int, side: int, chance: np.random.Generator) -> np.ndarray:
    """Something round before something else, in colors: float32 of shape (side, side, 3)."""
    down, across = np.indices((side, side)) / side
    colors = chance.uniform(0, 1, (2, 3))
    inside = np.hypot(across - 0.5, down - 0.5) < 0.2 + 0.02 * (label % 10)
    picture = np.where(inside[..., None], colors[0], colors[1]) * (0.6 + 0.4 * down[..., None])
    return np.clip(picture + chance.normal(0, 0.03, picture.shape), 0, 1).astype(np.float32)
