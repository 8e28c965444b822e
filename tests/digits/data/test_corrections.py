"""What data/corrections.csv says of images: read, refused by its line, and applied."""

from pathlib import Path

import numpy as np
import pytest

from digits.data.corrections import COLUMNS, Correction, apply, read_corrections, write_corrections
from digits.data.raw import Split
from digits.foundation.command import Refusal

HEADER = ",".join(COLUMNS)
ONE = "00000000000000a1"
CLASSES = ["a", "b", "c"]


def split_of(*labels: int, images: list[int]) -> Split:
    """Images that are known by their numbers."""
    identities = np.array([[0] * 7 + [image] for image in images], np.uint8).reshape(-1, 8)
    return Split(None, np.array(labels, np.uint8), identities)  # whose pixels nobody asks for


def named(image: int, was: str, becomes: str) -> Correction:
    return Correction(f"{image:016x}", "some", was, becomes, line=7)


def test_what_was_written_is_read(tmp_path: Path):
    written = [
        Correction(ONE, "mnist", "4", "9", 'open above, "I think",\nand long'),
        Correction(ONE, "own", "a,b", ""),
        Correction("f" * 16, "mnist", "4", "4", "ok"),
    ]
    write_corrections(written, tmp_path / "corrections.csv")
    assert list(read_corrections(tmp_path / "corrections.csv").values()) == written


def test_what_a_spreadsheet_saves_is_read(tmp_path: Path):
    (tmp_path / "some.csv").write_bytes(f"\ufeff{HEADER}\r\n{ONE},mnist,4,9,\r\n\r\n".encode())
    assert list(read_corrections(tmp_path / "some.csv").values()) == [Correction(ONE, "mnist", "4", "9")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "begins with '', expected image,dataset,was,is,why"),
        ("image,was,is\n", "begins with 'image,was,is', expected image,"),
        (f"{HEADER}\n{ONE},mnist,4\n", "line 2: 3 cells, expected 5"),
        (f"{HEADER}\nA1,mnist,4,9,\n", "line 2: `image` is 'A1', expected 16 letters"),
        (f'{HEADER}\n{ONE},mnist,4,9,"two\nlines"\n{ONE},mnist,4,7,\n', "line 4: .* has a row already, in line 3"),
        (f'{HEADER}\n{ONE},mnist,4,9,"\n', "cannot be read"),
        (f"{HEADER}\n{ONE},mnist,4,9,\xff\n", "cannot be read"),
    ],
)
def test_what_is_no_list_of_corrections_is_refused_by_its_line(tmp_path: Path, content: str, said: str):
    (tmp_path / "some.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(Refusal, match=said):
        read_corrections(tmp_path / "some.csv")


def test_a_missing_file_is_told_with_what_belongs_there(tmp_path: Path):
    with pytest.raises(Refusal, match=f"is missing, expected at least the line {HEADER}"):
        read_corrections(tmp_path / "some.csv")


def test_labels_change_images_are_left_out_and_what_was_found_right_stays():
    rows = [named(1, "a", "b"), named(2, "b", ""), named(3, "c", "c"), named(9, "a", "b")]
    corrected = apply(rows, split_of(0, 1, 2, 0, images=[1, 2, 3, 4]), CLASSES)
    assert corrected.labels.tolist() == [1, 1, 2, 0]
    assert corrected.kept.tolist() == [True, False, True, True]
    assert corrected.changed.tolist() == [True, True, False, False]


def test_of_equal_images_under_two_labels_the_one_that_is_meant_changes():
    corrected = apply([named(1, "a", "b")], split_of(0, 1, 2, 0, images=[1, 1, 3, 1]), CLASSES)
    assert corrected.labels.tolist() == [1, 1, 2, 1]
    assert corrected.changed.tolist() == [True, False, False, True]


def test_a_correction_holds_nothing_up_once_the_image_was_sorted_anew():
    corrected = apply([named(1, "a", "b")], split_of(1, images=[1]), CLASSES)
    assert corrected.labels.tolist() == [1]
    assert not corrected.changed.any()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (named(1, "a", "z"), r"corrections.csv, line 7: `is` is 'z', expected one of the classes a, b, c"),
        (named(1, "", "b"), "line 7: `was` is '', expected one of the classes"),
        (named(1, "c", "b"), "line 7: `was` is 'c', but some delivers the image as 'a'"),
        (named(1, "c", ""), "line 7: `was` is 'c', but some delivers the image as 'a'"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_by_its_line(row: Correction, said: str):
    with pytest.raises(Refusal, match=said):
        apply([row], split_of(0, images=[1]), CLASSES)


def test_no_images_have_nothing_to_correct():
    assert not len(apply([named(1, "a", "b")], split_of(images=[]), CLASSES).labels)
