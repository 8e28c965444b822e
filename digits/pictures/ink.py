"""The digit on a picture: found on its page, without what is noise, shade or dust."""

import numpy as np
from scipy import ndimage

from digits.foundation.command import Refusal

DIGIT_SIDE = 20  # of the box that MNIST's digits are scaled to fit
LEAST_CONTRAST = 0.06  # of black to white; JPEG's blocks on an empty page stay below
LEAST_SIDE = 0.03  # of the picture's longer side, for a digit; what is smaller is dust
MOST_PARTS = 15  # of a digit in whole strokes; what has more is dotted, hatched or noise
# Measured on 40 images of each of 23 kinds of drawings and 8 without a digit, kinds of benchmarks.pictures:
LEAST_RATIO = 8  # of a stroke's height to its page's unevenness; drawings 10 and more, half of shadows and noise 5
LEAST_SLOPE = 20  # of a stroke's edge, in its own heights a picture's side; half of shades and lamps 11. Pens reach 35
# where there are pixels enough, a pencil on 28 x 28 pixels 17


class NoDigit(Refusal):
    """A picture that can be read shows none."""


def paper(grey: np.ndarray) -> np.ndarray:
    """The brightness of the page behind the digit, shape and range as `grey`.

    Where there are but two tones it is the one that covers more, else the quadratic surface with the least absolute
    distance to `grey`; unlike least squares, that passes by what covers less than half of the page.
    """
    counts, edges = np.histogram(grey, 64)
    below, sums = counts.cumsum()[:-1], (counts * edges[1:]).cumsum()[:-1]
    apart = (sums * grey.size - (counts @ edges[1:]) * below) ** 2 / np.maximum(below * (grey.size - below), 1)
    light = grey > edges[1 + apart.argmax()]  # Otsu's threshold (1979)
    tones = [grey[light], grey[~light]]
    within = sum(((tone - np.median(tone)) ** 2).sum() for tone in tones if tone.size)
    if within < 0.12 * grey.size * grey.var():
        return np.full_like(grey, np.median(max(tones, key=len)))  # here a digit may cover nearly half

    y, x = (np.linspace(-1, 1, side)[:, None] for side in grey.shape)
    y, x = np.broadcast_arrays(y, x.T)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    step = max(max(grey.shape) // 64, 1)
    some, seen = terms[::step, ::step].reshape(-1, 6), grey[::step, ::step].ravel()
    weights = np.ones_like(seen)
    for _ in range(30):  # iteratively reweighted least squares
        surface = np.linalg.lstsq(some * weights[:, None], seen * weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.abs(some @ surface - seen), 1e-3))
    return terms @ surface


