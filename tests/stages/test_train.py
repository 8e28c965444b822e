from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from digits.foundation import checkpoint
from digits.foundation.checkpoint import State
from digits.foundation.command import Refusal
from digits.foundation.parameters import Network
from digits.foundation.provenance import Inputs
from digits.network import construction, epoch
from digits.network.tensorflow import keras
from stages import train
from tests.conftest import built

Split = tuple[np.ndarray, np.ndarray]

LINEAR = Network(
    layers=["Flatten", {"Dense": {"units": 10}}], optimizer={"SGD": {"learning_rate": 0.1}}, epochs=1, batch_size=32
)
RECIPE = Network(
    layers=["Flatten", {"Dense": {"units": 32, "activation": "relu"}}, {"Dense": {"units": 10}}],
    optimizer={"SGD": {"learning_rate": 0.1}},
    epochs=3,
    batch_size=32,
)


def changed(network: Network, **fields: object) -> Network:
    """The network with other fields, in the form of params.yaml."""
    names = ("epochs", "keep", "patience", "batch_size", "one_cycle", "jit_compile")
    plain = {name: getattr(network, name) for name in names}
    plain["layers"] = [{layer.name: layer.arguments} for layer in network.layers]
    plain["optimizer"] = {network.optimizer.name: network.optimizer.arguments}
    return Network.model_validate(plain | fields)


def trained(network: Network, training: Split, validation: Split, seed: int = 1) -> tuple[list, keras.Sequential]:
    keras.utils.set_random_seed(seed)
    model = built(network)
    steps = network.epochs * -(-len(training[0]) // network.batch_size)
    optimizer = construction.build_optimizer("x", network, model, steps)
    return list(train.train(model, optimizer, network, training, validation, seed, bar=False)), model


@pytest.fixture(scope="module")
def plain(small_split: Split) -> tuple[list, keras.Sequential]:
    """What becomes of RECIPE with the seed 1: rows and model, for the tests that compare with it."""
    return trained(RECIPE, small_split, small_split)


@pytest.mark.parametrize(
    ("jit_compile", "activation"),
    [
        (False, None),
        (True, "softmax"),
        pytest.param(True, None, marks=pytest.mark.slow),
        pytest.param(False, "softmax", marks=pytest.mark.slow),
    ],
)
def test_it_trains_as_keras_does(small_split: Split, jit_compile: bool, activation: str | None):
    """One epoch in the order of the images, against `fit` without shuffling."""
    images, labels = small_split
    layers = ["Flatten", {"Dense": {"units": 10, "activation": activation}}]
    network = changed(LINEAR, layers=layers, jit_compile=jit_compile)
    keras.utils.set_random_seed(1)
    ours, theirs = built(network), built(network)
    theirs.set_weights(ours.get_weights())

    order = np.random.default_rng(1).permutation(len(images))
    optimizer = construction.build_optimizer("x", network, ours, steps=10)
    (row,) = train.train(ours, optimizer, network, (images, labels), small_split, seed=1, bar=False)
    theirs.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None),
        metrics=["accuracy"],
        run_eagerly=True,  # the same numbers without a compilation
    )
    fitted = theirs.fit(
        images[order], labels[order], batch_size=32, shuffle=False, verbose=0, validation_data=(images, labels)
    ).history

    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, atol=1e-5)
    for metric in ("accuracy", "loss", "val_accuracy", "val_loss"):
        assert row[metric] == pytest.approx(fitted[metric][0], abs=1e-5)


def test_it_learns_and_says_so_each_epoch(plain: tuple[list, keras.Sequential]):
    rows, _ = plain
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["val_accuracy"] > 0.7
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.1, 0.1, 0.1])


def test_without_validation_images_there_are_no_validation_numbers(small_split: Split):
    images, labels = small_split
    rows, _ = trained(RECIPE, small_split, (images[:0], labels[:0]))
    assert all(row["val_accuracy"] is None and row["val_loss"] is None for row in rows)


