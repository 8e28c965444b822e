"""Train the chosen network on the training split.

Takes data/prepared/{train,validation}_*.npy, data/prepared/task.json and the chosen network's layers and recipe.
Gives models/model.keras, two parts of it to draw (models/layers.csv, models/first_kernel.npy), and its training in
numbers: plots/history.csv (a row an epoch, written as training goes) and metrics/train.json.

A training that was killed or interrupted goes on after its last epoch that is kept in .dvc/tmp, if it is the same one.

The hyperparameters mean what they mean to Keras's `fit`; digits/network/epoch.py has what is computed.
"""

import csv
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from digits.data.prepared import read_split, read_task
from digits.foundation import processor
from digits.foundation.checkpoint import Checkpoint, State
from digits.foundation.command import Refusal
from digits.foundation.files import replacing, write_json
from digits.foundation.parameters import Network, read_parameters
from digits.foundation.tables import write_table
from digits.network import archive, construction, reproducibility
from digits.network.epoch import Split, averaged_weights, compile_epoch, compile_validation, progress_bar
from digits.network.tensorflow import keras
from stages import inputs, run

FIRST_KERNEL = Path("models/first_kernel.npy")
LAYERS = Path("models/layers.csv")
HISTORY = Path("plots/history.csv")
METRICS = Path("metrics/train.json")

Row = dict[str, float | None]


@dataclass
class Best:
    """The epoch with the lowest cross-entropy on the validation images so far, the first of equal ones."""

    epoch: int = 0
    cross_entropy: float = math.inf
    weights: list[np.ndarray] = field(default_factory=list)


def train(
    model: keras.Sequential,
    optimizer: keras.optimizers.Optimizer,
    network: Network,
    training: Split,
    validation: Split,
    seed: int,
    bar: bool,
    everywhere_alike: bool = True,
    state: State | None = None,
    offer: Callable[[Callable[[], State]], None] | None = None,
) -> Iterator[Row]:
    """Train the model in place.

    Args:
        model: as `construction.build` makes it.
        optimizer: as `construction.build_optimizer` makes it; with `use_ema`, the average is validated and kept.
        network: gives epochs, keep, patience, batch_size and jit_compile. With `keep: best` the model ends with the
            weights that Keras's EarlyStopping restores and ModelCheckpoint saves, told to look at the cross-entropy.
        training: images and labels, as `read_split` gives them.
        validation: likewise; may be empty.
        seed: of the order of the images, a new one each epoch.
        bar: whether to draw a progress bar.
        everywhere_alike: whether to refuse what two processors compute differently.
        state: where an earlier run of the same training stood; its rows come first.
        offer: to be told after each epoch how to find out where this one stands.

    Yields:
        A row after each epoch: its number from 1, accuracy and loss (the means over the epoch as it went), the same
        on the validation images and their cross-entropy, which is the loss without what regularizers add (None where
        there are no such images), the learning rate at its end; with `keep: best`, which epoch was the best so far.

    Raises:
        Refusal: the optimizer or XLA cannot work with these layers and arguments, or the loss or a weight is no longer
            a number.
    """
    train_epoch = compile_epoch(model, optimizer, training, network.batch_size, network.jit_compile, everywhere_alike)
    validate = compile_validation(model)
    shuffle = np.random.default_rng(seed)
    best, rows = Best(), list[Row]()
    if state:
        best, rows = go_on(state, model, optimizer, shuffle)
        yield from rows

    for epoch in range(len(rows) + 1, network.epochs + 1):
        order = shuffle.permutation(len(training[0]))
        try:
            accuracy, loss = train_epoch(order, progress_bar(len(order)) if bar else None)
        except Exception as error:  # what Keras finds only on the way: TypeError, OverflowError, tf.errors.OpError, ...
            raise Refusal(f"params.yaml: the network cannot be trained: {construction.reason(error)}") from error
        with averaged_weights(model, optimizer):
            val_accuracy, val_loss, val_cross_entropy = validate(validation) if len(validation[0]) else [None] * 3
            weights = model.get_weights()
        for what, value in [("loss", loss), ("val_loss", val_loss or 0), *(("a weight", weight) for weight in weights)]:
            if not np.isfinite(value).all():
                raise Refusal(f"{what} is not a number after epoch {epoch}; try a lower learning_rate")
        if val_cross_entropy is not None and val_cross_entropy < best.cross_entropy:
            best = Best(epoch, val_cross_entropy, weights if network.keep == "best" else [])
        row = {
            "epoch": epoch,
            "accuracy": accuracy,
            "loss": loss,
            "val_accuracy": val_accuracy,
            "val_loss": val_loss,
            "val_cross_entropy": val_cross_entropy,
            "learning_rate": float(optimizer.learning_rate),
            **({"best_epoch": best.epoch} if network.keep == "best" else {}),
        }
        yield row
        if epoch == network.epochs or (network.patience and epoch - best.epoch >= network.patience):
            break
        rows.append(row)
        if offer:
            offer(lambda: stand(model, optimizer, shuffle, best, rows))  # noqa: B023 (is called at once)
    optimizer.finalize_variable_values(model.trainable_variables)
    if network.keep == "best":
        model.set_weights(best.weights)


def stand(
    model: keras.Sequential,
    optimizer: keras.optimizers.Optimizer,
    shuffle: np.random.Generator,
    best: Best,
    rows: list[Row],
) -> State:
    """Where a training stands after an epoch: all that the next one depends on, and what has been told so far.

    The model's variables are its weights and, of each layer that draws by chance, what it draws next.
    """
    variables = [variable.numpy() for variable in (*model.variables, *optimizer.variables)]
    facts = {
        "rows": [*rows],
        "shuffle": shuffle.bit_generator.state,
        "best_epoch": best.epoch,
        "best_cross_entropy": best.cross_entropy,
    }
    return State([*variables, *best.weights], facts)


