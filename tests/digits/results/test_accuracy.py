import re

import pytest

from digits.results.accuracy import shortcomings, wilson_interval


def test_the_interval_is_the_published_one():
    """Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@pytest.mark.parametrize(
    ("right", "images", "guessed", "trained", "said"),
    [
        (9945, 10_000, 0.11, 0.9987, []),
        (176, 196, 0.11, 0.93, []),
        (34, 40, 0.11, 0.85, [r"^even of .* no more than 85.0%"]),
        (17, 196, 0.11, 0.1, ["^to name the commonest class always is right for 11.0%", "^even of .* 10.0%"]),
        (60, 100, 0.6, 1, ["^to name the commonest class .* 60.0%", "^of the images it trains on it knew 100.0%"]),
        (630, 720, 0.083, 0.998, ["^of the images it trains on it knew 99.8%, so it has learned them by heart"]),
        (19, 20, 0.1, 1, []),  # of so few nobody can tell
        (14, 20, 0.5, 0.9, []),  # nor here
        (20, 20, 1, 1, []),  # of one class alone
    ],
)
def test_what_cannot_be_good_is_told_with_its_reason(
    right: int, images: int, guessed: float, trained: float, said: list[str]
):
    found = shortcomings(right / images, wilson_interval(right, images)[1], guessed, trained)
    assert len(found) == len(said)
    assert all(re.search(words, sentence) for words, sentence in zip(said, found, strict=True))
