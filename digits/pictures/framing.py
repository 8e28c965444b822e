"""How a picture becomes an image for a network: the digit on it in the form of MNIST's images, or the whole of it.

As MNIST's own page (LeCun, Cortes, Burges) tells it: a white digit on black, scaled to fit 20 x 20 pixels, its center
of mass in the middle of 28 x 28.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from digits.data.task import Task
from digits.pictures.decoding import decode, flattened, to_grey
from digits.pictures.ink import DIGIT_SIDE, Digit, bounds, find_digits, inside_frame

SIDE = 28  # pixels of MNIST's images
THINNEST = 2.0  # pixels of those 20; of 1,000 of MNIST's digits, 9 in 10 have strokes of 1.9 to 4.2
# Two more views of a digit, chosen on what half of 64 strangers drew: with them convnet reads 97.8% of it right in
# place of 96.6%, and 99.2% of the others' in place of 97.5%. 0.8 to 0.9 and 0.8 to 1.2 come within 0.6% of that;
# shifts, slants and wider ones add nothing.
NARROW = 0.85  # as wide: a one's flag is steeper then than the bar of MNIST's sevens
SOFT = 1  # pixel, of a Gaussian: most pens draw thinner and sharper than MNIST's


class Reading(NamedTuple):
    """What a network is asked about a picture, or about a digit on it."""

    image: np.ndarray
    """The digit in MNIST's form, or the whole picture: float32 of shape (height, width, channels) in [0, 1]."""
    views: np.ndarray
    """The same in one way or more, float32 of shape (n, height, width, channels): the answer is the mean of theirs."""
    box: tuple[float, float, float, float] = (0, 0, 1, 1)
    """Where on the picture it is: left, top, right and bottom, as shares of the picture's width and height."""
    line: int = 0
    """From the top, where there are several digits."""