def go_on(
    state: State, model: keras.Sequential, optimizer: keras.optimizers.Optimizer, shuffle: np.random.Generator
) -> tuple[Best, list[Row]]:
    """Bring model, optimizer and shuffle to where `stand` found them; gives the best epoch and the rows so far."""
    variables = [*model.variables, *optimizer.variables]
    for variable, value in zip(variables, state.arrays, strict=False):
        variable.assign(value.view(variable.numpy().dtype))  # NumPy's files know no bfloat16
    shuffle.bit_generator.state = state.facts["shuffle"]
    weights = state.arrays[len(variables) :]
    return Best(state.facts["best_epoch"], state.facts["best_cross_entropy"], weights), [*state.facts["rows"]]


def record(rows: Iterable[Row]) -> list[Row]:
    """Write the rows to plots/history.csv and to the terminal as they come, and return them as they were written.

    Values have six decimals: enough for one image's difference, none of the noise behind it. A training that fails
    leaves no history.
    """
    written: list[Row] = []
    try:
        with HISTORY.open("w", newline="", buffering=1) as file:
            history = csv.writer(file, lineterminator="\n")
            began = time.perf_counter()
            for row in rows:
                if not written:
                    history.writerow(row)
                written.append({name: None if value is None else round(value, 6) for name, value in row.items()})
                history.writerow(written[-1].values())
                told = [f"{name} {value:.4g}" for name, value in written[-1].items() if value is not None]
                print(*told, f"{time.perf_counter() - began:.2f} s", sep="  ")
                began = time.perf_counter()
    except BaseException as error:
        HISTORY.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Refusal(f"{HISTORY} cannot be written: {error.strerror}") from error
        raise
    return written


def kept(rows: list[Row], network: Network) -> Row:
    """The row of the epoch whose weights the model ends with."""
    return rows[int(rows[-1]["best_epoch"] or 0) - 1] if network.keep == "best" else rows[-1]


def summarize(name: str, network: Network, rows: list[Row]) -> dict[str, object]:
    """The numbers of metrics/train.json but for the size: of the epoch that is kept.

    Which that is, of how many, is told where the training was to find it out.
    """
    row = kept(rows, network)
    numbers: dict[str, object] = {"network": name, "train_accuracy": row["accuracy"], "train_loss": row["loss"]}
    numbers |= {name: row[name] for name in ("val_accuracy", "val_loss", "val_cross_entropy")}
    if network.keep == "best" or network.patience:
        numbers |= {"kept_epoch": row["epoch"], "epochs": len(rows)}
    return numbers


def check_images(name: str, network: Network, training: int, validation: int) -> None:
    """Refuse a recipe for which there are not as many images as it takes.

    Args:
        name: of the network in params.yaml.
        network: its recipe.
        training: how many images there are to train on.
        validation: how many there are to validate with.
    """
    if network.batch_size > training:
        raise Refusal(
            f"params.yaml: networks.{name}.batch_size is {network.batch_size:,}, "
            f"expected no more than the {training:,} training images"
        )
    if not validation and (network.keep == "best" or network.patience):
        key = f"keep is {network.keep!r}" if network.keep == "best" else f"patience is {network.patience}"
        raise Refusal(
            f"params.yaml: networks.{name}.{key}, but no validation images are held out by which an epoch could be "
            "better than another; expected prepare.validation.hold_out to come to some"
        )


def main() -> None:
    parameters = read_parameters()
    name = parameters.chosen_network()
    network = parameters.networks[name]
    task = read_task()
    training, validation = (read_split(split, len(task.classes)) for split in ("train", "validation"))
    images = len(training[0])
    check_images(name, network, images, len(validation[0]))

    reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
    model = construction.build(name, network, training[0].shape[1:], len(task.classes))
    steps_an_epoch = math.ceil(images / network.batch_size)
    epochs = network.epochs_on(images)
    optimizer = construction.build_optimizer(name, network, model, epochs * steps_an_epoch)
    model.summary()
    print(f"{name} on {images:,} images, {steps_an_epoch:,} steps an epoch: {epochs} epochs")
    if remark := processor.remark(parameters.instructions):
        print(remark)

    began = time.perf_counter()
    everywhere_alike = processor.is_alike_everywhere(parameters.instructions)
    recipe = network.model_copy(update={"epochs": epochs})
    checkpoint = Checkpoint("train", inputs)
    state = checkpoint.read()
    done = len(state.facts["rows"]) if state else 0
    if done:
        print(f"goes on after epoch {done}, as far as an earlier run of this training was kept")
    rows = train(
        model, optimizer, recipe, training, validation, parameters.seed, sys.stdout.isatty(), everywhere_alike,
        state, checkpoint.offer,
    )  # fmt: skip
    written = record(rows)
    seconds = time.perf_counter() - began
    print(f"trained in {seconds:.1f} s, {(len(written) - done) * images / seconds:,.0f} images a second")
    if len(written) < epochs:
        print(f"ended after epoch {len(written)} of {epochs}: none of the last {network.patience} was a better one")
    if network.keep == "best":
        print(f"kept: epoch {kept(written, network)['epoch']}, which has the lowest val_cross_entropy")

    archive.save(archive.Classifier(model, task))
    with replacing(FIRST_KERNEL) as partial:
        np.save(partial, construction.first_kernel(model))
    write_table(LAYERS, construction.layer_table(model))
    write_json(METRICS, summarize(name, network, written) | {"parameters": model.count_params()})
    checkpoint.remove()


if __name__ == "__main__":
    run(main)