def inside_frame(grey: np.ndarray) -> np.ndarray:
    """What lies within a frame around the picture, as a canvas has; all of `grey` where there is none."""
    lines = np.abs(grey - np.median(grey)) > LEAST_CONTRAST
    inside = []
    for axis in (1, 0):
        for line in (lines.mean(axis=axis), lines.mean(axis=axis)[::-1]):
            of_frame = np.flatnonzero(line[: len(line) // 4] > 0.7)  # not 1: a page may go on around the frame
            ends = int(of_frame[0] + (line[of_frame[0] :] > 0.7).argmin()) if len(of_frame) else 0
            if not ends or line[ends] > 0.4:  # a shade, which ends by and by
                return grey
            inside.append(ends)
    top, bottom, left, right = inside
    within = (slice(top, len(grey) - bottom), slice(left, grey.shape[1] - right))
    return grey[within] if lines[within].any() else grey  # a zero that fills the picture goes around it too


def find_ink(grey: np.ndarray) -> np.ndarray:
    """Where the digit is, from 0 for the page to 1 for a full stroke, without what is noise, shade or dust.

    Args:
        grey: a picture's brightness, black and white 1 apart, shape (height, width), the digit darker or lighter.

    Returns:
        An array of that shape.

    Raises:
        NoDigit: nothing stands out from the page, or what does is no digit.
    """
    longer = max(grey.shape)
    smooth = ndimage.gaussian_filter(grey, longer / 500)
    stands_out = smooth - paper(smooth)
    stands_out *= np.sign(np.sum(stands_out**3)) or 1  # strokes are further from the page than the page from itself
    darkest = np.sort(stands_out, axis=None)[-max(8, stands_out.size // 2000) :][0]
    if darkest < LEAST_CONTRAST:
        raise NoDigit("shows no digit: nothing stands out from its background")
    stroke = np.median(stands_out[stands_out > darkest / 2])
    if np.median(np.abs(stands_out[stands_out < stroke / 2])) > stroke / LEAST_RATIO:
        raise NoDigit("shows no digit: nothing stands out from noise or shade")
    ink = np.clip(stands_out / stroke, 0, 1)

    parts, _ = ndimage.label(ink > 0.3, np.ones((3, 3)))
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    clear = areas.copy()
    clear[np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))] = 0
    if clear.max() > areas.max() / 10:  # what touches the rim is the table or a shadow, unless the digit itself does
        areas = clear
    parts[areas[parts] < max(areas.max() / 25, 1)] = 0
    kept = parts > 0
    if max(kept[bounds(kept)].shape) < max(LEAST_SIDE * longer, 6):
        raise NoDigit("shows no digit, only specks")
    _check_strokes(parts, stands_out)
    ink = np.clip(ink / ink[kept].max(), 0, 1)  # a pencil's, beside a dark table
    near = ndimage.binary_dilation(kept, np.ones((3, 3)), iterations=max(round(longer / 100), 1))
    return np.where(near & (ink > 0.15), ink, 0)


def _check_strokes(parts: np.ndarray, stands_out: np.ndarray) -> None:
    """Refuse what no pen has drawn as one digit; `parts` numbers what is connected, 0 for the page."""
    sizes = [[side.stop - side.start for side in part] for part in ndimage.find_objects(parts) if part]
    side = max(parts[bounds(parts > 0)].shape)
    if len(sizes) <= MOST_PARTS and max(map(max, sizes)) < max(LEAST_SIDE * max(parts.shape), 6):
        raise NoDigit("shows no digit, only specks")
    gap = side // (DIGIT_SIDE if len(sizes) <= MOST_PARTS else 7) + 1  # joins dots to strokes, and noise to blots
    whole = ndimage.grey_closing(np.pad(parts > 0, gap).astype(np.uint8), gap)[gap:-gap, gap:-gap] > 0
    box = whole[bounds(whole)]
    compact = side < 2.5 * min(box.shape)  # unlike a one
    if len(sizes) > MOST_PARTS and (ndimage.label(box, np.ones((3, 3)))[1] > 10 or (compact and box.mean() > 0.55)):
        raise NoDigit("shows no digit, only specks")

    met = sorted(np.median((np.diff(way.astype(int), axis=0, prepend=0) == 1).sum(axis=0)) for way in (box, box.T))
    if met[1] > 4.5 or met[0] > 2.5 or sum(max(size) > 0.6 * side for size in sizes) > 2:  # an eight: 4 down, 2 across
        raise NoDigit("shows no digit: lines or a pattern all over it")

    outline = whole & ~ndimage.binary_erosion(whole)  # the picture's rim is part of it
    thick = 2 * ndimage.distance_transform_edt(np.pad(box, 1)).max() / min(box.shape)
    at_rim = np.concatenate([whole[0], whole[-1], whole[:, 0], whole[:, -1]]).sum() / outline.sum()
    if compact and (thick > 0.75 or (thick > 0.3 and at_rim > 0.4)):
        raise NoDigit("shows no digit: what stands out is no stroke")

    sigma = max(max(parts.shape) / 120, 0.5)
    around = 2 * max(round(sigma), 1) + 1  # a line one pixel wide slopes beside it, not on it
    steepest = ndimage.maximum_filter(ndimage.gaussian_gradient_magnitude(stands_out, sigma), around)
    height = ndimage.maximum_filter(ndimage.gaussian_filter(stands_out, sigma), around)
    slope = np.median((steepest / np.maximum(height, 1e-6))[outline]) * max(parts.shape)
    if slope < min(LEAST_SLOPE, 0.45 * max(parts.shape)):
        raise NoDigit("shows no digit: nothing on it has an edge, as a stroke has")


def bounds(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns between which all of it lies; `mask` has to hold something."""
    return ndimage.find_objects(mask.astype(np.uint8))[0]
