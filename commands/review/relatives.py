"""Which images are alike: by what the network makes of them before it decides."""

from collections.abc import Callable

import numpy as np

from digits.foundation.files import release
from digits.network.inference import FORWARD_BATCH
from digits.network.tensorflow import keras, tf

PART = 200  # images that are compared with all others at a time; 2,000 would take 1.7 GB more for MNIST
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
    others, found = features[among].T, []
    for start in range(0, len(of), PART):
        part = of[start : start + PART]
        alike = features[part] @ others
        alike[part[:, None] == among[None, :]] = -np.inf
        found.append(tf.math.top_k(alike, count).indices.numpy())
        told(len(part))
    return among[np.concatenate(found)]


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