def test_one_cycle_ends_near_zero(small_split: Split):
    rows, _ = trained(changed(RECIPE, one_cycle={"warm_up": 0.3}), small_split, small_split)
    assert rows[-1]["learning_rate"] == pytest.approx(0.1 / 1000, rel=1e-3)
    assert rows[0]["learning_rate"] > rows[-1]["learning_rate"]


def test_the_seed_decides_the_weights(small_split: Split, plain: tuple[list, keras.Sequential]):
    _, one = plain
    _, again = trained(RECIPE, small_split, small_split, seed=1)
    _, other = trained(RECIPE, small_split, small_split, seed=2)
    for weight, same, different in zip(one.get_weights(), again.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)
        assert (weight != different).any()


def test_the_seed_decides_the_order_of_the_images(small_split: Split):
    """From weights of zero, and nothing else by chance, one epoch depends on its order alone."""
    from_zero = changed(LINEAR, layers=["Flatten", {"Dense": {"units": 10, "kernel_initializer": "zeros"}}])
    losses = [trained(from_zero, small_split, small_split, seed=seed)[0][0]["loss"] for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != pytest.approx(losses[2], rel=1e-4)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_seed_decides_what_dropout_drops(small_split: Split, jit_compile: bool):
    """From the same weights, with all images in a batch, the first loss depends on Dropout alone."""
    same_weights = {"class_name": "RandomNormal", "config": {"seed": 1}}
    dense = {"Dense": {"units": 10, "kernel_initializer": same_weights}}
    network = changed(
        LINEAR, layers=["Flatten", {"Dropout": {"rate": 0.5}}, dense], batch_size=300, jit_compile=jit_compile
    )
    losses = [trained(network, small_split, small_split, seed=seed)[0][0]["loss"] for seed in (1, 1, 2)]
    assert losses[0] == losses[1]
    assert losses[0] != pytest.approx(losses[2], rel=1e-5)


def test_the_progress_bar_changes_nothing(
    small_split: Split, plain: tuple[list, keras.Sequential], capfd: pytest.CaptureFixture
):
    keras.utils.set_random_seed(1)
    model = built(RECIPE)
    optimizer = construction.build_optimizer("x", RECIPE, model, steps=30)
    list(train.train(model, optimizer, RECIPE, small_split, small_split, seed=1, bar=True))
    assert "300/300" in capfd.readouterr().out
    for weight, same in zip(model.get_weights(), plain[1].get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


def test_a_loss_that_is_no_number_is_refused(small_split: Split):
    images, labels = small_split
    with pytest.raises(Refusal, match="^loss is not a number after epoch 1; try a lower learning_rate"):
        trained(LINEAR, (images * np.float32("nan"), labels), small_split)


def test_a_last_step_that_ruins_the_weights_is_refused_even_without_validation_images(small_split: Split):
    """All images in one batch: the loss before the only step is a number, what the step leaves is none."""
    images, labels = small_split
    ruinous = {"SGD": {"learning_rate": 10.0, "weight_decay": 1e38}}
    network = changed(LINEAR, optimizer=ruinous, batch_size=300)
    with pytest.raises(Refusal, match="^a weight is not a number after epoch 1; try a lower learning_rate"):
        trained(network, small_split, (images[:0], labels[:0]))


def test_a_validation_loss_that_is_no_number_is_named(small_split: Split):
    images, labels = small_split
    with pytest.raises(Refusal, match="^val_loss is not a number after epoch 1"):
        trained(LINEAR, small_split, (images * np.float32("inf"), labels))


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_losses_are_whole_however_wrong_the_network_is(small_split: Split, activation: str | None):
    """With one bias of 100, far more than a probability in 32 bits can tell, nothing trained and nothing clipped."""
    _, labels = small_split
    bias = {"class_name": "Constant", "config": {"value": [100.0] + [0.0] * 9}}
    dense = {"units": 10, "activation": activation, "kernel_initializer": "zeros", "bias_initializer": bias}
    network = changed(LINEAR, layers=["Flatten", {"Dense": dense | {"trainable": False}}])
    rows, _ = trained(network, small_split, small_split)
    expected = 100 * (labels != 0).mean()
    assert (rows[0]["loss"], rows[0]["val_loss"]) == pytest.approx((expected, expected))


def test_the_validation_loss_holds_the_penalties_that_training_holds_and_its_cross_entropy_none(small_split: Split):
    penalty = {"class_name": "L2", "config": {"l2": 1.0}}
    dense = {"units": 10, "kernel_initializer": "ones", "kernel_regularizer": penalty}
    still = {"SGD": {"learning_rate": 1e-12}}
    network = changed(LINEAR, layers=["Flatten", {"Dense": dense}], optimizer=still)
    rows, _ = trained(network, small_split, small_split)
    assert rows[0]["val_loss"] == pytest.approx(7840 + np.log(10))
    assert rows[0]["val_cross_entropy"] == pytest.approx(np.log(10))
    assert rows[0]["loss"] == pytest.approx(7840 + np.log(10))


def test_a_loss_scale_factor_changes_nothing_but_the_last_digits(
    small_split: Split, plain: tuple[list, keras.Sequential]
):
    scaled = changed(RECIPE, optimizer={"SGD": {"learning_rate": 0.1, "loss_scale_factor": 1024.0}})
    (rows, model), (plain_rows, plain_model) = trained(scaled, small_split, small_split), plain
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in plain_rows], rel=1e-4)
    for weight, same in zip(model.get_weights(), plain_model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, same, atol=1e-4)


