"""Which labels are doubted first, which images are alike, and the command from the data to the corrected network."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from commands.review import edges, held_out, relatives
from commands.review.__main__ import on_both_sides, report
from commands.review.stages_apart import folder_apart, run_stage
from commands.review.suspects import Images, rank
from digits.data.corrections import Correction
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.network.tensorflow import keras
from tests.conftest import ROOT, Repository
from tests.hand import write_hand

TASK = Task(["a", "b", "c"], "whole")


def images_of(*labels: int) -> Images:
    names = [f"{place:016x}" for place in range(len(labels))]
    classes = [TASK.classes[label] for label in labels]
    table = pd.DataFrame(
        {"split": "train", "dataset": "some", "image": names, "was": classes, "is": classes, "file": ""}
    )
    return Images(TASK, np.zeros((len(labels), 4, 4, 1), np.float32), np.array(labels, np.uint8), table)


def test_what_another_class_takes_for_sure_comes_before_what_no_class_takes():
    said = np.array([[0.98, 0.01, 0.01], [0.3, 0.36, 0.34], [0.1, 0.05, 0.85], [0.4, 0.2, 0.4]])
    ranked = rank(images_of(0, 0, 0, 1), said, {})
    assert ranked["place"].tolist() == [2, 3, 1, 0]
    first = ranked.iloc[0]
    assert (first["label"], first["probability"], first["likely"], first["likely_probability"]) == ("a", 0.1, "c", 0.85)


def test_nobody_is_asked_again_for_what_stands_in_the_corrections():
    known = {("some", f"{0:016x}"): Correction(f"{0:016x}", "some", "a", "a")}
    other = {("other", f"{1:016x}"): Correction(f"{1:016x}", "other", "a", "a")}
    ranked = rank(images_of(0, 1), np.full((2, 3), 1 / 3), known | other)
    assert ranked["place"].tolist() == [1]


def test_equal_images_are_in_one_fold_and_each_fold_has_its_share():
    identities = np.random.default_rng(0).integers(0, 256, (4000, 8), np.uint8)
    of_fold = held_out.folds(np.concatenate([identities, identities[:50]]))
    np.testing.assert_array_equal(of_fold[:50], of_fold[4000:])
    shares = np.bincount(of_fold, minlength=held_out.FOLDS) / len(of_fold)
    assert abs(shares - 1 / held_out.FOLDS).max() < 0.03


@pytest.mark.slow
def test_what_a_stage_refuses_is_refused_here():
    parameters = (ROOT / "params.yaml").read_text().replace("network: convnet #", "network: nobody #")
    with folder_apart(parameters) as folder, pytest.raises(Refusal, match="nobody"):
        run_stage(folder, "train")
    assert not folder.exists()


def test_a_shifted_copy_correlates_and_another_image_does_not():
    noise = np.random.default_rng(0).random((6, 12, 12, 3)).astype(np.float32)
    assert relatives.correlation(noise, np.roll(noise, (1, -2), axis=(1, 2))).min() > 0.999
    assert relatives.correlation(noise, noise[::-1]).max() < 0.5
    assert relatives.correlation(noise, np.zeros_like(noise)).max() == 0


def test_nearly_equal_images_on_both_sides_of_the_split_are_named_by_their_files_with_their_labels():
    images = images_of(0, 1, 2, 0, 1, 2, 1)
    pixels = np.zeros((7, 16, 16, 1), np.float32)
    pixels[:, 4:12, 4:12] = np.random.default_rng(1).uniform(0, 1, (7, 8, 8, 1))
    pixels[6] = np.roll(pixels[0], 1, axis=1)
    table = images.table.assign(split=["train"] * 5 + ["test"] * 2, file=[f"of/{place}.png" for place in range(7)])
    images = replace(images, pixels=pixels, table=table)
    features = np.eye(7)[[0, 1, 2, 3, 4, 5, 0]]
    copies = on_both_sides(images, features)
    *_, counted, named = report(rank(images, np.full((7, 3), 1 / 3), {}), copies, images).splitlines()
    assert counted == "1 test image has a nearly equal one not to test on, 1 of them with another label:"
    assert named == "of/6.png (b) and of/0.png (a), correlation 1.0000"


def bars(count: int, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Images of bars that lie (0) or stand (1), each somewhere, as light and on a ground as light as comes."""
    drawn = np.random.default_rng(0)
    images, labels = np.empty((count, *shape), np.float32), drawn.integers(0, 2, count)
    height, width, _ = shape
    for image, label in zip(images, labels, strict=True):
        image[:], light = drawn.uniform(0, 0.4, 2)
        across = (0.4 + drawn.uniform(-0.1, 0.1)) * np.array([height, width])
        along = slice(int(across[label]), int(across[label] + 0.2 * shape[label]))
        image[(slice(None), along) if label else along] += 0.2 + light
    return images, labels


