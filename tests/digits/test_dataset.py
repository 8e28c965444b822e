import io
from pathlib import Path

import numpy as np
import pytest

from digits.command import Refusal
from digits.dataset import IdxFile, check_mnist, encode_idx

IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)


def test_what_is_encoded_reads_back_whole_and_in_parts(tmp_path: Path):
    (tmp_path / "images").write_bytes(encode_idx(IMAGES))
    file = IdxFile(tmp_path / "images")
    assert file.shape == (5, 3, 2)
    np.testing.assert_array_equal(file.read(), IMAGES)
    np.testing.assert_array_equal(file.read(1, 3), IMAGES[1:3])
    np.testing.assert_array_equal(file.read(4, 99), IMAGES[4:])


def test_the_header_is_the_published_one():
    assert encode_idx(np.zeros((60_000, 28, 28), np.uint8))[:16].hex() == "000008030000ea600000001c0000001c"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "starts with nothing"),
        (b"<html>", "starts with 3c68746d"),
        (b"\0\0\x08\0", "starts with 00000800"),
        (b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0", "starts with 00000d01"),
        (b"\0\0\x08\x03\0\0", "ends within its header of 3 dimensions"),
        (encode_idx(IMAGES)[:-1], "has 45 bytes, its header (5, 3, 2) asks for 46"),
        (encode_idx(IMAGES) + b"\0", "has 47 bytes, its header (5, 3, 2) asks for 46"),
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


def test_other_bytes_than_mnists_are_refused():
    with pytest.raises(Refusal, match="t10k-labels-idx1-ubyte has 3 bytes, MNIST's has 10,008"):
        check_mnist("t10k-labels-idx1-ubyte", io.BytesIO(b"abc"))
    with pytest.raises(Refusal, match="t10k-labels-idx1-ubyte has the SHA-256 .*, MNIST's has ff7bcfd416de"):
        check_mnist("t10k-labels-idx1-ubyte", io.BytesIO(bytes(10_008)))