def test_the_averaged_weights_are_those_that_are_validated_and_kept(
    small_split: Split, plain: tuple[list, keras.Sequential]
):
    averaging = {"SGD": {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.99}}
    rows, model = trained(changed(RECIPE, optimizer=averaging), small_split, small_split)
    accuracy, loss, _ = epoch.compile_validation(model)(small_split)
    assert (rows[-1]["val_accuracy"], rows[-1]["val_loss"]) == (accuracy, loss)
    plain_rows, _ = plain
    assert [row["loss"] for row in rows] == [row["loss"] for row in plain_rows], "validation leaves training alone"
    assert rows[-1]["val_loss"] > plain_rows[-1]["val_loss"], "the average lags behind"


def test_arguments_that_fail_only_in_training_are_refused(small_split: Split):
    network = changed(LINEAR, optimizer={"Adam": {"learning_rate": 0.1, "beta_1": "x"}})
    with pytest.raises(Refusal, match="the network cannot be trained"):
        trained(network, small_split, small_split)


def test_history_is_there_while_training_goes_and_gone_when_it_fails(workspace: Path):
    train.HISTORY.parent.mkdir()

    def rows():
        yield {"epoch": 1, "loss": 0.123456789, "val_loss": None}
        assert train.HISTORY.read_text() == "epoch,loss,val_loss\n1,0.123457,\n"
        yield {"epoch": 2, "loss": 0.1, "val_loss": None}

    assert train.record(rows())[-1] == {"epoch": 2, "loss": 0.1, "val_loss": None}
    assert pd.read_csv(train.HISTORY)["epoch"].tolist() == [1, 2]

    def failing():
        yield {"epoch": 1, "loss": 0.1}
        raise Refusal("enough")

    with pytest.raises(Refusal):
        train.record(failing())
    assert not train.HISTORY.exists()


@pytest.mark.parametrize(("dtype", "half"), [("float16", "float16"), ("mixed_bfloat16", "bfloat16")])
def test_half_precision_is_for_native_instructions(small_split: Split, dtype: str, half: str):
    """Some processors compute it as such, others in float32."""
    layers = ["Flatten", {"Dense": {"units": 8, "dtype": dtype}}, {"Dense": {"units": 10}}]
    with pytest.raises(Refusal, match=f"two processors compute {half} differently, which `instructions: native` allow"):
        trained(changed(LINEAR, layers=layers), small_split, small_split)


