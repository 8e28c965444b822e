"""What a network says of images."""

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax

from digits.foundation.command import Refusal
from digits.foundation.files import release
from digits.network.tensorflow import keras, tf

FORWARD_BATCH = 1000  # images; measured on 2 cores, 500 to 2,000 are equally fast


def logits(model: keras.Sequential, images: tf.Tensor, training: bool) -> tf.Tensor:
    """What the model gives for images, as logits of shape (n, classes): for a final softmax, what goes into it.

    A probability holds less than its logit: it is 0 or 1 long before the logit ends. To be called in a tf.function,
    where a tensor knows how it is computed.
    """
    outputs = model(images, training=training)
    return outputs.op.inputs[0] if outputs.op.type == "Softmax" else outputs


def compiled(model: keras.Sequential) -> Callable[[np.ndarray], np.ndarray]:
    """Compile the model once, for many calls: gives what `log_probabilities` does of images alone."""

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32)], autograph=False)
    def forward(batch: tf.Tensor) -> tf.Tensor:
        return logits(model, batch, training=False)

    def log_probabilities(images: np.ndarray) -> np.ndarray:
        if images.shape[1:] != model.input_shape[1:]:
            raise Refusal(f"the network takes images of {model.input_shape[1:]}, these are of {images.shape[1:]}")
        parts = []
        for start in range(0, len(images), FORWARD_BATCH):
            parts.append(forward(images[start : start + FORWARD_BATCH]).numpy())
            release(images)
        outputs = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(outputs).all():
            raise Refusal("the network gives for an image what is not a number; train it with a lower learning_rate")
        return log_softmax(outputs, axis=1)

    return log_probabilities


def log_probabilities(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """How probable the model finds each class, as a logarithm: a probability itself ends at 1e-308.

    Args:
        model: as `build` or `load` gives it.
        images: float32 of shape (n, height, width, channels) in [0, 1].

    Returns:
        float64 of shape (n, classes), rows whose exponentials sum to 1.

    Raises:
        Refusal: the model takes images of another shape, or gives for an image what are no numbers.
    """
    return compiled(model)(images)


def probabilities(model: keras.Sequential, images: np.ndarray) -> np.ndarray:
    """The exponentials of `log_probabilities`: float64 of shape (n, classes), rows that sum to 1."""
    return np.exp(log_probabilities(model, images))


def mean_probabilities(log_probabilities: Callable[[np.ndarray], np.ndarray], views: list[np.ndarray]) -> np.ndarray:
    """How probable each class is for images that are each seen in one way or several.

    Args:
        log_probabilities: as `compiled` gives it.
        views: of each image, float32 of shape (n, height, width, channels).

    Returns:
        float64 of shape (images, classes): the means of what is found for the views.
    """
    found = np.exp(log_probabilities(np.concatenate(views)))
    starts = np.cumsum([0, *map(len, views[:-1])])
    return np.add.reduceat(found, starts) / np.array([len(of_one) for of_one in views])[:, None]
