"""How a picture becomes an image for a network: the digit on it in the form of MNIST's images, or the whole of it.

As MNIST's own page (LeCun, Cortes, Burges) tells it: a white digit on black, scaled to fit 20 x 20 pixels, its center
of mass in the middle of 28 x 28.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from digits.foundation.parameters import Framing
from digits.pictures.decoding import decode, flattened, to_grey
from digits.pictures.ink import DIGIT_SIDE, bounds, find_ink, inside_frame

SIDE = 28  # pixels of MNIST's images
THINNEST = 2.0  # pixels of those 20; of 1,000 of MNIST's digits, 9 in 10 have strokes of 1.9 to 4.2


def thicken(ink: np.ndarray) -> np.ndarray:
    """Draw strokes anew that would be thinner than THINNEST once scaled: a fine pen on a large sheet."""
    mask = np.pad(ink, max(ink.shape) // DIGIT_SIDE) > 0.5
    scale = DIGIT_SIDE / max(side.stop - side.start for side in bounds(mask))
    thickness = 4 * ndimage.distance_transform_edt(mask)[mask].mean()  # in a bar, the mean distance to its edge is 1/4
    missing = (THINNEST / scale - thickness) / 2
    if missing <= 0:
        return ink
    padded = np.pad(ink, max(ink.shape) // DIGIT_SIDE)
    return np.maximum(padded, np.clip(missing + 0.5 - ndimage.distance_transform_edt(~mask), 0, 1))


def frame(ink: np.ndarray) -> np.ndarray:
    """Scale and center as MNIST does: float32 (28, 28) in [0, 1] from an array as `find_ink` gives it."""
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
    return frame(thicken(find_ink(inside_frame(grey)))) if digit is None else digit


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


def read_picture(content: bytes, framing: Framing, shape: tuple[int, ...]) -> np.ndarray:
    """A picture as the network takes it.

    Args:
        content: of an image file.
        framing: how its dataset's pictures became images: the digit found and brought into MNIST's form, or the whole.
        shape: height, width and channels of the network's images.

    Returns:
        float32 of that shape in [0, 1].

    Raises:
        Refusal: it is no image that can be read, or shows no digit.
    """
    if framing == "digit":
        return prepare(content)[..., None]
    return whole(decode(content), shape).astype(np.float32) / 255