@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 40, 3), (8, 8, 1)])
def test_neighbors_by_their_edges_know_a_label_that_lies(shape: tuple[int, int, int]):
    images, true = bars(80, shape)
    labels = true.copy()
    labels[:4] = 1 - labels[:4]
    taught = np.arange(80) < 60
    votes = edges.votes(images, labels, taught, 3)
    np.testing.assert_allclose(votes.sum(axis=1), 1)
    found = votes.argmax(axis=1) == true
    assert found[:4].all()
    assert found.mean() > 0.95
    np.testing.assert_array_equal(edges.histograms(images), edges.histograms(images / 2))


def test_without_others_to_learn_from_no_neighbor_says_anything():
    images, labels = bars(2, (28, 28, 1))
    np.testing.assert_allclose(edges.votes(images, labels, np.array([True, False]), 4), 0.25)
    assert not edges.histograms(np.zeros((1, 9, 9, 3), np.float32)).any()


def test_who_contradicts_the_labels_less_has_the_more_weight():
    labels = np.zeros(100, int)
    networks, neighbors = np.tile([0.7, 0.3], (100, 1)), np.tile([0.9, 0.1], (100, 1))
    networks[:10], neighbors[:30] = [0.2, 0.8], [0.4, 0.6]
    both = edges.together(networks, neighbors, labels, np.ones(100, bool))
    np.testing.assert_allclose(both, 0.75 * networks + 0.25 * neighbors, atol=1e-5)
    only = edges.together(networks, neighbors, labels, np.arange(100) >= 10)  # where the networks are never wrong
    np.testing.assert_allclose(only, networks, atol=1e-4)


@pytest.mark.parametrize("layers", [["Flatten", "Dense"], ["Dense", "ReLU", "Dense", "ReLU"]])
def test_the_nearest_are_those_of_the_same_direction(layers: list[str]):
    given = {"Dense": {"units": 8}}
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Flatten()])
    for name in layers:
        model.add(getattr(keras.layers, name)(**given.get(name, {})))
    images = np.random.default_rng(0).random((9, 4, 4, 1)).astype(np.float32)
    images[7] = images[2]
    features = relatives.last_hidden(model, images)
    np.testing.assert_allclose((features**2).sum(axis=1), 1, rtol=1e-5)
    near = relatives.nearest(features, np.array([2, 5]), np.arange(9), 3)
    assert near[0, 0] == 7
    assert near.shape == (2, 3)
    assert 5 not in near[1]
    assert not relatives.nearest(features, np.array([2]), np.array([2]), 3).size


@pytest.mark.parametrize(("columns", "count"), [(relatives.BLOCK, 100), (40 * relatives.BLOCK, 3)])
def test_the_highest_are_found_in_order_and_of_equal_ones_the_first(columns: int, count: int):
    values = np.random.default_rng(count).integers(0, columns // 4, (20, columns)).astype(np.float32)  # many are equal
    values[3] = 7
    values[4, 5:] = -np.inf
    in_order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(relatives.highest(values, count), in_order)


@pytest.mark.torture
def test_a_person_finds_misfiled_pictures_corrects_them_and_goes_back(finished: Repository, tmp_path):
    decode = json.JSONDecoder().raw_decode  # on standard error, bars may follow
    repository = finished.copy(tmp_path / "repository")
    folder = repository.path / "data/own/images"
    write_hand(folder, 30)
    misfiled = sorted((folder / "4").iterdir())[:3]
    for file in misfiled:
        file.rename(folder / "7" / f"from-4-{file.name}")
    repository.replace("params.yaml", "dataset: digits", "dataset: own")
    repository.replace("params.yaml", "take: few-pictures", "take: relu-128-128")
    repository.replace("params.yaml", "  relu-128-128:\n", "  relu-128-128:\n    keep: best\n")
    repository.dvc("repro", "evaluate")
    repository.commit("My hand")

    said, _ = decode(repository.run("python", "-m", "commands.review", "--json", "--csv", "all.csv"))
    worst = [row for row in said["suspects"][:6] if (row["label"], row["likely"]) == ("7", "4")]
    assert len(worst) >= 2
    assert [row["file"][:9] for row in worst] == ["7/from-4-"] * len(worst)
    other = repository.copy(tmp_path / "else" / "where")
    again = other.run("python", "-m", "commands.review", "--json", "--csv", "again.csv")
    assert decode(again)[0] == said
    assert (other.path / "again.csv").read_bytes() == (repository.path / "all.csv").read_bytes()

    rows = (repository.path / "all.csv").read_text().splitlines(keepends=True)
    chosen = [row for row in rows if any(row.startswith(f"{one['image']},own,7,4,") for one in worst)]
    assert len(chosen) == len(worst)
    with (repository.path / "data/corrections.csv").open("a") as file:
        file.writelines(chosen)
    repository.dvc("repro", "evaluate")
    numbers = json.loads((repository.path / "metrics/data.json").read_text())
    assert sum(numbers["corrected"].values()) == len(worst)
    told = repository.run("python", "-m", "commands.review")
    assert not [row["image"] for row in worst if row["image"] in told]
    assert re.search(r"^[0-9a-f]{16}  \w+ +\d +\d+\.\d\d%  \d +\d+\.\d\d%  \d/\S+\.png$", told, re.MULTILINE)
    repository.run("git", "checkout", "--", ".")
    repository.dvc("checkout")
    assert "up to date" in repository.dvc("status", "evaluate")
