from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits.arrays import read_images
from digits.command import Refusal
from digits.dataset import RAW, TRAIN, Description, Source
from digits.idx import IdxFile, write_idx
from digits.parameters import Validation
from digits.task import Task
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


IMAGES = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)


def written(images: np.ndarray) -> IdxFile:
    write_idx(RAW / TRAIN[0], [images], images.shape)
    return IdxFile(RAW / TRAIN[0])


def test_images_are_normalized_in_parts_as_they_would_be_whole(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "PART", 7)
    rows = np.flatnonzero(~prepare.split(LABELS, Validation(size=50, take="stratified", seed=1)))
    prepare.write_images("train", written(IMAGES), rows)
    np.testing.assert_array_equal(read_images("train"), IMAGES[rows, ..., None].astype(np.float32) / 255)


def test_color_stays_and_repeated_rows_come_again(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "PART", 7)
    colored = np.random.default_rng(0).integers(0, 256, (20, 5, 6, 3), np.uint8)
    rows = np.array([0, 1, 9, 18, 19, 10, 19, 10, 19])
    prepare.write_images("train", written(colored), rows)
    np.testing.assert_array_equal(read_images("train"), colored[rows].astype(np.float32) / 255)


HASHES = np.random.default_rng(0).integers(0, 2**64, 200, np.uint64)


def test_an_image_of_a_folder_is_held_out_for_its_content_alone():
    validation = Validation(size=0.25, take="first", seed=1)
    chosen = prepare.split_by_content(HASHES, validation)
    assert 30 < chosen.sum() < 70
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(prepare.split_by_content(HASHES[order], validation), chosen[order])
    np.testing.assert_array_equal(prepare.split_by_content(HASHES[:9], validation), chosen[:9])
    other = Validation(size=0.25, take="stratified", seed=7)
    np.testing.assert_array_equal(prepare.split_by_content(HASHES, other), chosen)
    assert not prepare.split_by_content(HASHES, Validation(size=0, take="first", seed=1)).any()
    more = prepare.split_by_content(HASHES, Validation(size=0.5, take="first", seed=1))
    assert (more | ~chosen).all(), "a larger share keeps who was held out"


def test_a_count_of_a_folders_images_is_refused():
    with pytest.raises(Refusal, match="prepare.validation.size is 5, expected a share"):
        prepare.split_by_content(HASHES, Validation(size=5, take="first", seed=1))


def test_a_folder_of_which_all_would_be_held_out_is_refused():
    with pytest.raises(Refusal, match="which holds out all 1 training images of a folder"):
        prepare.split_by_content(np.zeros(1, np.uint64), Validation(size=0.1, take="first", seed=1))


SOURCES = [Source("published", 150, 5), Source("own", 50, 3, by_content=True, repeat=3)]


def test_each_source_is_split_as_if_it_were_alone():
    validation = Validation(size=0.2, take="stratified", seed=1)
    held_out = prepare.hold_out(LABELS, HASHES, SOURCES, validation)
    np.testing.assert_array_equal(held_out[:150], prepare.split(LABELS[:150], validation))
    np.testing.assert_array_equal(held_out[150:], prepare.split_by_content(HASHES[150:], validation))


def test_a_source_is_trained_on_as_often_as_it_is_repeated_and_never_on_what_is_held_out():
    held_out = prepare.hold_out(LABELS, HASHES, SOURCES, Validation(size=0.2, take="stratified", seed=1))
    times = np.bincount(prepare.rows_to_train_on(held_out, SOURCES), minlength=200)
    np.testing.assert_array_equal(times, np.where(held_out, 0, np.repeat([1, 3], [150, 50])))


def test_images_in_both_splits_are_counted(workspace: Path):
    hashes = prepare.image_hashes(written(IMAGES))
    test_hashes = prepare.image_hashes(written(np.concatenate([IMAGES[[5, 9, 9]], IMAGES[:4] ^ 1])))
    assert np.isin(test_hashes, hashes).sum() == 3


def test_a_test_image_keeps_its_name_wherever_it_stands_and_loses_it_with_its_class():
    names = prepare.names_of_images(HASHES, LABELS, [*"abcdefghij"])["image"]
    assert names.is_unique
    assert {len(name) for name in names} == {8}
    assert prepare.names_of_images(HASHES[[7]], LABELS[[7]], [*"abcdefghij"])["image"][0] == names[7]
    assert prepare.names_of_images(HASHES[[7]], LABELS[[7]], [*"bacdefghij"])["image"][0] != names[7]


def test_the_summary_of_one_source_is_flat():
    description = Description("some", Task([*"abcdefghij"], "digit"), [Source("some", 200, 2)], {})
    held_out = np.arange(200) >= 198
    found = prepare.summarize(description, LABELS, held_out, np.array([True, False]))
    assert found == {
        "dataset": "some", "train": 198, "validation": 2, "test": 2,
        "smallest_class": round(8 / 198, 6), "largest_class": round(30 / 198, 6), "leakage": 1,
    }  # fmt: skip


def test_the_summary_of_a_joined_dataset_has_every_source():
    sources = [SOURCES[0], replace(SOURCES[1], duplicates=4, unreadable=2)]
    description = Description("both", Task([*"abcdefghij"], "digit"), sources, {})
    held_out = np.arange(200) % 10 == 0
    found = prepare.summarize(description, LABELS, held_out, np.arange(8) == 6)
    assert (found["train"], found["validation"], found["test"], found["leakage"]) == (135 + 3 * 45, 20, 8, 1)
    assert list(found["sources"]) == ["published", "own"]
    own = found["sources"]["own"]
    assert (own["train"], own["validation"], own["test"], own["leakage"], own["repeat"]) == (45, 5, 3, 1, 3)
    assert (own["duplicates"], own["unreadable"]) == (4, 2)
    assert own["smallest_class"] == 0
    assert "duplicates" not in found["sources"]["published"]
