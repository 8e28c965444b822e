"""What `auto` in params.yaml comes to: how a folder's pictures become images, found by a look at some of them."""

import hashlib
import math
import re
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from digits.foundation.command import Refusal
from digits.foundation.parameters import AUTO, Folder, Framing
from digits.pictures.decoding import decode, flattened
from digits.pictures.framing import SIDE, prepare
from digits.pictures.reading import in_processes

SAMPLE = 200  # pictures that are looked at, by their content, so that no name decides
WHOLE_SIDE = 64  # pixels; with 32, shapes of twelve kinds on photographs came to 73% right, with 64 to 88%
NO_DIGITS = 0.2  # share without a digit from which on pictures are no digits: 0.03 of strangers' digits, 0.45 of hands
MOSTLY = 0.5  # share in bright colors from which on they are none: 0.05 of strangers' digits, 0.96 of painted letters
WIDE = 2  # times its height that is wider than any digit: a bar across the picture, where it stands may be all it tells
BRIGHT, TINTED = 16, 4  # of 255, by which the channels of half of a picture's pixels differ
COARSE = 8  # pixels a side at which pictures are alike or not, whatever moved by one or two
ALIKE = 0.5  # of the median difference of two pictures of a class: what differs less is alike
PAIRS, FEWEST_PAIRS = 300, 30  # of pictures that are compared
IN_RUNS, MORE = 0.3, 3  # the share of neighbours by name that are alike, and how many times that of others, to be told:
# 0.10 and 1.4 in MNIST, 0.33 and 1.4 in strangers' digits, 0.11 and 5 in hands, 0.57 and 5 in MNIST's digits each
# moved and turned six times by up to a pixel and 5 degrees
SOME = 0.2  # share of tinted pictures from which on color is kept


class Images(Protocol):
    """Images of uint8 and shape (n, height, width, channels), to be indexed by an array of places."""

    def __getitem__(self, places: np.ndarray, /) -> np.ndarray: ...


class Seen(NamedTuple):
    """What a look at a picture found."""

    size: tuple[int, int]
    """Width and height in pixels."""
    digit: bool
    """Whether it shows one, if that was looked for."""
    tint: float
    """The median over its pixels of what the largest channel is above the smallest, of 255."""


class Settled(NamedTuple):
    """How a folder's pictures become images."""

    framing: Framing
    shape: tuple[int, int, int]
    told: list[str]
    """What was found and chosen, a line each, for people."""


def settle(wanted: Folder, paths: list[Path]) -> Settled:
    """Choose what params.yaml leaves open.

    A digit is framed in 28 x 28 grey pixels. The whole of a picture gets WHOLE_SIDE, in color where pictures have any.
    """
    framing, side, color = wanted.framing, wanted.side, wanted.color
    open_still = AUTO in (framing, side, color) and framing != "digit"
    seen = look(paths, for_digits=framing == AUTO) if open_still else []
    if not seen:  # nothing to choose, or nothing that can be read, of which `gather` will say why
        fixed: Framing = "digit" if framing == "digit" else "whole"
        return Settled(fixed, _shape(fixed, side, color, tinted=False), [])
    without = np.mean([not one.digit for one in seen])
    bright = np.mean([one.tint > BRIGHT for one in seen])
    tinted = bool(np.mean([one.tint > TINTED for one in seen]) > SOME)
    told = []
    if framing == AUTO:
        grey_28 = side in (AUTO, SIDE) and color in (AUTO, False)
        framing = "digit" if grey_28 and without <= NO_DIGITS and bright <= MOSTLY else "whole"
        told.append(
            f"framing {framing}: of {len(seen)} pictures looked at, {round(without * len(seen))} show no single digit "
            f"and {round(bright * len(seen))} are colorful"
            if grey_28
            else f"framing whole: side is {side}, color {str(color).lower()}; digits become {SIDE} x {SIDE} grey pixels"
        )
    chosen: Framing = "digit" if framing == "digit" else "whole"
    shape = _shape(chosen, side, color, tinted)
    sizes = sorted({one.size for one in seen}, key=math.prod)
    among = " to ".join(f"{width:,} x {height:,}" for width, height in dict.fromkeys([*sizes[:1], *sizes[-1:]]))
    kind = "in color" if shape[2] == 3 else "grey"
    told.append(f"pictures of {among} pixels become images of {shape[0]} x {shape[1]}, {kind}")
    return Settled(chosen, shape, told)


