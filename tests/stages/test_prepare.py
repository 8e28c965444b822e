from pathlib import Path

import numpy as np
import pytest

from digits.arrays import read_images
from digits.command import Refusal
from digits.dataset import TEST, TRAIN, IdxFile, encode_idx
from digits.parameters import Validation
from stages import prepare

LABELS = np.repeat(np.arange(10, dtype=np.uint8), [30, 20, 20, 20, 20, 20, 20, 20, 20, 10])


@pytest.mark.parametrize(("size", "count"), [(0, 0), (0.0, 0), (40, 40), (0.2, 40), (0.25, 50)])
@pytest.mark.parametrize("take", ["stratified", "first", "last"])
def test_a_count_or_a_share_is_held_out(size: float, count: int, take: str):
    assert prepare.split(LABELS, Validation(size=size, take=take, seed=1)).sum() == count


def test_first_and_last_are_what_they_say():
    assert np.flatnonzero(prepare.split(LABELS, Validation(size=3, take="first", seed=1))).tolist() == [0, 1, 2]
    assert np.flatnonzero(prepare.split(LABELS, Validation(size=3, take="last", seed=1))).tolist() == [197, 198, 199]


def test_a_stratified_choice_keeps_the_class_proportions_and_follows_the_seed():
    validation = Validation(size=20, take="stratified", seed=1)
    chosen = prepare.split(LABELS, validation)
    assert np.bincount(LABELS[chosen]).tolist() == [3, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    np.testing.assert_array_equal(chosen, prepare.split(LABELS, validation))
    assert (chosen != prepare.split(LABELS, Validation(size=20, take="stratified", seed=2))).any()


@pytest.mark.parametrize("size", [200, 10**9])
def test_holding_out_everything_is_refused(size: int):
    with pytest.raises(Refusal, match=f"prepare.validation.size is {size}, expected less than the 200"):
        prepare.split(LABELS, Validation(size=size, take="first", seed=1))


def test_a_stratified_choice_that_cannot_be_is_refused():
    with pytest.raises(Refusal, match="prepare.validation.size is 3, which leaves no stratified split"):
        prepare.split(LABELS, Validation(size=3, take="stratified", seed=1))


def write_raw(images: np.ndarray, labels: np.ndarray, names: tuple[str, str] = TRAIN) -> None:
    prepare.RAW.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, (images, labels), strict=True):
        (prepare.RAW / name).write_bytes(encode_idx(array))


IMAGES = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)


def test_images_are_normalized_in_parts_as_they_would_be_whole(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "PART", 7)
    write_raw(IMAGES, LABELS)
    chosen = prepare.split(LABELS, Validation(size=50, take="stratified", seed=1))
    prepare.write_images("train", IdxFile(prepare.RAW / TRAIN[0]), ~chosen)
    found = read_images("train")
    np.testing.assert_array_equal(found, IMAGES[~chosen].astype(np.float32) / 255)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (IMAGES[:, :8, :8], LABELS, r"train-images-idx3-ubyte holds the shape \(200, 8, 8\)"),
        (IMAGES[:0], LABELS[:0], r"train-images-idx3-ubyte holds the shape \(0, 28, 28\)"),
        (LABELS, LABELS, r"train-images-idx3-ubyte holds the shape \(200,\)"),
        (IMAGES, LABELS[:-1], r"train-labels-idx1-ubyte holds the shape \(199,\) for 200 images"),
        (IMAGES, LABELS + 1, "train-labels-idx1-ubyte has the label 10, expected 0 to 9"),
    ],
)
def test_other_raw_files_are_refused(workspace: Path, images: np.ndarray, labels: np.ndarray, said: str):
    write_raw(images, labels)
    with pytest.raises(Refusal, match=said):
        prepare.read_raw(TRAIN)


def test_images_in_both_splits_are_counted(workspace: Path):
    write_raw(IMAGES, LABELS)
    test_images = np.concatenate([IMAGES[[5, 9, 9]], IMAGES[:4] ^ 1])
    write_raw(test_images, LABELS[:7], TEST)
    hashes = [prepare.image_hashes(IdxFile(prepare.RAW / names[0])) for names in (TEST, TRAIN)]
    assert np.isin(*hashes).sum() == 3


def test_the_summary_is_that_of_the_training_split():
    found = prepare.summarize("some", {"train": LABELS, "validation": LABELS[:3], "test": LABELS[:2]}, 4)
    assert found == {
        "dataset": "some",
        "train": 200,
        "validation": 3,
        "test": 2,
        "smallest_class": 0.05,
        "largest_class": 0.15,
        "leakage": 4,
    }
