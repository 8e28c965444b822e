"""Which images are alike: by what the network makes of them before it decides."""

from collections.abc import Callable

import numpy as np

from digits.foundation.files import release
from digits.network.inference import FORWARD_BATCH
from digits.network.tensorflow import keras, tf

PART = 200  # images that are compared with all others at a time; 2,000 would take 1.7 GB more for MNIST
BLOCK = 128  # of these that have their highest value looked for
LOOKED_AT = 3  # relatives of which the pixels are compared
SHIFT = 2  # pixels to each side
NEARLY = 0.99  # of the correlation of two images where they lie best; of MNIST's, none but a pair of ones is above


def last_hidden(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """What goes into the last layer that has weights: float32 of shape (n, features), each row of length 1.

    Args:
        model: as `archive.load` gives it.
        images: float32 of shape (n, height, width, channels) in [0, 1].
    """
    last = max(place for place, layer in enumerate(model.layers) if layer.weights)
    before = keras.Sequential(model.layers[:last])

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32)], autograph=False)
    def forward(batch: tf.Tensor) -> tf.Tensor:
        hidden = before(batch, training=False) if last else batch
        return tf.math.l2_normalize(tf.reshape(hidden, (tf.shape(batch)[0], -1)), axis=1)

    parts = []
    for start in range(0, len(images), FORWARD_BATCH):
        parts.append(forward(images[start : start + FORWARD_BATCH]).numpy())
        release(images)
    return np.concatenate(parts)


def nearest(
    features: np.ndarray, of: np.ndarray, among: np.ndarray, count: int, told: Callable[[int], object] = lambda _: None
) -> np.ndarray:
    """The images that are most alike to some, the most alike first.

    Args:
        features: as `last_hidden` gives them.
        of: the places of m images.
        among: the places of others, of which an image itself is never one of its relatives.
        count: how many relatives each gets, or as many as there are.
        told: is given how many more are done, now and then.

    Returns:
        Places of shape (m, count).
    """
    count = min(count, len(among) - 1)
    if count < 1 or not len(of):
        return np.zeros((len(of), max(count, 0)), int)
    others = np.pad(features[among], ((0, -len(among) % BLOCK), (0, 0))).T
    found = []
    for start in range(0, len(of), PART):
        part = of[start : start + PART]
        alike = features[part] @ others
        alike[:, len(among) :] = -np.inf
        alike[:, : len(among)][part[:, None] == among[None, :]] = -np.inf
        found.append(highest(alike, count))
        told(len(part))
    return among[np.concatenate(found)]


def highest(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the highest values of each row, the highest first, of equal ones the first.

    Each of them is in one of the `count` blocks of columns that have the highest maxima: of most values no more than
    that is asked, which takes a sixth of the time.

    Args:
        values: float32 of shape (n, m), m a multiple of BLOCK.
        count: how many, at most m.

    Returns:
        Integers of shape (n, count).
    """
    blocks = values.reshape(len(values), -1, BLOCK)
    best = np.sort(tf.math.top_k(blocks.max(axis=2), min(count, blocks.shape[1])).indices.numpy(), axis=1)
    within = np.take_along_axis(blocks, best[:, :, None], axis=1).reshape(len(values), -1)
    place = tf.math.top_k(within, count).indices.numpy()
    return BLOCK * np.take_along_axis(best, place // BLOCK, axis=1) + place % BLOCK


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How alike the pixels of images are, two by two, where they lie best on one another: shape (n,), -1 to 1.

    Args:
        one: float32 of shape (n, height, width, channels).
        other: likewise.
    """
    height, width = one.shape[1:3]
    margin = min(SHIFT, height - 1, width - 1)
    best = np.full(len(one), -1.0)
    for down in range(-margin, margin + 1):
        for across in range(-margin, margin + 1):
            here = one[:, max(down, 0) : height + min(down, 0), max(across, 0) : width + min(across, 0)]
            there = other[:, max(-down, 0) : height + min(-down, 0), max(-across, 0) : width + min(-across, 0)]
            best = np.maximum(best, _pearson(here.reshape(len(one), -1), there.reshape(len(one), -1)))
    return best


def _pearson(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = (images - images.mean(axis=1, keepdims=True) for images in (one, other))
    lengths = np.sqrt((one * one).sum(axis=1) * (other * other).sum(axis=1))
    return (one * other).sum(axis=1) / np.maximum(lengths, 1e-12)
