"""From pictures to MNIST's form; `python -m benchmarks.pictures` measures how well thousands of them are read."""

import functools
import io
import itertools
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.pictures import HANDWRITTEN, Canvas, Hand, encoded, handwritten, to_image
from digits.foundation.command import Refusal
from digits.network import archive, inference
from digits.network.tensorflow import keras
from digits.pictures import framing
from digits.pictures.decoding import decode, flattened
from tests.conftest import ROOT

PREPARED = ROOT / "data/prepared"


def photograph(digit: np.ndarray, generator: np.random.Generator, largest: float = 40) -> bytes:
    """Turn an image of (28, 28) back into a JPEG as a camera may have taken it.

    It is 2 to `largest` times as large, off center, dark on grey paper in uneven light, with a sensor's noise.
    """
    side = round(28 * np.exp(generator.uniform(np.log(2), np.log(largest))))
    ink = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)).clip(0, 1)
    ink = np.pad(ink, np.round(generator.uniform(0, 0.8, (2, 2)) * side).astype(int))
    y, x = np.meshgrid(*(np.linspace(-1, 1, length) for length in ink.shape), indexing="ij")
    paper = generator.uniform(0.6, 0.85) + generator.uniform(-0.15, 0.15) * x + generator.uniform(-0.15, 0.15) * y
    grey = paper * (1 - ink) + generator.uniform(0, 0.25) * ink
    grey += generator.normal(0, generator.uniform(0, 0.03), grey.shape)
    return encoded(to_image(grey), "JPEG", quality=int(generator.integers(20, 96)))


def accuracy(images: np.ndarray, labels: np.ndarray, model: keras.Model, show: Callable[[np.ndarray], bytes]) -> float:
    """The share of the digits that are recognized when shown so; a refused one is not."""
    prepared = np.zeros((len(images), 28, 28), np.float32)
    recognizable = np.zeros(len(images), bool)
    for index, image in enumerate(images):
        try:
            prepared[index], recognizable[index] = framing.prepare(show(image)), True
        except Refusal:
            continue
    found = inference.probabilities(model, prepared[..., None]).argmax(axis=1)
    return float(np.mean((found == labels) & recognizable))


def drawn(*lines: Iterable[tuple[int, int]], paper: int = 235, pen: int = 40, width: int = 18) -> Image.Image:
    image = Image.new("L", (240, 300), paper)
    for line in lines or [[(90, 70), (160, 70), (110, 230)]]:  # a seven
        ImageDraw.Draw(image).line(list(line), fill=pen, width=width, joint="curve")
    return image


