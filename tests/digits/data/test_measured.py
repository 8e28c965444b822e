import numpy as np
import pytest

from digits.data.measured import images_by_source, names_of_images
from digits.foundation.command import Refusal


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"dataset": "mnist", "test": 7}\n', {"mnist": 7}),
        (
            b'{"dataset": "x", "test": 9, "sources": {"mnist": {"test": 7}, "own": {"test": 2}}}\n',
            {"mnist": 7, "own": 2},
        ),
    ],
)
def test_the_test_images_are_counted_by_source(content: bytes, found: dict[str, int]):
    assert images_by_source(content, "metrics/data.json") == found


@pytest.mark.parametrize(
    "content",
    [
        *[
            b"{",
            b"[]",
            b"{}",
            b'{"dataset": "x"}',
            b'{"dataset": "x", "test": "many"}',
            b'{"dataset": "x", "test": -1}',
        ],
        *[b'{"dataset": "x", "test": 1e999}', b'{"sources": {"x": {"test": 7}}}'],
    ],
)
def test_what_counts_no_test_images_is_refused(content: bytes):
    with pytest.raises(Refusal, match=r"metrics/data.json is no JSON that names a dataset and counts"):
        images_by_source(content + b"\n", "metrics/data.json")


LABELS = np.repeat(np.arange(10, dtype=np.uint8), 20)
HASHES = np.random.default_rng(0).integers(0, 2**64, 200, np.uint64)


def test_a_test_image_keeps_its_name_wherever_it_stands_and_loses_it_with_its_class():
    names = names_of_images(HASHES, LABELS, [*"abcdefghij"])["image"]
    assert names.is_unique
    assert {len(name) for name in names} == {8}
    assert names_of_images(HASHES[[7]], LABELS[[7]], [*"abcdefghij"])["image"][0] == names[7]
    assert names_of_images(HASHES[[7]], LABELS[[7]], [*"bacdefghij"])["image"][0] != names[7]
