"""The page that a digit is written on: its brightness, and its rules."""

import numpy as np
from scipy import ndimage

TWO_TONES = 0.24  # of the variance at most within the tones, times the page's share: cropped digits 0.14, shades 0.15
LEAST_OF_RULES = 1.2  # times the rules' contrast, for a pen's; 1 is what is left of rules where they end


def paper(grey: np.ndarray) -> np.ndarray:
    """The brightness of the page behind a digit, shape and range as `grey`.

    It is the quadratic surface with the least absolute distance to `grey`; unlike least squares, that passes by what
    covers less than half of the picture. Where there are two tones it goes by that one alone which has more of the
    picture and its rim: so a digit may cover more than half.
    """
    counts, edges = np.histogram(grey, 64)
    below, sums = counts.cumsum()[:-1], (counts * edges[1:]).cumsum()[:-1]
    apart = (sums * grey.size - (counts @ edges[1:]) * below) ** 2 / np.maximum(below * (grey.size - below), 1)
    light = grey > edges[1 + apart.argmax()]  # Otsu's threshold (1979)
    within = sum(((tone - np.median(tone)) ** 2).sum() for tone in (grey[light], grey[~light]) if tone.size)
    rim = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]]).mean()
    share = (2 * light.mean() + rim) / 3  # a cropped digit covers half, a table most of the rim
    page = light == (share > 0.5)
    if within > TWO_TONES * max(share, 1 - share) * grey.size * grey.var():
        page[:] = True

    y, x = (np.linspace(-1, 1, side)[:, None] for side in grey.shape)
    y, x = np.broadcast_arrays(y, x.T)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    step = max(max(grey.shape) // 64, 1)
    chosen = page[::step, ::step]
    some, seen = terms[::step, ::step][chosen], grey[::step, ::step][chosen]
    weights, surface = np.ones_like(seen), np.zeros(6)
    for _ in range(30):  # iteratively reweighted least squares
        weighted, before = some.T * weights**2, surface
        surface = np.linalg.lstsq(weighted @ some, weighted @ seen, rcond=None)[0]
        if np.abs(surface - before).max() < 1e-4:
            break
        weights = 1 / np.sqrt(np.maximum(np.abs(some @ surface - seen), 1e-3))
    return terms @ surface


def without_rules(grey: np.ndarray) -> np.ndarray | None:
    """A picture of a ruled or squared page as if the page were blank, its own tone 0, shape as `grey`.

    Returns:
        None where nothing stands out from the rules as a pen does that is darker.
    """
    cleared = _without_rows(_without_rows(grey).T).T
    taken = grey - cleared
    rules = np.abs(taken - paper(taken))
    if np.percentile(np.abs(cleared), 99.8) < LEAST_OF_RULES * np.percentile(rules, 98):
        return None
    left = np.percentile(rules, 99.8) / 2  # rules bend, and so are not taken whole
    return cleared - np.clip(cleared, -left, left)


def _without_rows(grey: np.ndarray) -> np.ndarray:
    """The picture less what is alike along a row, be it turned by up to 9 degrees: rules, and light.

    Alike is the tone that 7 in 10 pixels of nearly half a row have or fall below: a stroke along a third of it stays.
    """
    height, width = grey.shape
    step = max(width // 64, 1)
    columns = np.arange(width)
    some = columns[::step]
    fine = ndimage.gaussian_filter1d(grey, 1, axis=0) - ndimage.gaussian_filter1d(grey, max(height / 40, 3), axis=0)

    def turned(slope: float, columns: np.ndarray) -> np.ndarray:
        return (np.arange(height)[:, None] + np.round((columns - width / 2) * slope).astype(int)) % height

    slopes = np.linspace(-0.16, 0.16, 33)
    slope = max(slopes, key=lambda slope: fine[turned(slope, some), some].mean(axis=1).var())
    rows = turned(slope, columns)
    level = grey[rows, columns]
    alike = ndimage.percentile_filter(level[:, ::step], 70, (1, 30), mode="nearest")
    without = np.empty_like(grey)
    without[rows, columns] = level - np.repeat(alike, step, axis=1)[:, :width]
    return without