@functools.cache
def seven() -> np.ndarray:
    prepared = framing.prepare(encoded(drawn()))
    prepared.flags.writeable = False  # as tests share it
    return prepared


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The absolute difference as a share of the ink, 2 of digits that share no pixel; half a pixel aside is none."""

    def settled(digit: np.ndarray) -> np.ndarray:
        centered = ndimage.shift(digit, 14 - np.array(ndimage.center_of_mass(digit)), order=1)
        return ndimage.gaussian_filter(centered, 0.7)

    return float(np.abs(settled(one) - settled(other)).sum() / one.sum())


# From a picture to MNIST's form.


@pytest.mark.parametrize("at", [(60, 60), (120, 100), (190, 40)])
def test_a_stroke_ends_20_pixels_tall_with_its_center_of_mass_in_the_middle(at: tuple[int, int]):
    x, y = at
    one = framing.prepare(encoded(drawn([(x, y), (x, y + 180)])))
    rows, columns = np.nonzero(one > 0.1)
    assert np.ptp(rows) + 1 == 20
    assert 2 <= np.ptp(columns) + 1 <= 4
    assert one.max() == 1
    assert one.dtype == np.float32
    np.testing.assert_allclose(ndimage.center_of_mass(one), 14, atol=1)


def test_dark_on_light_and_light_on_dark_are_the_same():
    assert difference(seven(), framing.prepare(encoded(drawn(paper=20, pen=215)))) < 0.01


def test_a_fine_pen_draws_strokes_as_mnist_has_them():
    fine = framing.prepare(encoded(drawn(width=3)))
    assert 0.6 < fine.sum() / seven().sum() < 1.4


def test_other_shades_specks_and_noise_change_little():
    grey = np.asarray(drawn()) / 255
    y, x = np.mgrid[-1:1:300j, -1:1:240j]
    generator = np.random.default_rng(0)
    specks = grey.copy()
    specks.ravel()[generator.integers(0, grey.size, 40)] = 0
    for name, changed in {
        "slope": grey * (0.7 + 0.2 * x - 0.1 * y),
        "vignette": grey * (1 - 0.2 * (x * x + y * y)),
        "specks": specks,
        "noise": grey + generator.normal(0, 0.05, grey.shape),
        "table": np.pad(grey, ((0, 0), (30, 0)), constant_values=0.2),
    }.items():
        assert difference(seven(), framing.prepare(encoded(to_image(changed), "JPEG", quality=40))) < 0.15, name


FORMS, MODES = ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"], ["L", "RGB", "P", "1"]


@pytest.mark.parametrize(("form", "mode"), sorted({*itertools.product(FORMS, MODES)} - {("JPEG", "P")}))
def test_every_format_and_mode_gives_the_same(form: str, mode: str):
    """Only a JPEG has no palette."""
    image = drawn(paper=255, pen=0).convert(mode)
    assert difference(seven(), framing.prepare(encoded(image, form))) < 0.15


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 257),
        Image.fromarray(np.asarray(drawn()).astype(np.uint16) * 16),  # 12 bits, as cameras give them
        drawn().convert("CMYK"),
    ],
    ids=["16 bit", "12 bit", "CMYK"],
)
def test_further_modes_give_the_same(image: Image.Image):
    assert difference(seven(), framing.prepare(encoded(image, "TIFF"))) < 0.15


@pytest.mark.parametrize("broken", [-1e30, np.nan, -np.inf])
def test_what_is_beyond_black_counts_as_black(broken: float):
    values = np.asarray(drawn(), np.float32) / 255
    values[:6, :6] = broken
    assert difference(seven(), framing.prepare(encoded(Image.fromarray(values), "TIFF"))) < 0.15


@pytest.mark.parametrize("pen", [(0, 0, 0), (255, 255, 255), (200, 30, 90)])
def test_a_transparent_background_takes_any_pen(pen: tuple[int, int, int]):
    image = Image.new("RGBA", (240, 300), (*pen, 0))
    image.putalpha(drawn(paper=0, pen=255))
    assert difference(seven(), framing.prepare(encoded(image))) < 0.15


def test_transparent_corners_of_a_page_are_page():
    image = drawn().convert("LA")
    image.paste((0, 0), (0, 0, 30, 30))
    assert difference(seven(), framing.prepare(encoded(image))) < 0.15


def test_a_photograph_is_turned_as_its_camera_was_held():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = drawn().transpose(Image.Transpose.ROTATE_90)
    assert difference(seven(), framing.prepare(encoded(turned, "JPEG", quality=95, exif=exif))) < 0.15
    assert difference(seven(), framing.prepare(encoded(turned, "JPEG", quality=95))) > 0.5


def test_an_image_in_mnists_form_stays_as_it_is():
    assert difference(seven(), framing.prepare(encoded(to_image(seven())))) < 0.3


@pytest.mark.parametrize("digit", range(10))
def test_an_image_in_mnists_form_is_taken_as_it_is_white_on_black_or_black_on_white(digit: int):
    image = np.rint(brushed(digit) * 255) / 255
    mask = image > 0.15
    for shown in (image, 1 - image):
        assert np.abs(framing.prepare(encoded(to_image(shown))) - image * mask).max() < 0.01


@pytest.mark.parametrize("digit", range(10))
@pytest.mark.parametrize("side", [28, 40])
def test_a_soft_digit_is_read_on_few_pixels(digit: int, side: int):
    soft = ndimage.gaussian_filter(ink(digit, side, 0.15, smooth=True), 0.9 * side / 28)
    for page in (1 - 0.7 * soft, 0.7 * soft):
        assert difference(brushed(digit), framing.prepare(encoded(to_image(page)))) < 0.8


@pytest.mark.parametrize("digit", [2, 3, 5, 6, 9])
def test_a_soft_digit_may_cover_half_of_a_photograph_that_is_cut_along_it(digit: int):
    page = ink(digit, 100, 0.17, smooth=True)
    rows, columns = (np.flatnonzero(page.max(axis=axis) > 0.5) for axis in (1, 0))
    tight = ndimage.gaussian_filter(page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 2)
    light = np.linspace(0.9, 0.8, tight.shape[1])
    whole = framing.prepare(encoded(to_image(1 - page)))
    assert difference(whole, framing.prepare(encoded(to_image(light * (1 - 0.7 * tight))))) < 0.6


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("slope", [0, 0.06])
def test_rules_lighter_than_the_pen_are_part_of_the_page(squared: bool, slope: float):
    page = ink(6, 300, 0.08, smooth=True, size=0.5)
    y, x = np.indices(page.shape)
    lines = (y + slope * x) % 40 < 4
    if squared:
        lines = lines | ((x - slope * y) % 40 < 4)
    for dark in (0.5, 0.65):
        found = framing.prepare(encoded(to_image(0.9 - 0.7 * np.maximum(page, dark * lines)), "JPEG", quality=80))
        assert difference(framing.prepare(encoded(to_image(1 - page))), found) < 0.5
        with pytest.raises(Refusal, match="shows no digit"):
            framing.prepare(encoded(to_image(0.9 - 0.7 * dark * lines), "JPEG", quality=80))


def test_a_zero_may_be_slashed():
    image = Image.new("L", (300, 200), 255)
    ImageDraw.Draw(image).ellipse([100, 40, 220, 160], outline=0, width=4)
    ImageDraw.Draw(image).line([110, 150, 210, 50], fill=0, width=4)
    rows, _ = np.nonzero(framing.prepare(encoded(image)) > 0.5)
    assert np.ptp(rows) == 19


def test_a_large_photograph_is_as_good_as_a_small_one():
    large = drawn().resize((2400, 3000), Image.Resampling.BICUBIC)
    assert difference(seven(), framing.prepare(encoded(large, "JPEG"))) < 0.15


def ink(digit: int, side: float, pen: float, smooth: bool = False, size: float = 0.8) -> np.ndarray:
    """A digit, its ink from 0 to 1, as a paint program draws it."""
    hand = Hand(digit)
    segments = handwritten(HANDWRITTEN[digit][0], hand.chance)
    return Canvas(side, pen, smooth, (size, size)).draw(segments, hand)


@functools.cache
def brushed(digit: int) -> np.ndarray:
    prepared = framing.prepare(encoded(to_image(1 - ink(digit, 300, 0.1, smooth=True))))
    prepared.flags.writeable = False  # as tests share it
    return prepared


@pytest.mark.parametrize("side", [20, 28, 40, 100, 300])
@pytest.mark.parametrize("digit", range(10))
def test_a_hard_pencil_one_pixel_wide_draws_what_a_brush_draws(digit: int, side: int):
    brush = brushed(digit)
    for image in (to_image(1 - ink(digit, side, 1)), to_image(ink(digit, side, 1)).convert("1")):
        assert difference(brush, framing.prepare(encoded(image))) < 1


@pytest.mark.parametrize("digit", range(10))
def test_a_digit_may_fill_the_picture(digit: int):
    page = ink(digit, 200, 0.12, smooth=True)
    rows, columns = (np.flatnonzero(page.max(axis=axis)) for axis in (1, 0))
    tight = page[rows[0] + 2 : rows[-1] - 1, columns[0] + 2 : columns[-1] - 1]
    whole = framing.prepare(encoded(to_image(1 - page)))
    assert difference(whole, framing.prepare(encoded(to_image(1 - tight)))) < 0.4


@pytest.mark.parametrize("around", [0, 9])
def test_a_frame_around_the_canvas_is_no_digit(around: int):
    page = ink(3, 100, 2)
    framed = np.pad(np.pad(np.pad(page, 4), 2, constant_values=0.7), around)
    assert (
        difference(framing.prepare(encoded(to_image(1 - page))), framing.prepare(encoded(to_image(1 - framed)))) < 0.15
    )


def test_a_faint_pencil_beside_a_dark_table_is_read():
    page = ink(3, 200, 0.1, smooth=True)
    beside = np.pad(0.9 - 0.3 * page, ((0, 0), (20, 0)), constant_values=0)
    assert difference(framing.prepare(encoded(to_image(1 - page))), framing.prepare(encoded(to_image(beside)))) < 0.15


@pytest.mark.parametrize("contrast", [0.05, 0.08])
@pytest.mark.parametrize("sides", ["right", "left and bottom"])
def test_a_pale_digit_beside_a_table_is_read_and_not_the_table(sides: str, contrast: float):
    page = ink(4, 200, 0.08, smooth=True)
    pale = 0.95 - contrast * page
    for table in (0.8, 0.4):
        beside = np.pad(pale, ((0, 0), (0, 8)) if sides == "right" else ((0, 9), (6, 0)), constant_values=table)
        found = framing.prepare(encoded(to_image(beside)))
        assert difference(framing.prepare(encoded(to_image(1 - page))), found) < 0.3
    with pytest.raises(Refusal, match="nothing stands out"):
        framing.prepare(encoded(to_image(np.pad(np.full((90, 90), 0.9), ((0, 0), (0, 8)), constant_values=table))))


def test_pen_and_paper_of_equal_brightness_differ_in_color():
    page = ink(5, 200, 0.1, smooth=True)[..., None]
    colors = np.round(np.array([30, 110, 200]) * (1 - page) + np.array([220, 30, 30]) * page).astype(np.uint8)
    plain = framing.prepare(encoded(to_image(1 - page[..., 0])))
    assert difference(plain, framing.prepare(encoded(Image.fromarray(colors)))) < 0.15


def test_hatching_makes_strokes():
    page = ink(2, 300, 0.12, smooth=True)
    hatched = page * (np.indices(page.shape).sum(axis=0) % 4 < 2)
    plain = framing.prepare(encoded(to_image(1 - page)))
    assert difference(plain, framing.prepare(encoded(to_image(1 - hatched)))) < 0.7


# What is refused.


def blank(kind: str) -> np.ndarray:
    y, x = np.mgrid[-1:1:200j, -1:1:300j]
    page = np.full_like(x, 0.7)
    match kind:
        case "noise":
            page += np.random.default_rng(0).normal(0, 0.08, x.shape)
        case "slope":
            page += 0.2 * x - 0.1 * y
        case "lamp":
            page *= np.cos(0.6 * np.hypot(x - 0.3, y)) ** 2
        case "dust":
            page[20:28, 40:48] = 0
        case "crumbs":
            page[20:23, 40:43] = page[90:93, 200:203] = page[150:153, 30:33] = 0
        case "spot":
            page *= 1 - 0.5 * np.exp(-((x / 0.2) ** 2) - (y / 0.3) ** 2)
        case "shadow":
            page *= 1 - 0.3 / (1 + np.exp(-(x + y) / 0.1))
        case "lined":
            page[10::20] = 0.2
        case "squared":
            page[10::30], page[:, 10::30] = 0.2, 0.2
        case "salt":
            page.ravel()[np.random.default_rng(0).integers(0, page.size, 600)] = 0
    return page


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "kind", ["even", "noise", "slope", "lamp", "dust", "crumbs", "spot", "shadow", "lined", "squared", "salt"]
)
def test_an_empty_page_shows_no_digit(kind: str, form: str):
    with pytest.raises(Refusal, match="shows no digit"):
        framing.prepare(encoded(to_image(blank(kind)), form))


def test_a_fully_transparent_image_and_a_single_pixel_show_no_digit():
    for image in (Image.new("RGBA", (50, 50)), Image.new("L", (1, 1)), Image.new("L", (300, 1), 255)):
        with pytest.raises(Refusal, match="shows no digit"):
            framing.prepare(encoded(image))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_half_a_file_is_refused(form: str):
    whole = encoded(drawn(), form)
    for share in (0.5, 0.9):
        with pytest.raises(Refusal, match="is broken or ends too early|is no PNG, JPEG"):
            framing.prepare(whole[: int(len(whole) * share)])


def test_what_is_no_image_is_refused():
    for content in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        with pytest.raises(Refusal, match="is no PNG, JPEG, GIF, WebP, BMP or TIFF image"):
            framing.prepare(content)


def test_too_many_pixels_are_refused_undecoded(monkeypatch: pytest.MonkeyPatch):
    content = encoded(Image.new("1", (10_000, 10_000)))
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(Refusal, match="is 10,000 x 10,000 pixels, expected 64,000,000 at most"):
        framing.prepare(content)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_is_refused(form: str):
    content = encoded(drawn(), form, save_all=True, append_images=[drawn(width=5)])
    with pytest.raises(Refusal, match="has several frames, expected a single picture"):
        framing.prepare(content)


@pytest.mark.parametrize("form", ["GIF", "TIFF"])
def test_of_an_animation_no_more_than_the_second_frame_is_looked_for(form: str, monkeypatch: pytest.MonkeyPatch):
    """Of 70,000 directories in a TIFF of 1.4 MB, which took half a minute to be counted."""
    content = encoded(drawn(), form, save_all=True, append_images=[drawn(width=wide) for wide in range(5, 15)])
    with Image.open(io.BytesIO(content)) as opened:
        monkeypatch.setattr(type(opened), "n_frames", property(lambda _: pytest.fail("counted")))
    with pytest.raises(Refusal, match="has several frames"):
        framing.prepare(content)


def test_a_jpeg_that_goes_through_its_pixels_without_end_is_refused_undecoded(monkeypatch: pytest.MonkeyPatch):
    content = encoded(drawn(), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(Refusal, match=r"has 10,0\d\d scans, expected 200 at most"):
        framing.prepare(content[:last] + content[last:-2] * 10_000 + content[-2:])


@pytest.mark.parametrize("clear", [None, 65535, 12345])
def test_of_16_bits_with_one_that_is_transparent_the_digit_is_seen_by_all(clear: int | None):
    page = np.asarray(drawn(), np.uint16) * 257
    page[0, 0] = 65535
    if clear is not None:
        page[page > 40_000] = clear
    deep = encoded(Image.fromarray(page), "PNG", **({} if clear is None else {"transparency": clear}))
    expected = framing.prepare(encoded(drawn()))
    assert difference(framing.prepare(deep), expected) < 0.02
    assert difference(framing.prepare(encoded(flattened(decode(deep)))), expected) < 0.02


# On real digits.


@pytest.fixture(scope="module")
def real() -> tuple[np.ndarray, np.ndarray, keras.Model]:
    """50 of MNIST's test digits, their labels and the network that this repository has been trained to."""
    needed = [PREPARED / "test_images.npy", PREPARED / "test_labels.npy", ROOT / archive.PATH]
    if not all(path.is_file() for path in needed) or '"mnist"' not in (ROOT / "metrics/data.json").read_text():
        pytest.skip("needs a network trained on real MNIST: `dvc repro`")
    images, labels, model = needed
    return np.load(images, mmap_mode="r")[:50, ..., 0], np.load(labels)[:50], archive.load(model).model


@pytest.mark.slow
def test_photographs_of_real_digits_are_recognized_as_well_as_the_digits(real):
    images, labels, model = real
    generator = np.random.default_rng(0)
    plain = np.mean(inference.probabilities(model, np.array(images)[..., None]).argmax(axis=1) == labels)
    assert accuracy(images, labels, model, lambda digit: encoded(to_image(digit))) >= plain - 0.01
    assert accuracy(images, labels, model, lambda digit: photograph(digit, generator, largest=12)) >= plain - 0.02
