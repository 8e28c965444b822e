from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from digits.data.corrections import Correction
from digits.data.idx import IdxFile, write_idx
from digits.data.prepared import read_images
from digits.data.raw import Description, Raw, Split
from digits.data.sources import Source, joined, split
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.parameters import Validation
from stages import prepare

LABELS = np.repeat(np.arange(10, dtype=np.uint8), [30, 20, 20, 20, 20, 20, 20, 20, 20, 10])
IMAGES = np.random.default_rng(0).integers(0, 256, (200, 28, 28), np.uint8)
IDENTITIES = np.random.default_rng(0).integers(0, 256, (300, 8), np.uint8)
LETTERS = Task([*"abcdefghij"], "digit")


def written(images: np.ndarray) -> IdxFile:
    path = Path(f"images {len(images)} {images.shape[1]}.idx")
    write_idx(path, [images], images.shape)
    return IdxFile(path)


class Shape:
    """Stands for a file of images of which nobody asks for more."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape


def raw(
    labels: np.ndarray, identities: np.ndarray, test: np.ndarray, task: Task = LETTERS,
    shape: tuple[int, ...] = (3, 4), **facts: object,
) -> Raw:  # fmt: skip
    """A dataset whose test images have these identities."""
    description = Description(
        task, **({"by_content": False, "duplicates": 0, "unreadable": 0} | facts), published=[], sha256={}
    )
    splits = [(labels, identities), (np.zeros(len(test), np.uint8), test)]
    return Raw(description, *(Split(Shape(len(some), *shape), some, known) for some, known in splits))


def named(source: Source, files: list[str]) -> Source:
    """The same with names of its test images' files."""
    table = pd.DataFrame({"file": files, "more": 0})
    return replace(source, raw=replace(source.raw, test=replace(source.raw.test, files=table)))


def test_own_test_images_have_the_names_of_their_files_and_others_a_single_column():
    nothing = np.zeros(0, np.uint8), IDENTITIES[:0]
    held_out = np.zeros(0, bool)
    published, own = (Source(name, raw(*nothing, IDENTITIES[:2]), held_out, 1) for name in ("mnist", "own"))
    assert list(prepare.name_test_images([published])) == ["image"]
    both = prepare.name_test_images([published, named(own, ["a/x.png", "b/y.png"])])
    assert both.drop(columns="image").to_numpy().tolist() == [["", 0], ["", 0], ["a/x.png", 0], ["b/y.png", 0]]


def test_images_are_normalized_in_parts_as_they_would_be_whole(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prepare, "PART", 7)
    rows = np.flatnonzero(~split(LABELS, Validation(hold_out=50, take="stratified", seed=1)))
    prepare.write_images("train", [(written(IMAGES), rows)])
    np.testing.assert_array_equal(read_images("train"), IMAGES[rows, ..., None].astype(np.float32) / 255)


def test_color_stays_and_repeated_rows_come_again_behind_those_of_another_source(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(prepare, "PART", 7)
    colored = np.random.default_rng(0).integers(0, 256, (20, 5, 6, 3), np.uint8)
    first, rows = np.array([3, 4]), np.array([0, 1, 9, 18, 19, 10, 19, 10, 19])
    prepare.write_images("train", [(written(colored[::-1][:9]), first), (written(colored), rows)])
    expected = np.concatenate([colored[::-1][first], colored[rows]])
    np.testing.assert_array_equal(read_images("train"), expected.astype(np.float32) / 255)


def test_a_source_is_trained_on_as_often_as_it_is_repeated_and_never_on_what_is_held_out():
    source = Source("own", raw(LABELS, IDENTITIES[:200], IDENTITIES[:0]), np.arange(200) % 10 == 0, 3)
    times = np.bincount(source.rows_to_train_on(), minlength=200)
    np.testing.assert_array_equal(times, np.where(source.held_out, 0, 3))


def test_the_summary_of_one_source_is_flat():
    some = raw(LABELS, IDENTITIES[:200], IDENTITIES[199:201])
    assert prepare.summarize("some", [Source("some", some, np.arange(200) >= 198, 1)]) == {
        "dataset": "some", "train": 198, "validation": 2, "test": 2,
        "smallest_class": round(8 / 198, 6), "largest_class": round(30 / 198, 6), "leakage": 1,
    }  # fmt: skip


def test_the_summary_counts_groups_where_they_are_told():
    some = raw(LABELS, IDENTITIES[:200], IDENTITIES[200:204], by_content=True)
    held_out = np.arange(200) % 20 < 2
    assert "groups" not in prepare.count(Source("own", some, held_out, 1), np.zeros(4, bool))
    train = replace(some.train, groups=IDENTITIES[np.arange(200) % 20])
    test = replace(some.test, groups=IDENTITIES[[200, 200, 201, 201]])
    grouped = Source("own", Raw(some.description, train, test), held_out, 1)
    assert prepare.count(grouped, np.zeros(4, bool))["groups"] == {"train": 18, "validation": 2, "test": 2}


def test_the_summary_of_a_joined_dataset_has_every_source():
    published = raw(LABELS[:150], IDENTITIES[:150], IDENTITIES[200:205])
    own = raw(LABELS[150:], IDENTITIES[150:200], IDENTITIES[[210, 3, 211]], by_content=True, duplicates=4, unreadable=2)
    sources = [
        Source("published", published, np.arange(150) % 10 == 0, 1),
        Source("own", own, np.arange(50) % 10 == 0, 3),
    ]
    found = prepare.summarize("both", sources)
    assert (found["train"], found["validation"], found["test"], found["leakage"]) == (135 + 3 * 45, 20, 8, 1)
    assert list(found["sources"]) == ["published", "own"]
    of_own = found["sources"]["own"]
    assert (of_own["train"], of_own["validation"], of_own["test"], of_own["repeat"]) == (45, 5, 3, 3)
    assert (of_own["leakage"], of_own["duplicates"], of_own["unreadable"]) == (1, 4, 2)
    assert of_own["smallest_class"] == 0
    assert "duplicates" not in found["sources"]["published"]


NONE = IDENTITIES[:0]
ONE = raw(np.arange(9, dtype=np.uint8) % 3, IDENTITIES[:9], NONE, Task(["a", "b", "c"], "whole"))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"shape": (3, 5)}, "the images of one are 3 x 4 in grey, those of two 3 x 5 in grey"),
        ({"shape": (3, 4, 3)}, "the images of one are 3 x 4 in grey, those of two 3 x 4 in color"),
        ({"task": Task(["a", "b"], "whole")}, "one has the classes 'c', two does not"),
        ({"task": Task(["a", "b", "c", "d"], "whole"), "by_content": True}, "two has the classes 'd', one does not"),
        ({"task": Task([*"stuvwx"], "whole")}, "two has the classes 's', 't', 'u', 'v', 'w', ..., one does not"),
    ],
)
def test_what_differs_is_not_joined(other: dict, said: str):
    two = raw(np.zeros(9, np.uint8), IDENTITIES[:9], NONE, **({"task": Task(["a", "b", "c"], "whole")} | other))
    with pytest.raises(Refusal, match=f"datasets.both: {said}"):
        joined("both", {"one": ONE, "two": two})


