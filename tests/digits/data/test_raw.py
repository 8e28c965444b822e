import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from digits.data.idx import IdxFile, write_idx
from digits.data.raw import (
    DESCRIPTION,
    RAW,
    TEST,
    TRAIN,
    Loaded,
    Source,
    joined,
    read_description,
    read_raw,
    write_raw,
)
from digits.data.task import Task
from digits.foundation.command import Refusal

LETTERS = Task(["a", "b", "c"], "whole")


def loaded(count: int, task: Task = LETTERS, shape: tuple[int, ...] = (3, 4, 1), **facts: object) -> Loaded:
    """As many images, every third of them for the test."""
    images = np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)
    return replace(Loaded(task, images, np.arange(count) % len(task.classes), np.arange(count) % 3 == 2), **facts)  # type: ignore[arg-type]


def test_what_is_written_is_described_and_reads_back(workspace: Path):
    one, two = loaded(9), loaded(30, by_content=True, duplicates=2, unreadable=1)
    write_raw("both", {"one": one, "two": two}, {"two": 5})
    description = read_description()
    assert (description.name, description.task) == ("both", LETTERS)
    assert description.sources == [Source("one", 6, 3), Source("two", 20, 10, True, 5, 2, 1)]
    images, labels = read_raw(TRAIN, 3)
    np.testing.assert_array_equal(images.read(), np.concatenate([of.images[~of.in_test] for of in (one, two)])[..., 0])
    np.testing.assert_array_equal(labels, np.concatenate([of.labels[~of.in_test] for of in (one, two)]))
    np.testing.assert_array_equal(read_raw(TEST, 3)[0].read(6), two.images[two.in_test][3:, ..., 0])


def test_color_and_many_classes_have_room(workspace: Path):
    many = Task([str(number) for number in range(1000)], "whole")
    write_raw("many", {"many": loaded(3000, many, (5, 6, 3))}, {})
    images, labels = read_raw(TRAIN, 1000)
    assert images.shape == (2000, 5, 6, 3)
    assert (labels.dtype, labels.max()) == (np.int16, 999)


def test_a_file_that_is_not_the_described_one_is_refused(workspace: Path):
    write_raw("one", {"one": loaded(9)}, {})
    content = bytearray((RAW / TEST[0]).read_bytes())
    content[-1] ^= 1
    (RAW / TEST[0]).write_bytes(content)
    with pytest.raises(Refusal, match=r"data/raw/test-images.idx has the SHA-256 .*, data/raw/dataset.json says"):
        read_description()


def test_without_images_to_test_on_nothing_is_written(workspace: Path):
    with pytest.raises(Refusal, match="one has no test images"):
        write_raw("one", {"one": replace(loaded(9), in_test=np.zeros(9, bool))}, {})
    assert not RAW.exists()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (loaded(9, shape=(3, 5, 1)), "the images of one are 3 x 4 in grey, those of two 3 x 5 in grey"),
        (loaded(9, shape=(3, 4, 3)), "the images of one are 3 x 4 in grey, those of two 3 x 4 in color"),
        (loaded(9, Task(["a", "b"], "whole")), "one has the classes 'c', two does not"),
        (loaded(9, Task(["a", "b", "c", "d"], "whole"), by_content=True), "two has the classes 'd', one does not"),
        (
            loaded(9, Task([*"stuvwx"], "whole")),
            "two has the classes 's', 't', 'u', 'v', 'w', ..., one does not",
        ),
    ],
)
def test_what_differs_is_not_joined(other: Loaded, said: str):
    with pytest.raises(Refusal, match=f"datasets.both: {said}"):
        joined("both", {"one": loaded(9), "two": other})


def test_a_folder_may_lack_classes_and_its_labels_become_the_others():
    together = joined("both", {"one": loaded(9), "two": loaded(6, Task(["c", "a"], "digit"), by_content=True)})
    assert together["two"].labels.tolist() == [2, 0] * 3
    assert together["one"].labels.tolist() == [0, 1, 2] * 3


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8), r"train-images.idx holds the shape \(0, 28, 28\)"),
        (np.zeros(9, np.uint8), np.zeros(9, np.uint8), r"train-images.idx holds the shape \(9,\)"),
        (np.zeros((9, 2, 2), np.uint8), np.zeros(8, np.uint8), r"train-labels.idx holds the shape \(8,\) for 9 images"),
        (np.zeros((9, 2, 2), np.uint8), np.full(9, 3, np.uint8), "train-labels.idx has the label 3, expected 0 to 2"),
        (np.zeros((9, 2, 2), np.uint8), np.full(9, -1, np.int16), "train-labels.idx has the label -1, expected 0 to 2"),
    ],
)
def test_other_raw_files_are_refused(workspace: Path, images: np.ndarray, labels: np.ndarray, said: str):
    for name, array in zip(TRAIN, (images, labels), strict=True):
        write_idx(RAW / name, [array], array.shape)
    with pytest.raises(Refusal, match=said):
        read_raw(TRAIN, 3)


@pytest.mark.parametrize("of", [(), TRAIN, (*TRAIN, *TEST, "../other")])
def test_a_description_of_other_files_is_refused(workspace: Path, of: tuple[str, ...]):
    write_raw("one", {"one": loaded(9)}, {})
    described = json.loads(DESCRIPTION.read_text())
    DESCRIPTION.write_text(json.dumps(described | {"sha256": dict.fromkeys(of, "0" * 64)}) + "\n")
    with pytest.raises(
        Refusal, match=r"data/raw/dataset.json has the SHA-256 of .*, expected those of train-images.idx"
    ):
        read_description()


def test_an_idx_file_is_what_is_written(workspace: Path):
    write_raw("one", {"one": loaded(9)}, {})
    assert IdxFile(RAW / TRAIN[0]).shape == (6, 3, 4)