def test_of_few_images_there_are_as_many_more_epochs_as_make_the_least_steps():
    network = changed(RECIPE, epochs=3, batch_size=32)
    assert network.epochs_on(714) == 3
    assert changed(network, least_steps=2000).epochs_on(714) == 87
    assert changed(network, least_steps=2000).epochs_on(54_000) == 3


OVERFITTING = changed(RECIPE, optimizer={"Adam": {"learning_rate": 0.02}}, epochs=12)
"""On few images: after an epoch or two it gets worse on others."""


@pytest.fixture(scope="module")
def few(small_split: Split) -> tuple[Split, Split]:
    """64 images to train on, some of them mislabeled, and 100 others to validate with."""
    images, labels = small_split
    mislabeled = np.where(np.arange(64) % 3, labels[:64], (labels[:64] + 1) % 10).astype(np.uint8)
    return (images[:64], mislabeled), (images[64:164], labels[64:164])


def fitted(network: Network, training: Split, validation: Split, *callbacks: keras.callbacks.Callback):
    """The model and the history that Keras's own `fit` comes to, in the same order of the images."""
    keras.utils.set_random_seed(1)
    model = built(network)
    model.compile(
        construction.build_optimizer("x", network, model, steps=24),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def batches():
        shuffle = np.random.default_rng(1)
        while True:
            order = shuffle.permutation(len(training[0]))
            for start in range(0, len(order), network.batch_size):
                batch = order[start : start + network.batch_size]
                yield training[0][batch], training[1][batch]

    history = model.fit(
        batches(), epochs=network.epochs, steps_per_epoch=2, validation_data=validation, verbose=0, callbacks=callbacks
    ).history
    return model, history["val_loss"]


def assert_alike(ours: keras.Sequential, theirs: keras.Sequential) -> None:
    for our_weight, their_weight in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(our_weight, their_weight, atol=1e-4)


def test_the_best_epoch_is_kept_as_keras_checkpoints_it(few: tuple[Split, Split], tmp_path: Path):
    rows, model = trained(changed(OVERFITTING, keep="best"), *few)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True)
    _, losses = fitted(OVERFITTING, *few, checkpoint)
    assert len(rows) == len(losses) == 12
    assert rows[-1]["best_epoch"] == np.argmin(losses) + 1 < 12
    assert_alike(model, keras.saving.load_model(tmp_path / "best.keras"))
    assert epoch.compile_validation(model)(few[1])[2] == min(row["val_cross_entropy"] for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["last", "best"])
def test_patience_ends_a_training_where_keras_stops_it_early(few: tuple[Split, Split], keep: str):
    rows, model = trained(changed(OVERFITTING, keep=keep, patience=3), *few)
    stopping = keras.callbacks.EarlyStopping(patience=3, restore_best_weights=keep == "best")
    theirs, losses = fitted(OVERFITTING, *few, stopping)
    assert len(rows) == len(losses) < 12
    assert_alike(model, theirs)


def test_history_and_metrics_tell_which_epoch_is_kept_where_the_training_was_to_find_it(few: tuple[Split, Split]):
    network = changed(OVERFITTING, keep="best", patience=3)
    rows, _ = trained(network, *few)
    best = [row["best_epoch"] for row in rows]
    assert best == sorted(best)
    numbers = train.summarize("x", network, rows)
    assert (numbers["kept_epoch"], numbers["epochs"]) == (best[-1], len(rows))
    assert numbers["val_cross_entropy"] == min(row["val_cross_entropy"] for row in rows)
    assert numbers["train_accuracy"] == rows[best[-1] - 1]["accuracy"]