def thicken(ink: np.ndarray) -> np.ndarray:
    """The digit alone, its strokes drawn anew where they would be thinner than THINNEST once scaled: a fine pen's."""
    digit = np.pad(ink[bounds(ink > 0.15)], max(ink.shape) // DIGIT_SIDE + 1)
    mask = digit > 0.5
    scale = DIGIT_SIDE / max(side.stop - side.start for side in bounds(mask))
    thickness = 4 * ndimage.distance_transform_edt(mask)[mask].mean()  # in a bar, the mean distance to its edge is 1/4
    missing = (THINNEST / scale - thickness) / 2
    if missing <= 0:
        return digit
    return np.maximum(digit, np.clip(missing + 0.5 - ndimage.distance_transform_edt(~mask), 0, 1))


def frame(ink: np.ndarray) -> np.ndarray:
    """Scale and center as MNIST does: float32 (28, 28) in [0, 1] from an array as `find_digits` gives it."""
    digit = Image.fromarray(ink[bounds(ink > 0.15)].astype(np.float32))
    scale = DIGIT_SIDE / max(digit.size)
    width, height = (max(round(side * scale), 1) for side in digit.size)
    small = np.asarray(digit.resize((width, height), Image.Resampling.BILINEAR))
    small = small / small.max()
    middle = ndimage.center_of_mass(small)
    corner = [int(np.clip(round(SIDE / 2 - at), 0, SIDE - side)) for at, side in zip(middle, small.shape, strict=True)]
    framed = np.zeros((SIDE, SIDE), np.float32)
    framed[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = small
    return framed


def as_it_is(grey: np.ndarray) -> np.ndarray | None:
    """The picture itself, white on black, where it is in MNIST's form already; else None."""
    if grey.shape != (SIDE, SIDE):
        return None
    digit = grey if grey[0].mean() < 0.5 else 1 - grey
    mask = digit > 0.15  # what JPEG adds stays below
    if np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).any() or not mask.any():
        return None
    longer = max(side.stop - side.start for side in bounds(mask))
    aside = np.abs(np.array(ndimage.center_of_mass(digit * mask)) - (SIDE - 1) / 2).max()
    soft = np.mean(digit[mask] < 0.9)  # half of MNIST's ink, none of what a pencil of hard pixels draws
    in_form = abs(longer - DIGIT_SIDE) <= 1 and aside < 1.5 and soft > 0.2
    return (digit * mask).astype(np.float32) if in_form else None


def prepare(content: bytes) -> np.ndarray:
    """An image file's digit in MNIST's form: float32 (28, 28) in [0, 1], white on black.

    Raises:
        NoDigit: it shows none.
        Refusal: it is no image that can be read.
    """
    grey = to_grey(decode(content, draft=True))
    digit = as_it_is(grey)
    return frame(thicken(find_digits(grey[inside_frame(grey)], several=False)[0].ink)) if digit is None else digit


def views(image: np.ndarray) -> np.ndarray:
    """A digit as it is framed, narrower, and softer: float32 (3, 28, 28) from (28, 28)."""
    middle = (SIDE - 1) / 2
    narrow = ndimage.affine_transform(image, [1, 1 / NARROW], [0, middle - middle / NARROW], order=1)
    soft = ndimage.gaussian_filter(image, SOFT)
    return np.stack([image, narrow, soft / soft.max()])


def whole(image: Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """Bring the whole of a picture into an image, its sides' ratio kept, its rim continued where it does not reach.

    Args:
        image: as `decode` gives it.
        shape: of the result: height, width, channels; one is grey, three are red, green and blue.

    Returns:
        uint8 of that shape. A picture of that very size and kind comes as it is.
    """
    height, width, channels = shape
    flat, mode = flattened(image), "L" if channels == 1 else "RGB"
    flat = flat if flat.mode == mode else flat.convert(mode)  # which would copy a photograph
    scale = min(height / flat.height, width / flat.width)
    size = max(round(flat.width * scale), 1), max(round(flat.height * scale), 1)
    small = np.asarray(flat if size == flat.size else flat.resize(size, Image.Resampling.LANCZOS))
    small = small.reshape(size[1], size[0], channels)
    rim = np.concatenate([small[0], small[-1], small[:, 0], small[:, -1]])
    framed = np.empty(shape, np.uint8)
    framed[:] = np.median(rim, axis=0).astype(np.uint8)
    top, left = (height - size[1]) // 2, (width - size[0]) // 2
    framed[top : top + size[1], left : left + size[0]] = small
    return framed


def read_picture(content: bytes, task: Task, shape: tuple[int, ...]) -> list[Reading]:
    """A picture as the network takes it; where its classes are digits, each of those on it, line by line.

    Args:
        content: of an image file.
        task: what the network tells apart, and how its dataset's pictures became images.
        shape: height, width and channels of the network's images.

    Raises:
        Refusal: it is no image that can be read, or shows no digit.
    """
    if task.framing == "whole":
        image = whole(decode(content), shape).astype(np.float32) / 255
        return [Reading(image, image[None])]
    grey = to_grey(decode(content, draft=True))
    digit = as_it_is(grey)
    if digit is not None:
        return [Reading(digit[..., None], digit[None, ..., None])]
    rows, columns = inside_frame(grey)
    return [
        _reading(found, (rows.start, columns.start), grey.shape, task)
        for found in find_digits(grey[rows, columns], several=task.of_digits)
    ]


def _reading(digit: Digit, corner: tuple[int, int], shape: tuple[int, ...], task: Task) -> Reading:
    """A digit that was found on what begins at `corner` of a picture of that shape."""
    image = frame(thicken(digit.ink))
    rows, columns = bounds(digit.ink > 0.15)
    top, left = (start + within for start, within in zip(corner, digit.corner, strict=True))
    height, width = shape
    across = (left + columns.start) / width, (left + columns.stop) / width
    down = (top + rows.start) / height, (top + rows.stop) / height
    box = across[0], down[0], across[1], down[1]
    return Reading(image[..., None], (views(image) if task.of_digits else image[None])[..., None], box, digit.line)
