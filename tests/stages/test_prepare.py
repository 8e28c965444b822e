from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits.data.idx import IdxFile, write_idx
from digits.data.prepared import read_images
from digits.data.raw import RAW, TRAIN, Description, Source
from digits.data.split import split
from digits.data.task import Task
from digits.foundation.parameters import Validation
from stages import prepare

SOURCES = [Source("published", 150, 5), Source("own", 50, 3, by_content=True, repeat=3)]

LABELS = np.repeat(np.arange(10, dtype=np.uint8), [30, 20, 20, 20, 20, 20, 20, 20, 20, 10])


IMAGES = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)


def written(images: np.ndarray) -> IdxFile:
    write_idx(RAW / TRAIN[0], [images], images.shape)
    return IdxFile(RAW / TRAIN[0])


def test_images_are_normalized_in_parts_as_they_would_be_whole(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "PART", 7)
    rows = np.flatnonzero(~split(LABELS, Validation(size=50, take="stratified", seed=1)))
    prepare.write_images("train", written(IMAGES), rows)
    np.testing.assert_array_equal(read_images("train"), IMAGES[rows, ..., None].astype(np.float32) / 255)


def test_color_stays_and_repeated_rows_come_again(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "PART", 7)
    colored = np.random.default_rng(0).integers(0, 256, (20, 5, 6, 3), np.uint8)
    rows = np.array([0, 1, 9, 18, 19, 10, 19, 10, 19])
    prepare.write_images("train", written(colored), rows)
    np.testing.assert_array_equal(read_images("train"), colored[rows].astype(np.float32) / 255)


def test_images_in_both_splits_are_counted(workspace: Path):
    hashes = prepare.image_hashes(written(IMAGES))
    test_hashes = prepare.image_hashes(written(np.concatenate([IMAGES[[5, 9, 9]], IMAGES[:4] ^ 1])))
    assert np.isin(test_hashes, hashes).sum() == 3


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