def test_classes_that_nobody_shows_are_named():
    a, c, three = np.zeros(3, np.uint8), np.array([2], np.uint8), Task([*"abc"], "whole")
    assert prepare.classes_without([a], Task([*"abcdefgh"], "whole")) == "'b', 'c', 'd', 'e', 'f' and 2 more"
    assert prepare.classes_without([a, c], three) == "'b'"
    assert prepare.classes_without([a, c, c - 1], three) == ""


def test_a_folder_may_lack_classes_and_its_labels_become_the_others():
    labels = np.arange(6, dtype=np.uint8) % 2
    two = raw(labels, IDENTITIES[:6], NONE, Task(["c", "a"], "digit"), by_content=True)
    together = joined("both", {"one": ONE, "two": two})
    assert together["two"].train.labels.tolist() == [2, 0] * 3
    assert together["one"].train.labels.tolist() == [0, 1, 2] * 3
    assert together["two"].description.task.classes == ["a", "b", "c"]


def test_what_is_left_out_is_counted_nowhere_and_what_is_corrected_by_split():
    held_out = np.arange(200) >= 198
    names = [IDENTITIES[place].tobytes().hex() for place in range(300)]
    rows = [
        Correction(names[0], "some", "a", "b"),  # to train on
        Correction(names[1], "some", "a", ""),
        Correction(names[199], "some", "j", ""),  # to validate with; a test image too
        Correction(names[200], "some", "a", "c"),  # to test on
        Correction(names[2], "some", "a", "a"),  # found right
    ]
    source = Source("some", raw(LABELS, IDENTITIES[:200], IDENTITIES[200:203]), held_out, 1, rows)
    assert source.rows_to_train_on().tolist() == [0, *range(2, 198)]
    assert source.rows_to_validate_with().tolist() == [198]
    numbers = prepare.summarize("some", [source])
    assert [numbers[split] for split in ("train", "validation", "test")] == [197, 1, 3]
    assert numbers["largest_class"] == round(28 / 197, 6)
    assert numbers["corrected"] == {"train": 2, "validation": 1, "test": 1}


def test_test_images_that_are_left_out_stand_behind_the_others():
    rows = [Correction(IDENTITIES[1].tobytes().hex(), "some", "a", "")]
    source = Source("some", raw(LABELS[:1], IDENTITIES[200:201], IDENTITIES[:3]), np.zeros(1, bool), 1, rows)
    assert source.rows_to_test_on().tolist() == [0, 2]
    assert source.rows_to_test_on(left_out=True).tolist() == [1]


def test_an_image_that_is_left_out_is_nothing_now(workspace: Path):
    """Whatever the labels' type: the published datasets' have no number below zero."""
    rows = [Correction(IDENTITIES[1].tobytes().hex(), "some", "a", "")]
    tested = raw(LABELS[:1], IDENTITIES[200:201], IDENTITIES[:3])
    tested = replace(tested, test=replace(tested.test, images=written(IMAGES[:3])))
    source = Source("some", tested, np.zeros(1, bool), 1, rows)
    assert tested.test.labels.dtype == np.uint8
    table = prepare.write_split("test", [(source, np.arange(3))])
    assert table["was"].tolist() == ["a"] * 3
    assert table["is"].tolist() == ["a", "", "a"]


def test_leaving_one_of_two_equal_images_out_ends_the_leakage():
    leaking = raw(LABELS[:3], IDENTITIES[:3], IDENTITIES[2:3])
    rows = [Correction(IDENTITIES[2].tobytes().hex(), "some", "a", "")]
    none = np.zeros(3, bool)
    assert prepare.leaks([Source("some", leaking, none, 1)]) == {"some": 1}
    assert prepare.leaks([Source("some", leaking, none, 1, rows)]) == {"some": 0}
