"""Train the chosen network on the training split.

Takes data/prepared/{train,validation}_*.npy and the chosen network's layers and recipe.
Gives models/model.keras, two parts of it to draw (models/layers.csv, models/first_kernel.npy), and its training in
numbers: plots/history.csv (a row an epoch, written as training goes) and metrics/train.json.

An epoch is one call of one compiled loop over arrays that stay in memory: nothing is fed, converted or dispatched a
batch at a time. The hyperparameters mean what they mean to Keras's `fit`, the smaller last batch included.
"""

import csv
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

from digits.command import Refusal, run

import numpy as np
import pandas as pd

from digits import network as networks
from digits.arrays import read_split
from digits.files import replacing, write_json, write_table
from digits.parameters import Network, read_parameters
from digits.tensorflow import keras, tf, threefry

FIRST_KERNEL = Path("models/first_kernel.npy")
LAYERS = Path("models/layers.csv")
HISTORY = Path("plots/history.csv")
METRICS = Path("metrics/train.json")

BAR_UPDATES = 20  # an epoch, on a terminal

Split = tuple[np.ndarray, np.ndarray]
Row = dict[str, float | None]
Steps = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """The array as a tensor over the same memory, be it a mapped file's; tf.constant would come to hold two copies."""
    if array.ctypes.data % 64:  # TensorFlow computes on multiples of 64 bytes, where mapped .npy files lie
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def compile_steps(
    model: keras.Sequential,
    optimizer: keras.optimizers.Optimizer,
    loss: keras.losses.Loss,
    training: Split,
    jit_compile: bool,
) -> Steps:
    """Make the function that trains the model on a stretch of an epoch.

    Returns:
        A function of (order, start, stop, batch_size), where `order` is an int32 permutation of the training images:
        it takes a step on each batch of order[start:stop], a whole number of batches, and gives the sum over the
        images of their losses before their step, and how many of them were recognized.
    """
    images, labels = as_tensor(training[0]), tf.constant(training[1].astype(np.int32))

    def step(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        truth = tf.gather(labels, batch)
        with tf.GradientTape() as tape, threefry() if jit_compile else nullcontext():
            outputs = model(tf.gather(images, batch), training=True)
            value = tf.add_n([loss(truth, outputs), *model.losses])
        optimizer.apply(tape.gradient(value, model.trainable_variables))
        hits = tf.argmax(outputs, axis=-1, output_type=tf.int32) == truth
        return value, tf.reduce_sum(tf.cast(hits, tf.int32))

    @tf.function(jit_compile=jit_compile, autograph=False)
    def steps(order: tf.Tensor, start: tf.Tensor, stop: tf.Tensor, batch_size: int) -> tuple[tf.Tensor, tf.Tensor]:
        def take(first: tf.Tensor, losses: tf.Tensor, hits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            value, recognized = step(tf.slice(order, [first], [batch_size]))
            return first + batch_size, losses + value * batch_size, hits + recognized

        begin = (start, tf.constant(0.0), tf.constant(0))
        _, losses, hits = tf.while_loop(lambda first, *_: first < stop, take, begin)
        return losses, hits

    return steps


def epoch_stretches(images: int, batch_size: int, stretches: int) -> list[tuple[int, int, int]]:
    """Cut an epoch into about so many stretches of whole batches, and the smaller last batch if there is one.

    Returns:
        (start, stop, batch_size) each, from 0 to `images` without a gap.
    """
    batches = images // batch_size
    marks = [batches * part // stretches * batch_size for part in range(stretches + 1)]
    cut = [(start, stop, batch_size) for start, stop in itertools.pairwise(marks) if start < stop]
    return cut if marks[-1] == images else [*cut, (marks[-1], images, images - marks[-1])]


def train(
    model: keras.Sequential,
    optimizer: keras.optimizers.Optimizer,
    network: Network,
    training: Split,
    validation: Split,
    seed: int,
    bar: bool,
) -> Iterator[Row]:
    """Train the model in place.

    Args:
        model: as `networks.build` makes it.
        optimizer: as `networks.build_optimizer` makes it, for these epochs.
        network: gives epochs, batch_size and jit_compile.
        training: images and labels, as `read_split` gives them.
        validation: likewise; may be empty.
        seed: of the order of the images, a new one each epoch.
        bar: whether to draw a progress bar.

    Yields:
        A row after each epoch: its number from 1, accuracy and loss (the means over the epoch as it went), the same
        on the validation images (None where there are none), the learning rate at its end.

    Raises:
        Refusal: the optimizer or XLA cannot work with these layers and arguments, or the loss is no longer a number.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not networks.ends_in_probabilities(model))
    optimizer.build(model.trainable_variables)
    steps = compile_steps(model, optimizer, loss, training, network.jit_compile)
    forward = networks.forward(model)
    images = len(training[0])
    shuffle = np.random.default_rng(seed)

    for epoch in range(1, network.epochs + 1):
        order = tf.constant(shuffle.permutation(images).astype(np.int32))
        progress = keras.utils.Progbar(
            images, verbose=int(bar), unit_name="image", stateful_metrics=["accuracy", "loss"]
        )
        losses, hits = 0.0, 0
        for start, stop, batch_size in epoch_stretches(images, network.batch_size, BAR_UPDATES if bar else 1):
            try:
                some_losses, some_hits = steps(order, tf.constant(start), tf.constant(stop), batch_size)
            except (tf.errors.OpError, TypeError, ValueError) as error:  # what Keras finds only on the way
                raise Refusal(f"params.yaml: the network cannot be trained: {networks.reason(error)}") from error
            losses, hits = losses + float(some_losses), hits + int(some_hits)
            progress.update(stop, [("accuracy", hits / stop), ("loss", losses / stop)])
        row: Row = {"epoch": epoch, "accuracy": hits / images, "loss": losses / images}
        row |= {"val_accuracy": None, "val_loss": None}
        if len(validation[0]):
            outputs = forward(validation[0])
            row["val_accuracy"] = float(np.mean(outputs.argmax(axis=1) == validation[1]))
            row["val_loss"] = float(loss(validation[1].astype(np.int32), outputs))
        if not all(value is None or math.isfinite(value) for value in row.values()):
            rate = network.optimizer.arguments["learning_rate"]
            raise Refusal(f"the loss is {row['loss']} after epoch {epoch}; try a learning_rate below {rate}")
        row["learning_rate"] = float(optimizer.learning_rate)
        yield row
    optimizer.finalize_variable_values(model.trainable_variables)


def layer_table(model: keras.Sequential) -> pd.DataFrame:
    """The network's layers: their class, the shape that each gives for an image, and its number of parameters."""
    return pd.DataFrame(
        {
            "layer": [type(layer).__name__ for layer in model.layers],
            "output": [" x ".join(map(str, layer.output.shape[1:])) for layer in model.layers],
            "parameters": [layer.count_params() for layer in model.layers],
        }
    )


def first_kernel(model: keras.Sequential) -> np.ndarray:
    """The first trainable weights with inputs and outputs, as Keras shapes them; of shape (0, 0) where none have."""
    kernels = (weight.numpy() for weight in model.trainable_weights if len(weight.shape) > 1)
    return next(kernels, np.empty((0, 0), np.float32))


def record(rows: Iterable[Row]) -> Row:
    """Write the rows to plots/history.csv and to the terminal as they come, and return the last.

    Values have six decimals: enough for one image's difference, none of the noise behind it. A training that fails
    leaves no history.
    """
    last: Row = {}
    try:
        with HISTORY.open("w", newline="", buffering=1) as file:
            history = csv.writer(file, lineterminator="\n")
            began = time.perf_counter()
            for row in rows:
                if not last:
                    history.writerow(row)
                last = {name: None if value is None else round(value, 6) for name, value in row.items()}
                history.writerow(last.values())
                told = [f"{name} {value:.4g}" for name, value in last.items() if value is not None]
                print(*told, f"{time.perf_counter() - began:.2f} s", sep="  ")
                began = time.perf_counter()
    except BaseException as error:
        HISTORY.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Refusal(f"{HISTORY} cannot be written: {error.strerror}") from error
        raise
    return last


def main() -> None:
    parameters = read_parameters()
    name, network = parameters.network, parameters.networks[parameters.network]
    training, validation = read_split("train"), read_split("validation")
    images = len(training[0])
    if network.batch_size > images:
        raise Refusal(
            f"params.yaml: networks.{name}.batch_size is {network.batch_size:,}, "
            f"expected no more than the {images:,} training images"
        )

    networks.compute_reproducibly(parameters.seed, parameters.threads)
    model = networks.build(name, network)
    optimizer = networks.build_optimizer(name, network, network.epochs * math.ceil(images / network.batch_size))
    model.summary()

    began = time.perf_counter()
    last = record(train(model, optimizer, network, training, validation, parameters.seed, sys.stdout.isatty()))
    seconds = time.perf_counter() - began
    print(f"trained in {seconds:.1f} s, {network.epochs * images / seconds:,.0f} images a second")

    networks.save(model)
    with replacing(FIRST_KERNEL) as partial:
        np.save(partial, first_kernel(model))
    write_table(LAYERS, layer_table(model))
    final = {name: last[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    write_json(METRICS, final | {"epochs": network.epochs, "parameters": model.count_params()})


if __name__ == "__main__":
    run(main)
