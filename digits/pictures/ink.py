"""The digit on a picture, or the digits: found on its page, without what is noise, shade or dust."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.sparse.csgraph import connected_components

from digits.foundation.command import Refusal
from digits.pictures.paper import paper, without_rules

DIGIT_SIDE = 20  # of the box that MNIST's digits are scaled to fit
LEAST_CONTRAST = 0.035  # of black to white; JPEG's blocks on an empty page stay below, all but 2 in 100
DEEPEST = 0.2  # of the picture's shorter side, for a table that lies along its rim; cropped digits reach further
LEAST_SIDE = 0.03  # of the picture's longer side, for a digit; what is smaller is dust
MOST_PARTS = 15  # of a digit in whole strokes; what has more is dotted, hatched or noise
# Measured on 40 images of each of 23 kinds of drawings and 8 without a digit, kinds of benchmarks.pictures:
LEAST_RATIO = 8  # of a stroke's height to its page's unevenness; drawings 10 and more, half of shadows and noise 5
PALE, LEAST_RATIO_OF_PALE = 0.06, 12  # of such digits 45 of 50 are read; folds and lamps come through with 8
LEAST_SLOPE = 20  # of a stroke's edge, in its own heights a picture's side; half of shades and lamps 11, pens 35
LEAST_SLOPE_A_PIXEL = 0.31  # where pixels are few: soft digits of 24 to 60 a side reach 0.32, shades of that size 0.30
MOST_ENDS = 2  # of what is found at one side of the picture; a closely cropped eight has 2, ruled pages 3 and more
MOST_DIGITS = 60  # on a picture; what has more is a page of print, or noise
MOST_PARTS_EACH = 2  # of several digits, with points between them; a dotted or broken pen's have more
GAP = 0.04  # of the tallest part's height at most, within a stroke of chalk; people leave more between digits
TALL = 0.5  # of the tallest part's height at least, for a digit of its own; less has what belongs to one, or is a point
BESIDE = 0.5  # of the narrower part's width at most, that the other is above or below: else the strokes of a four
BELOW = 0.4  # of the lower part's height at least between it and the one above: else an eight that is broken


class NoDigit(Refusal):
    """A picture that can be read shows none."""


class Rules(NoDigit):
    """What stands out may be the rules of a sheet."""


def inside_frame(grey: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns within a frame around the picture, as a canvas has; all of `grey` where there is none."""
    lines = np.abs(grey - np.median(grey)) > LEAST_CONTRAST
    height, width = grey.shape
    everything = slice(0, height), slice(0, width)
    inside = []
    for axis in (1, 0):
        for line in (lines.mean(axis=axis), lines.mean(axis=axis)[::-1]):
            of_frame = np.flatnonzero(line[: len(line) // 4] > 0.7)  # not 1: a page may go on around the frame
            ends = int(of_frame[0] + (line[of_frame[0] :] > 0.7).argmin()) if len(of_frame) else 0
            if not ends or line[ends] > 0.4:  # a shade, which ends by and by
                return everything
            inside.append(ends)
    top, bottom, left, right = inside
    within = (slice(top, height - bottom), slice(left, width - right))
    return within if lines[within].any() else everything  # a zero that fills the picture goes around it too


class Digit(NamedTuple):
    """A digit on a picture."""

    ink: np.ndarray
    """How much of it there is, from 0 for the page to 1 for a full stroke, shape (height, width) of a part of it."""
    corner: tuple[int, int]
    """Where that part begins: row and column."""
    line: int = 0
    """From the top."""


def find_digits(grey: np.ndarray, several: bool) -> list[Digit]:
    """The digits on a picture, without what is noise, shade, dust or rules: line by line, from left to right.

    The picture is looked at as it is, and again without its rules where it may have any.

    Args:
        grey: a picture's brightness, black and white 1 apart, shape (height, width), the digit darker or lighter.
        several: whether what is apart may be several digits, at least two of them side by side; else it is one, as
            it always is on a page with rules.

    Raises:
        NoDigit: nothing stands out from the page, or what does is no digit.
    """
    try:
        return _find_digits(grey, several)
    except Rules:
        cleared = without_rules(grey)
        if cleared is None:
            raise
        return _find_digits(cleared, several=False)  # as a stroke is in pieces where a rule was


def _find_digits(grey: np.ndarray, several: bool) -> list[Digit]:
    """What `find_digits` gives of a picture without rules."""
    stands_out, ink, parts, at_rim = _stand_out(grey)
    digits = []
    joined = _joined(parts) if several else parts
    apart = _apart(joined) if several else []
    if apart and at_rim.any():
        joined = _joined(_with_those_at_the_rim(parts, at_rim))
        apart = _apart(joined) or apart
    for line, numbers in apart:
        of_digit = np.where(np.isin(joined, numbers), joined, 0)
        rows, columns = bounds(of_digit > 0)
        margin = (rows.stop - rows.start) // 2
        corner = max(rows.start - margin, 0), max(columns.start - margin, 0)
        around = slice(corner[0], rows.stop + margin), slice(corner[1], columns.stop + margin)
        try:
            digits.append(Digit(_ink_of(of_digit[around], stands_out[around], ink[around]), corner, line))
        except NoDigit:
            continue
    if len(digits) > max(len(apart) / 2, 1):  # fewer are dots, of which some look as a one does
        return digits
    return [Digit(_ink_of(parts, stands_out, ink), (0, 0))]


def _stand_out(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How far each pixel stands out from the page, also as a share of a stroke's, and the number of the part it is in.

    A part is what is connected; 0 is the page, dust, and what touches the picture's rim where something else does not.
    That is numbered in the last array.
    """
    longer = max(grey.shape)
    smooth = ndimage.gaussian_filter(grey, longer / 500)
    stands_out = smooth - paper(smooth)
    stands_out *= np.sign(np.sum(stands_out**3)) or 1  # strokes are further from the page than the page from itself
    ink, parts = _parts(stands_out)
    beside = _beside(parts)
    if beside.any():
        around = ndimage.binary_dilation(beside, np.ones((3, 3)), iterations=max(round(longer / 50), 1))
        stands_out = np.where(around, 0, stands_out)
        ink, parts = _parts(stands_out)
    areas = np.bincount(parts.ravel())
    areas[0] = 0
    clear = areas.copy()
    clear[np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))] = 0
    at_rim = np.where((clear == 0)[parts], parts, 0)
    if clear.max() > areas.max() / 10:  # what touches the rim is the table or a shadow, unless the digit itself does
        areas = clear
    parts[areas[parts] < max(areas.max() / 25, 1)] = 0
    if max(parts[bounds(parts > 0)].shape) < max(LEAST_SIDE * longer, 6):
        raise NoDigit("shows no digit, only specks")
    return stands_out, ink, parts, np.where(parts, 0, at_rim)


def _parts(stands_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel stands out as a share of what a stroke does, and the number of what is connected."""
    darkest = np.sort(stands_out, axis=None)[-max(8, stands_out.size // 2000) :][0]
    if darkest < LEAST_CONTRAST:
        raise NoDigit("shows no digit: nothing stands out from its background")
    stroke = np.median(stands_out[stands_out > darkest / 2])
    least = LEAST_RATIO if stroke > PALE else LEAST_RATIO_OF_PALE
    if np.median(np.abs(stands_out[stands_out < stroke / 2])) > stroke / least:
        raise NoDigit("shows no digit: nothing stands out from noise or shade")
    ink = np.clip(stands_out / stroke, 0, 1)
    return ink, ndimage.label(ink > 0.3, np.ones((3, 3)))[0]


def _beside(parts: np.ndarray) -> np.ndarray:
    """What lies along a whole side of the picture and nowhere else: the table beside a page, not a digit's bar."""
    sides = [parts[0], parts[-1], parts[:, 0], parts[:, -1]]
    along = Counter(int(n) for side in sides for n in np.unique(side) if n and np.mean(side == n) > 0.9)
    some = [n for n, count in along.items() if count < 4]  # all four has a zero that fills the picture
    if not some:
        return np.zeros(parts.shape, bool)
    height, width = parts.shape
    y, x = np.ogrid[:height, :width]
    from_rim = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x))
    deepest = ndimage.maximum(from_rim, parts, some)
    return np.isin(parts, [n for n, deep in zip(some, deepest, strict=True) if deep < DEEPEST * min(parts.shape)])


def _ink_of(parts: np.ndarray, stands_out: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """The ink of a digit that consists of these parts."""
    _check_strokes(parts, stands_out)
    kept = parts > 0
    ink = np.clip(ink / ink[kept].max(), 0, 1)  # a pencil's, beside a dark table
    near = ndimage.binary_dilation(kept, np.ones((3, 3)), iterations=max(round(max(parts.shape) / 100), 1))
    return np.where(near & (ink > 0.15), ink, 0)


def _with_those_at_the_rim(parts: np.ndarray, at_rim: np.ndarray) -> np.ndarray:
    """Several digits, and beside them what touches the rim and is about as tall: so is a row cut out closely."""
    tallest = max(rows.stop - rows.start for rows, _ in filter(None, ndimage.find_objects(parts)))
    sizes = {
        number: (box[0].stop - box[0].start, box[1].stop - box[1].start)
        for number, box in enumerate(ndimage.find_objects(at_rim), 1)
        if box
    }
    alike = [
        n for n, (height, width) in sizes.items() if TALL * tallest <= height and max(height, width) <= tallest / TALL
    ]
    return np.where(np.isin(at_rim, alike), at_rim, parts)


def _joined(parts: np.ndarray) -> np.ndarray:
    """The parts numbered anew, as one where chalk or a poor copy leaves a gap in a stroke."""
    tallest = max(rows.stop - rows.start for rows, _ in filter(None, ndimage.find_objects(parts)))
    reach = round(GAP * tallest / 2)
    if not reach:
        return parts
    near = ndimage.binary_dilation(parts > 0, np.ones((3, 3)), iterations=reach)
    return np.where(parts > 0, ndimage.label(near)[0], 0)


def _apart(parts: np.ndarray) -> list[tuple[int, list[int]]]:
    """Which parts each of several digits consists of, by their numbers, and its line; nothing where there are not."""
    found = {number: box for number, box in enumerate(ndimage.find_objects(parts), 1) if box}
    sides = np.array([[rows.start, rows.stop, columns.start, columns.stop] for rows, columns in found.values()])
    height = sides[:, 1] - sides[:, 0]
    tall = height >= TALL * height.max()
    if not 1 < tall.sum() <= MOST_DIGITS:
        return []
    top, bottom, left, right = sides[tall].T
    shared = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    between = np.maximum(top[:, None], top) - np.minimum(bottom[:, None], bottom)
    narrower = np.minimum((right - left)[:, None], right - left)
    lower = np.minimum(height[tall][:, None], height[tall])
    count, digit = connected_components((shared > BESIDE * narrower) & (between < BELOW * lower), directed=False)
    if count < 2 or len(found) > MOST_PARTS_EACH * count:
        return []
    numbers = np.array(list(found))
    of_each = digit == np.arange(count)[:, None]
    boxes = np.array([[top[of].min(), bottom[of].max(), left[of].min(), right[of].max()] for of in of_each])
    groups = [numbers[tall][of].tolist() for of in of_each]
    for number, (above, below, start, end) in zip(numbers[~tall].tolist(), sides[~tall], strict=True):
        over = (np.minimum(end, boxes[:, 3]) - np.maximum(start, boxes[:, 2])) / (end - start)
        away = np.maximum(above, boxes[:, 0]) - np.minimum(below, boxes[:, 1])
        nearest = np.where(away < BELOW * height.max(), over, 0).argmax()
        if over[nearest] > BESIDE and away[nearest] < BELOW * height.max():
            groups[nearest].append(number)
    middle = boxes[:, :2].mean(axis=1)
    order = middle.argsort()
    line = np.empty(count, int)
    line[order] = np.cumsum(np.diff(middle[order], prepend=middle.min()) > height[tall].mean() / 2)
    in_turn = np.lexsort([boxes[:, 2], line])
    jumps = np.abs(np.diff(middle[in_turn]))[np.diff(line[in_turn]) == 0]
    if not len(jumps) or jumps.max() > height[tall].mean():  # a five and its bar, one below the other; a dotted line
        return []
    return [(int(line[one]), groups[one]) for one in in_turn]


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

    ends = [
        (np.diff(rim.astype(int), prepend=0) == 1).sum() for rim in (whole[0], whole[-1], whole[:, 0], whole[:, -1])
    ]
    met = sorted(np.median((np.diff(way.astype(int), axis=0, prepend=0) == 1).sum(axis=0)) for way in (box, box.T))
    long = sum(max(size) > 0.6 * side for size in sizes)
    # An eight is met 4 times down and twice across, a slashed zero 3 times and 3.
    if met[1] > 4.5 or met[0] > 3.5 or long > 2 or max(ends) > MOST_ENDS:
        raise Rules("shows no digit: lines or a pattern all over it")

    outline = whole & ~ndimage.binary_erosion(whole)  # the picture's rim is part of it
    thick = 2 * ndimage.distance_transform_edt(np.pad(box, 1)).max() / min(box.shape)
    at_rim = np.concatenate([whole[0], whole[-1], whole[:, 0], whole[:, -1]]).sum() / outline.sum()
    if compact and (thick > 0.75 or (thick > 0.3 and at_rim > 0.4)):
        raise NoDigit("shows no digit: what stands out is no stroke")

    sigma = max(max(parts.shape) / 120, 0.5)
    around = 2 * max(round(sigma), 1) + 1  # a line one pixel wide slopes beside it, not on it
    reach = round(4 * sigma) + around  # of both filters
    near = tuple(slice(max(side.start - reach, 0), side.stop + reach) for side in bounds(whole))
    steepest = ndimage.maximum_filter(ndimage.gaussian_gradient_magnitude(stands_out[near], sigma), around)
    height = ndimage.maximum_filter(ndimage.gaussian_filter(stands_out[near], sigma), around)
    slope = np.median((steepest / np.maximum(height, 1e-6))[outline[near]]) * max(parts.shape)
    if slope < min(LEAST_SLOPE, LEAST_SLOPE_A_PIXEL * max(parts.shape)):
        raise NoDigit("shows no digit: nothing on it has an edge, as a stroke has")


def bounds(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns between which all of it lies; `mask` has to hold something."""
    return ndimage.find_objects(mask.astype(np.uint8))[0]