def test_where_the_last_epoch_is_kept_nothing_is_said_of_a_best_one(plain: tuple[list, keras.Sequential]):
    rows, _ = plain
    assert "best_epoch" not in rows[-1]
    assert "kept_epoch" not in train.summarize("x", RECIPE, rows)


@pytest.mark.parametrize(
    ("recipe", "said"), [({"keep": "best"}, "keep is 'best'"), ({"patience": 3}, "patience is 3")], ids=str
)
def test_without_validation_images_no_epoch_is_the_best(recipe: dict[str, object], said: str):
    with pytest.raises(Refusal, match=f"^params.yaml: networks.x.{said}, but no validation images are held out"):
        train.check_images("x", changed(RECIPE, **recipe), training=64, validation=0)
    train.check_images("x", RECIPE, training=64, validation=0)


BY_CHANCE = [
    {"RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1}},
    "Flatten",
    {"Dense": {"units": 16}},
    {"BatchNormalization": {"momentum": 0.9}},
    "ReLU",
    {"Dropout": {"rate": 0.5}},
    {"Dense": {"units": 10}},
]
AVERAGED = {"AdamW": {"learning_rate": 0.02, "use_ema": True, "ema_overwrite_frequency": 3}}
ACCUMULATED = {"SGD": {"learning_rate": 0.1, "momentum": 0.9, "gradient_accumulation_steps": 3}}
INTERRUPTED = [
    pytest.param(changed(OVERFITTING, keep="best", patience=3), id="the best"),
    pytest.param(
        changed(OVERFITTING, layers=BY_CHANCE, one_cycle={"warm_up": 0.3}, epochs=3),
        id="by chance",
        marks=pytest.mark.slow,
    ),
    pytest.param(
        changed(OVERFITTING, layers=BY_CHANCE[1:], jit_compile=True, epochs=3), id="by XLA", marks=pytest.mark.slow
    ),
    pytest.param(changed(OVERFITTING, optimizer=AVERAGED, epochs=4), id="averaged", marks=pytest.mark.slow),
    pytest.param(changed(OVERFITTING, optimizer=ACCUMULATED, epochs=4), id="accumulated", marks=pytest.mark.slow),
]


def begun(network: Network, split: tuple[Split, Split], state: State | None, kept: list[State]):
    """A training's rows, as they come, with its model; where it stands after each epoch goes to `kept`."""
    keras.utils.set_random_seed(1)
    model = built(network)
    optimizer = construction.build_optimizer("x", network, model, steps=network.epochs * 2)
    training = train.train(
        model, optimizer, network, *split, seed=1, bar=False, state=state, offer=lambda stand: kept.append(stand())
    )
    return training, model


@pytest.mark.parametrize("network", INTERRUPTED)
def test_a_training_that_was_interrupted_ends_with_the_bytes_of_one_that_was_not(
    few: tuple[Split, Split], network: Network
):
    whole, model = begun(network, few, None, kept := [])
    rows = list(whole)
    assert len(kept) == len(rows) - 1  # the last one has ended, and needs no going on
    rest, again = begun(network, few, kept[len(kept) // 2], [])
    assert list(rest) == rows
    for variable, same in zip(model.variables, again.variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), same.numpy())


def test_where_a_training_stands_can_be_kept_in_a_file(
    few: tuple[Split, Split], workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    """Numbers that JSON rounds, or a best epoch that there is none of yet, would not come back."""
    monkeypatch.setattr(checkpoint, "LEAST_S", 0)
    Path("dvc.yaml").write_text("stages: {train: {params: [seed]}}")
    Path(".dvc").mkdir()
    whole, _ = begun(OVERFITTING, few, None, kept := [])
    next(whole), next(whole)
    checkpoint.Checkpoint("train", Inputs("train")).offer(lambda: kept[0])
    found = checkpoint.Checkpoint("train", Inputs("train")).read()
    assert found.facts == kept[0].facts
    for array, same in zip(found.arrays, kept[0].arrays, strict=True):
        np.testing.assert_array_equal(array, same)
