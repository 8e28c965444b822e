"""An epoch of training as one compiled loop over arrays that stay in memory, and its validation.

Nothing is fed, converted or dispatched a batch at a time. What is computed is what Keras's `fit` computes, the smaller
last batch and the penalties of regularizers included.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import numpy as np

from digits.foundation.files import release
from digits.network.inference import FORWARD_BATCH, logits
from digits.network.tensorflow import approximate, for_xla, keras, tf

STRETCHES = 20  # of an epoch, between which a progress bar can move; each is summed up by itself, watched or not

Split = tuple[np.ndarray, np.ndarray]
Progress = Callable[[int, float, float], None]
"""To be told how many images are done, and accuracy and loss so far."""


def compile_epoch(
    model: keras.Sequential,
    optimizer: keras.optimizers.Optimizer,
    training: Split,
    batch_size: int,
    jit_compile: bool,
    everywhere_alike: bool,
) -> Callable[[np.ndarray, Progress | None], tuple[float, float]]:
    """Make the function that trains the model for one epoch.

    Args:
        model: as `networks.build` makes it.
        optimizer: built for the model's variables.
        training: images and labels, as `read_split` gives them.
        batch_size: images a step.
        jit_compile: whether XLA compiles a step.
        everywhere_alike: whether the function raises ValueError for what two processors compute differently.

    Returns:
        A function of the images' order, a permutation of 0..n-1, and of what to tell how far it is, if anything. It
        gives accuracy and loss, the means over the images before their step.
    """
    images, labels = as_tensor(training[0]), tf.constant(training[1].astype(np.int32))

    def step(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        truth = tf.gather(labels, batch)
        with for_xla() if jit_compile else nullcontext():
            with tf.GradientTape() as tape:
                found = logits(model, tf.gather(images, batch), training=True)
                value = total_loss(model, truth, found)
                scaled = optimizer.scale_loss(value)
            optimizer.apply(tape.gradient(scaled, model.trainable_variables))
        return value, count_hits(truth, found)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def steps(order: tf.Tensor, start: tf.Tensor, stop: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
        def take(first: tf.Tensor, losses: tf.Tensor, hits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            value, recognized = step(tf.slice(order, [first], [size]))
            return first + size, losses + value * size, hits + recognized

        begin = (start, tf.constant(0.0), tf.constant(0))
        _, losses, hits = tf.while_loop(lambda first, *_: first < stop, take, begin)
        return losses, hits

    checked = not everywhere_alike

    def run(order: np.ndarray, progress: Progress | None) -> tuple[float, float]:
        nonlocal checked
        in_order = tf.constant(order.astype(np.int32))
        losses, hits = 0.0, 0
        for start, stop, size in stretches(len(order), batch_size):
            arguments = in_order, tf.constant(start), tf.constant(stop), size
            if not checked and (found := approximate(steps.get_concrete_function(*arguments))):
                raise ValueError(f"two processors compute {found} differently, which `instructions: native` allows")
            checked = True  # the other sizes have the same operations
            some_losses, some_hits = steps(*arguments)
            losses, hits = losses + float(some_losses), hits + int(some_hits)
            if progress:
                progress(stop, hits / stop, losses / stop)
        return hits / len(order), losses / len(order)

    return run


def compile_validation(model: keras.Sequential) -> Callable[[Split], tuple[float, float, float]]:
    """Make the function that measures the model on images and labels without training it.

    It gives accuracy, loss and cross-entropy. Of the last two the loss, which training makes small, holds the penalties
    of regularizers: only the cross-entropy tells networks apart that pay different ones.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def measure(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        found = logits(model, images, training=False)
        return count_hits(labels, found), total_loss(model, labels, found), cross_entropy(labels, found)

    def run(split: Split) -> tuple[float, float, float]:
        images, labels = split
        sums = np.zeros(3)
        for start in range(0, len(images), FORWARD_BATCH):
            part = slice(start, start + FORWARD_BATCH)
            hits, *means = measure(tf.constant(images[part]), tf.constant(labels[part].astype(np.int32)))
            sums += float(hits), *(float(mean) * len(labels[part]) for mean in means)
            release(images)
        accuracy, loss, entropy = sums / len(images)
        return float(accuracy), float(loss), float(entropy)

    return run


@contextmanager
def averaged_weights(model: keras.Sequential, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Within the block, the model has the weights that it will end with: with `use_ema`, their running average."""
    if not optimizer.use_ema:
        yield
        return
    latest = [variable.numpy() for variable in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    yield
    for variable, value in zip(model.trainable_variables, latest, strict=True):
        variable.assign(value)


def progress_bar(images: int) -> Progress:
    """A bar on the terminal for an epoch of so many images."""
    bar = keras.utils.Progbar(images, unit_name="image", stateful_metrics=["accuracy", "loss"])
    return lambda done, accuracy, loss: bar.update(done, [("accuracy", accuracy), ("loss", loss)])


def total_loss(model: keras.Sequential, labels: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """The mean cross-entropy of logits (n, classes) with labels (n,), and the penalties of the model's regularizers."""
    return tf.add_n([cross_entropy(labels, found), *map(tf.reduce_sum, model.losses)])


def cross_entropy(labels: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """The mean cross-entropy of logits (n, classes) with labels (n,)."""
    return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, found, from_logits=True))


def count_hits(labels: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """How many labels of (n,) have the largest of their logits of (n, classes)."""
    hits = tf.argmax(found, axis=-1, output_type=tf.int32) == labels
    return tf.reduce_sum(tf.cast(hits, tf.int32))


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor over the same memory, be it a mapped file's; tf.constant would come to hold two copies."""
    if array.ctypes.data % 64:  # TensorFlow computes on multiples of 64 bytes, where mapped .npy files lie
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def stretches(images: int, batch_size: int) -> list[tuple[int, int, int]]:
    """Cut an epoch into up to STRETCHES stretches of whole batches, and the smaller last batch if there is one.

    Returns:
        (start, stop, batch_size) each, from 0 to `images` without a gap.
    """
    batches = images // batch_size
    marks = [batches * part // STRETCHES * batch_size for part in range(STRETCHES + 1)]
    cut = [(start, stop, batch_size) for start, stop in itertools.pairwise(marks) if start < stop]
    return cut if marks[-1] == images else [*cut, (marks[-1], images, images - marks[-1])]