def _shape(framing: Framing, side: int | str, color: bool | str, tinted: bool) -> tuple[int, int, int]:
    if framing == "digit":
        return SIDE, SIDE, 1
    pixels = side if isinstance(side, int) else WHOLE_SIDE
    return pixels, pixels, 3 if (tinted if color == AUTO else color) else 1


def look(paths: list[Path], for_digits: bool) -> list[Seen]:
    """Look at SAMPLE of the pictures, those that can be read; for digits, which takes longest, only if asked to."""
    by_content = {}
    for path in paths:
        if path.stat().st_size:
            with path.open("rb") as file:
                by_content[hashlib.file_digest(file, "sha256").digest()] = path
    sample = [by_content[digest] for digest in sorted(by_content)[:SAMPLE]]
    return [seen for seen in in_processes(partial(look_at, for_digits=for_digits), sample) if seen]


def look_at(path: Path, for_digits: bool) -> Seen | None:
    """Look at a picture, for a digit if asked to; one that cannot be read is left to who reads all."""
    try:
        content = path.read_bytes()
        picture = flattened(decode(content))
    except (Refusal, OSError):
        return None
    size = picture.size
    small = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.BOX)).astype(int)
    tint = float(np.median(small.max(axis=2) - small.min(axis=2)))
    return Seen(size, for_digits and _shows_a_digit(content), tint)


def _shows_a_digit(content: bytes) -> bool:
    try:
        rows, columns = np.nonzero(prepare(content) > np.float32(0.5))[:2]
    except Refusal:
        return False
    return bool(np.ptp(columns) < WIDE * (np.ptp(rows) + 1))


def in_runs(images: Images, paths: list[Path], labels: np.ndarray) -> str:
    """What is to be said where pictures that follow each other by name are nearly the same; nothing where they are not.

    Args:
        images: uint8 of shape (n, height, width, channels), to be indexed by places.
        paths: of their files, in an order that has nothing to do with their names.
        labels: integers of shape (n,).
    """
    named = sorted(range(len(paths)), key=lambda place: (paths[place].parent, _numbers_apart(paths[place].name)))
    neighbours = [pair for pair in pairwise(named) if paths[pair[0]].parent == paths[pair[1]].parent]
    by_label = np.argsort(labels, kind="stable")
    others = [pair for pair in pairwise(by_label.tolist()) if labels[pair[0]] == labels[pair[1]]]
    if min(len(neighbours), len(others)) < FEWEST_PAIRS:
        return ""
    near, far = (_differences(images, some) for some in (neighbours, others))
    alike = ALIKE * np.median(far)
    share, usual = np.mean(near < alike), np.mean(far < alike)
    if share < IN_RUNS or share < MORE * usual:
        return ""
    return (
        f"{share:.0%} of the pictures that follow each other by name are nearly the same, {usual:.0%} of others: if "
        "they are of one hand or moment, datasets.own.group: folder, with a folder for each, keeps them on one side"
    )


def _differences(images: Images, pairs: list[tuple[int, int]]) -> np.ndarray:
    """How much PAIRS of the pairs of images differ coarsely, evenly taken: float64 of shape (m,)."""
    some = np.array(pairs)[np.linspace(0, len(pairs) - 1, min(PAIRS, len(pairs))).astype(int)]
    one, other = (_coarse(images[places]) for places in some.T)
    return np.abs(one - other).mean(axis=(1, 2))


def _coarse(images: np.ndarray) -> np.ndarray:
    """Images of uint8 as float64 of shape (n, COARSE, COARSE)."""
    height, width = (side // COARSE for side in images.shape[1:3])
    grey = images[:, : COARSE * height, : COARSE * width].mean(axis=3)
    return grey.reshape(-1, COARSE, height, COARSE, width).mean(axis=(2, 4))


def _numbers_apart(name: str) -> list[tuple[str, int]]:
    """By which 10.png comes after 9.png."""
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)([0-9]*)", name)]
