import pytest

from digits.data.measured import images_by_source
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
