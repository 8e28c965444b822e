from pathlib import Path

import numpy as np
import pytest

from digits.data.prepared import PREPARED, read_images, read_labels, read_split
from digits.foundation.command import Refusal
from digits.foundation.files import read_array, release
from tests.conftest import write_split

IMAGES = np.linspace(0, 1, 2 * 28 * 28, dtype=np.float32).reshape(2, 28, 28, 1)
LABELS = np.array([3, 9], np.uint8)


def test_a_split_reads_back(workspace: Path):
    write_split("test", IMAGES, LABELS)
    images, labels = read_split("test", 10)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_an_empty_split_reads_back(workspace: Path):
    write_split("validation", IMAGES[:0], LABELS[:0])
    images, labels = read_split("validation", 10)
    assert images.shape == (0, 28, 28, 1)
    assert labels.shape == (0,)


def resident(path: Path) -> int:
    """How many kB of the mapped file are in this process's memory."""
    mapping = Path("/proc/self/smaps").read_text().split(f"{path}\n")[1]
    return int(mapping.split("Rss:")[1].split()[0])


def test_released_memory_is_given_back_and_reads_as_before(workspace: Path):
    write_split("test", IMAGES, LABELS)
    images = read_array(PREPARED / "test_images.npy")
    np.testing.assert_array_equal(images, IMAGES)
    assert resident(workspace / PREPARED / "test_images.npy") > 0
    release(images)
    assert resident(workspace / PREPARED / "test_images.npy") == 0
    np.testing.assert_array_equal(images, IMAGES)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            IMAGES.astype(np.float64),
            r"holds float64 of shape \(2, 28, 28, 1\), expected float32 of \(n, height, width, 1 or 3\)",
        ),
        (IMAGES[..., 0], r"shape \(2, 28, 28\)"),
        (np.zeros((2, 28, 28, 2), np.float32), r"shape \(2, 28, 28, 2\)"),
        (IMAGES * 2, r"pixels outside \[0, 1\]"),
        (IMAGES - 1, r"pixels outside \[0, 1\]"),
        (np.full_like(IMAGES, np.nan), r"pixels outside \[0, 1\]"),
        (np.array([{}]), "no .npy array that can be read"),
    ],
)
def test_other_images_are_refused(workspace: Path, images: np.ndarray, said: str):
    write_split("test", images, LABELS)
    with pytest.raises(Refusal, match=f"data/prepared/test_images.npy.*{said}"):
        read_images("test")


def test_labels_above_nine_and_other_counts_are_refused(workspace: Path):
    write_split("test", IMAGES, np.array([3, 10], np.uint8))
    with pytest.raises(Refusal, match="test_labels.npy has the label 10, expected 0 to 9"):
        read_labels("test", 10)
    write_split("test", IMAGES, LABELS[:1])
    with pytest.raises(Refusal, match="test has 2 images and 1 labels"):
        read_split("test", 10)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:40], lambda b: b"", lambda b: b"PK"]
)
def test_damaged_files_are_refused(workspace: Path, damage):
    write_split("test", IMAGES, LABELS)
    path = PREPARED / "test_images.npy"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Refusal, match="data/prepared/test_images.npy"):
        read_images("test")
