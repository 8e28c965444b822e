"""One picture, many files: by benchmarks.identity it is measured how often they are known as one."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from benchmarks.identity import fabric, pen_drawing, photograph, saved
from digits.data import identity
from digits.pictures.decoding import flattened

GENERATOR = np.random.default_rng(0)
DRAWINGS = [pen_drawing(seed) for seed in range(40)]
PHOTOGRAPHS = [photograph(seed) for seed in range(20)]


def known_as(picture: Image.Image) -> bytes:
    return identity.of_picture(flattened(picture))


def moved(picture: Image.Image) -> Image.Image:
    page = Image.new("L", picture.size, 255)
    page.paste(picture, (3, -2))
    return page


def turned(picture: Image.Image) -> Image.Image:
    """As a camera that was held upright saves it."""
    exif = Image.Exif()
    exif[274] = 6
    return saved(picture.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


@pytest.mark.parametrize("pictures", [DRAWINGS, PHOTOGRAPHS], ids=["drawings", "photographs"])
@pytest.mark.parametrize(
    "change",
    [
        lambda picture: saved(picture, "BMP"),
        lambda picture: saved(picture.convert("RGB"), "WEBP", lossless=True),
        lambda picture: saved(picture.convert("RGBA"), "PNG"),
        lambda picture: saved(picture, "TIFF"),
        turned,
    ],
    ids=["BMP", "WebP in color", "PNG with transparency", "TIFF", "turned by EXIF"],
)
def test_a_picture_is_the_same_in_every_format(pictures: list, change: Callable[[Image.Image], Image.Image]):
    few = pictures[:10]
    assert [known_as(change(picture)) for picture in few] == [known_as(picture) for picture in few]


def test_a_drawing_is_the_same_wherever_it_stands_on_its_page():
    assert [known_as(moved(picture)) for picture in DRAWINGS] == [known_as(picture) for picture in DRAWINGS]


def test_a_drawing_is_the_same_in_white_on_black():
    assert known_as(ImageOps.invert(DRAWINGS[0])) == known_as(DRAWINGS[0])


@pytest.mark.parametrize("pictures", [DRAWINGS, PHOTOGRAPHS], ids=["drawings", "photographs"])
def test_a_good_jpeg_is_mostly_the_same(pictures: list):
    same = [known_as(saved(picture, "JPEG", quality=95)) == known_as(picture) for picture in pictures]
    assert np.mean(same) > 0.5


def test_different_pictures_are_different():
    pictures = [*DRAWINGS, *PHOTOGRAPHS, *(Image.new("RGB", (9, 9), color) for color in ("red", "blue", (250, 0, 0)))]
    assert len({known_as(picture) for picture in pictures}) == len(pictures)


def test_patterns_finer_than_the_coarse_form_are_different(monkeypatch: pytest.MonkeyPatch):
    patterns = [fabric(seed) for seed in range(100)]
    assert len({known_as(picture) for picture in patterns}) == len(patterns)
    assert [known_as(saved(picture, "BMP")) for picture in patterns[:9]] == [*map(known_as, patterns[:9])]
    monkeypatch.setattr(identity, "TELLING", 0)
    assert len({known_as(picture) for picture in patterns}) < len(patterns)


@pytest.mark.parametrize(
    ("one", "other"),
    [(("red", 20), ("lime", 20)), (("black", 10), ("black", 30))],
    ids=["of another color", "of another size"],
)
def test_what_classes_may_be_told_apart_by_is_kept(one: tuple, other: tuple):
    found = []
    for color, radius in (one, other):
        picture = Image.new("RGB", (100, 100), "white")
        ImageDraw.Draw(picture).ellipse((50 - radius, 50 - radius, 50 + radius, 50 + radius), color)
        found.append(known_as(picture))
    assert found[0] != found[1]


def test_published_images_are_known_by_their_pixels():
    images = GENERATOR.integers(0, 256, (50, 28, 28), np.uint8)
    known = identity.of_pixels(images)
    assert (known.shape, known.dtype) == ((50, 8), np.uint8)
    np.testing.assert_array_equal(identity.of_pixels(images[::-1]), known[::-1])
    assert len(set(identity.names(known))) == 50
    assert (identity.of_pixels(images ^ 1) != known).any(axis=1).all()


def test_numbers_are_drawn_evenly_for_each_image_and_purpose():
    known = GENERATOR.integers(0, 256, (2000, 8), np.uint8)
    test, validation = identity.draw(known, "test"), identity.draw(known, "validation")
    assert abs((test < 0.2).mean() - 0.2) < 0.03
    assert abs((validation[test >= 0.2] < 0.1).mean() - 0.1) < 0.03, "the one does not follow from the other"
    np.testing.assert_array_equal(identity.draw(known[7:9], "test"), test[7:9])


def test_names_and_numbers_tell_the_same():
    known = np.array([[0, 0, 0, 0, 0, 0, 1, 2]], np.uint8)
    assert identity.names(known) == ["0000000000000102"]
    assert identity.numbers(known).tolist() == [258]


def test_strips_of_a_pixel_or_two_are_told_apart():
    """A strip is no form, and what one of noise has of a wave is soon what another has."""
    generator = np.random.default_rng(0)
    for size in ((1, 5000), (5000, 1), (2, 300)):
        strips = [Image.fromarray(generator.integers(0, 256, size, np.uint8)) for _ in range(200)]
        assert len({known_as(strip) for strip in strips}) == 200
