import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from digits.data.idx import write_idx
from digits.data.raw import (
    DESCRIPTION,
    FETCHED,
    INDEX,
    TEST_FILES,
    Description,
    Loaded,
    digests,
    keep_only,
    read_description,
    read_raw,
    write_raw,
)
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.files import write_json

LETTERS = Task(["a", "b", "c"], "whole")
ONE = FETCHED / "one"


def loaded(count: int, task: Task = LETTERS, shape: tuple[int, ...] = (3, 4, 1), **facts: object) -> Loaded:
    """As many images, every third of them for the test."""
    generator = np.random.default_rng(count)
    images = generator.integers(0, 256, (count, *shape), np.uint8)
    identities = generator.integers(0, 256, (count, 8), np.uint8)
    labels, in_test = np.arange(count) % len(task.classes), np.arange(count) % 3 == 2
    return replace(Loaded(task, images, labels, identities, in_test), **facts)  # type: ignore[arg-type]


def test_what_is_written_is_described_and_reads_back(workspace: Path):
    one = loaded(30, by_content=True, duplicates=2, unreadable=1, published=["x"])
    write_raw(ONE, one)
    raw = read_raw(ONE)
    assert raw.description == Description(LETTERS, True, 2, 1, ["x"], digests(ONE))
    for split, chosen in ((raw.train, ~one.in_test), (raw.test, one.in_test)):
        np.testing.assert_array_equal(split.images.read(), one.images[chosen][..., 0])
        np.testing.assert_array_equal(split.labels, one.labels[chosen])
        np.testing.assert_array_equal(split.identities, one.identities[chosen])


def test_groups_are_written_where_they_are_told_and_nowhere_else(workspace: Path):
    one = loaded(30, groups=np.random.default_rng(1).integers(0, 256, (30, 8), np.uint8))
    write_raw(ONE, one)
    raw = read_raw(ONE)
    for split, chosen in ((raw.train, ~one.in_test), (raw.test, one.in_test)):
        np.testing.assert_array_equal(split.groups, one.groups[chosen])
    groups = ONE / "train-groups.idx"
    content = groups.read_bytes()
    groups.unlink()
    with pytest.raises(Refusal, match=r"train-groups.idx has the SHA-256 nothing"):
        read_raw(ONE)
    write_raw(ONE, loaded(30))
    assert not [*ONE.glob("*groups*")]
    assert read_raw(ONE).train.groups is None
    groups.write_bytes(content)
    with pytest.raises(Refusal, match=r"train-groups.idx has the SHA-256 .*dataset.json says nothing"):
        read_raw(ONE)


def test_the_files_of_test_images_are_written_where_they_have_names(workspace: Path):
    files = pd.DataFrame({"file": [f"a/{row}, \u00fc.png" for row in range(9)], "more": range(9)})
    write_raw(ONE, loaded(9, files=files))
    raw = read_raw(ONE)
    assert raw.train.files is None
    assert raw.test.files.to_numpy().tolist() == [[f"a/{row}, \u00fc.png", row] for row in (2, 5, 8)]
    (ONE / TEST_FILES).write_text("file,more\nother.png,0\n")
    with pytest.raises(Refusal, match=r"one/test-files.csv has the SHA-256"):
        read_raw(ONE)


def test_color_and_many_classes_have_room(workspace: Path):
    write_raw(ONE, loaded(3000, Task([str(number) for number in range(1000)], "whole"), (5, 6, 3)))
    train = read_raw(ONE).train
    assert train.images.shape == (2000, 5, 6, 3)
    assert (train.labels.dtype, train.labels.max()) == (np.int16, 999)


def test_a_dataset_may_have_no_test_images(workspace: Path):
    write_raw(ONE, loaded(9, in_test=np.zeros(9, bool)))
    assert [len(split.labels) for split in (read_raw(ONE).train, read_raw(ONE).test)] == [9, 0]


def test_a_file_that_is_not_the_described_one_is_refused(workspace: Path):
    write_raw(ONE, loaded(9))
    content = bytearray((ONE / "test-images.idx").read_bytes())
    content[-1] ^= 1
    (ONE / "test-images.idx").write_bytes(content)
    with pytest.raises(Refusal, match=r"one/test-images.idx has the SHA-256 .*, data/raw/fetched/one/dataset.json say"):
        read_description(ONE)


def test_nothing_else_is_left_in_the_folder(workspace: Path):
    for name in ("one", "two"):
        write_raw(FETCHED / name, loaded(9))
    (FETCHED / "stray").touch()
    keep_only(FETCHED, ["two"])
    assert {path.name for path in FETCHED.iterdir()} == {"two", INDEX}
    keep_only(FETCHED, [])
    assert [path.name for path in FETCHED.iterdir()] == [INDEX]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("images", np.zeros(6, np.uint8), r"train-images.idx holds the shape \(6,\)"),
        ("labels", np.zeros(5, np.uint8), r"train-labels.idx holds the shape \(5,\) and .* for 6 images"),
        ("identities", np.zeros((6, 7), np.uint8), r"train-identities.idx \(6, 7\) for 6 images"),
        ("labels", np.full(6, 3, np.uint8), "train-labels.idx has the label 3, expected 0 to 2"),
        ("labels", np.full(6, -1, np.int16), "train-labels.idx has the label -1, expected 0 to 2"),
    ],
)
def test_other_raw_files_are_refused(workspace: Path, name: str, content: np.ndarray, said: str):
    write_raw(ONE, loaded(9))
    write_idx(ONE / f"train-{name}.idx", [content], content.shape)
    write_json(ONE / DESCRIPTION, asdict(replace(Description(LETTERS, False, 0, 0, [], {}), sha256=digests(ONE))))
    with pytest.raises(Refusal, match=said):
        read_raw(ONE)


def test_a_description_that_lacks_a_file_is_refused(workspace: Path):
    write_raw(ONE, loaded(9))
    described = json.loads((ONE / DESCRIPTION).read_text())
    del described["sha256"]["train-labels.idx"]
    write_json(ONE / DESCRIPTION, described)
    with pytest.raises(Refusal, match=r"train-labels.idx has the SHA-256 .*dataset.json says nothing"):
        read_description(ONE)
