"""What the images with the most alike edges are called: a second opinion on labels, beside the networks'.

Where errors are in the labels, a network has learned some of them, and what it misreads by itself stands before them in
a ranking. Neighbors by histograms of oriented gradients (Dalal and Triggs, CVPR 2005) misread other images.
benchmarks/results/labels.csv has how many planted errors come first by the networks alone, and by both.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from commands.review.relatives import nearest
from digits.foundation.command import progress

# Found on MNIST with planted errors, by mlp and convnet.
NEIGHBORS = 15
DIRECTIONS = 12
DOUBLINGS = 4  # of the power of the cosine between an edge and a direction by which it is counted
CELLS = 6  # to each side, as soft as wide
BLUR = 0.018  # of the image's side, half a pixel at least
LENGTH = 1000  # of a histogram in whole numbers, whose products every processor sums up alike
FALL = 20  # of a neighbor's weight with its distance, as 1 less the cosine
PART = 1024  # images of which edges are found at a time


def histograms(images: np.ndarray) -> np.ndarray:
    """Where an image has edges of which direction, whatever its contrast.

    Args:
        images: float32 of shape (n, height, width, channels) in [0, 1].

    Returns:
        Whole numbers as float32 of shape (n, CELLS * CELLS * DIRECTIONS), rows about LENGTH long.
    """
    parts = [_histograms(images[start : start + PART].mean(axis=3)) for start in range(0, len(images), PART)]
    return np.concatenate(parts)


def _histograms(images: np.ndarray) -> np.ndarray:
    sides = np.array(images.shape[1:])
    above, beside = (_window(side) for side in sides)
    blur = (0, *np.maximum(BLUR * sides, 0.5))
    down, across = (gaussian_filter(images, blur, order=order) for order in ((0, 1, 0), (0, 0, 1)))
    steepness = np.hypot(down, across) + 1e-9
    found = []
    for angle in np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS:
        cosine = np.maximum(down * np.sin(angle) + across * np.cos(angle), 0) / steepness
        for _ in range(DOUBLINGS):
            cosine *= cosine
        found.append(above @ (steepness * cosine) @ beside.T)
    flat = np.sqrt(found).transpose(1, 2, 3, 0).reshape(len(images), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    lengths = np.sqrt((flat**2).sum(axis=1, keepdims=True))
    return np.rint(LENGTH * flat / np.maximum(lengths, 1e-6)).astype(np.float32)


def _window(side: int) -> np.ndarray:
    """How much each of the pixels along a side counts for each cell: float64 of shape (CELLS, side)."""
    width = side / CELLS
    distance = (np.arange(side) + 0.5) - (np.arange(CELLS)[:, None] + 0.5) * width
    weights = np.exp(-2 * (distance / width) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def votes(images: np.ndarray, labels: np.ndarray, taught: np.ndarray, classes: int) -> np.ndarray:
    """How the neighbors of each image are called, the image itself left out.

    Args:
        images: float32 of shape (n, height, width, channels) in [0, 1].
        labels: integers of shape (n,).
        taught: bool of shape (n,), which of them may be neighbors.
        classes: how many there are.

    Returns:
        Probabilities of shape (n, classes).
    """
    features, everyone = histograms(images), np.arange(len(images))
    with progress(total=len(images), unit="images") as bar:
        near = nearest(features, everyone, np.flatnonzero(taught), NEIGHBORS, bar.update)
    found = np.full((len(images), classes), 1e-9)
    for some in np.array_split(everyone, -(-len(everyone) // PART)):
        cosines = np.einsum("nf,nkf->nk", features[some], features[near[some]]) / LENGTH**2
        np.add.at(found, (some[:, None], labels[near[some]]), np.exp(FALL * (cosines - 1)))
    return found / found.sum(axis=1, keepdims=True)


def together(probabilities: np.ndarray, votes: np.ndarray, labels: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """The networks' probabilities and the neighbors', each by how seldom it contradicts the labels of the `taught`.

    Args:
        probabilities: shape (n, classes).
        votes: likewise.
        labels: integers of shape (n,).
        taught: bool of shape (n,).
    """
    networks, neighbors = (
        (said[taught].argmax(axis=1) != labels[taught]).mean() + 1e-6 for said in (probabilities, votes)
    )
    share = networks / (networks + neighbors)
    return (1 - share) * probabilities + share * votes
