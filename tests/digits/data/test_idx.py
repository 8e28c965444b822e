from pathlib import Path

import numpy as np
import pytest

from digits.data.idx import IdxFile, header, parse_idx, write_idx
from digits.foundation.command import Refusal

IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
CONTENT = header(IMAGES.shape, IMAGES.dtype) + IMAGES.tobytes()


def test_what_is_encoded_reads_back_whole_and_in_parts(tmp_path: Path):
    write_idx(tmp_path / "images", [IMAGES[:2], IMAGES[2:]], IMAGES.shape)
    np.testing.assert_array_equal(parse_idx((tmp_path / "images").read_bytes()), IMAGES)
    file = IdxFile(tmp_path / "images")
    assert file.shape == (5, 3, 2)
    np.testing.assert_array_equal(file.read(), IMAGES)
    np.testing.assert_array_equal(file.read(1, 3), IMAGES[1:3])
    np.testing.assert_array_equal(file.read(4, 99), IMAGES[4:])


def test_the_header_is_the_published_one():
    assert header((60_000, 28, 28), np.dtype(np.uint8)).hex() == "000008030000ea600000001c0000001c"


def test_labels_of_many_classes_are_short_integers_most_significant_byte_first(tmp_path: Path):
    labels = np.array([0, 255, 256, 999], np.int16)
    write_idx(tmp_path / "labels", [labels], labels.shape)
    assert (tmp_path / "labels").read_bytes().hex() == "00000b0100000004" + "0000" + "00ff" + "0100" + "03e7"
    np.testing.assert_array_equal(IdxFile(tmp_path / "labels").read(1), labels[1:])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "starts with nothing"),
        (b"<html>", "starts with 3c68746d"),
        (b"\0\0\x08", "starts with 000008"),
        (b"\0\0\x08\0", "starts with 00000800"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "starts with 00000d01"),
        (b"\0\0\x08\x03\0\0", "ends within its header of 3 dimensions"),
        (CONTENT[:-1], "has 45 bytes, its header (5, 3, 2) asks for 46"),
        (CONTENT + b"\0", "has 47 bytes, its header (5, 3, 2) asks for 46"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "its header (4294967295, 4294967295, 4294967295) asks for"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "starts with 000008ff"),
        (
            b"\0\0\x08\x03" + b"\xff" * 4 + bytes(4) + b"\xff" * 4,
            "has the header (4294967295, 0, 4294967295), expected a 0 nowhere but",
        ),
    ],
)
def test_what_is_no_idx_file_is_refused_by_name(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "images").write_bytes(content)
    with pytest.raises(Refusal) as refused:
        IdxFile(tmp_path / "images")
    assert str(tmp_path / "images") in str(refused.value)
    assert said in str(refused.value)
