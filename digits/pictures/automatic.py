"""What `auto` in params.yaml comes to: how a folder's pictures become images, found by a look at some of them."""

import hashlib
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from digits.foundation.command import Refusal
from digits.foundation.parameters import AUTO, Folder, Framing
from digits.pictures.decoding import decode, flattened
from digits.pictures.framing import SIDE, prepare
from digits.pictures.reading import CHUNK, FEW, in_processes

SAMPLE = 200  # pictures that are looked at, by their content, so that no name decides
WHOLE_SIDE = 32  # pixels; 48 take twice the time and tell hands, letters and textures apart no better
NO_DIGITS = 0.2  # share without a digit from which on pictures are no digits: 0.03 of strangers' digits, 0.45 of hands
MOSTLY = 0.5  # share in bright colors from which on they are none: 0.05 of strangers' digits, 0.96 of painted letters
BRIGHT, TINTED = 16, 4  # of 255, by which the channels of half of a picture's pixels differ
SOME = 0.2  # share of tinted pictures from which on color is kept


class Seen(NamedTuple):
    """What a look at a picture found."""

    size: tuple[int, int]
    """Width and height in pixels."""
    digit: bool
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
    seen = look(paths) if open_still else []
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


def look(paths: list[Path]) -> list[Seen]:
    """Look at SAMPLE of the pictures, those that can be read."""
    by_content = {}
    for path in paths:
        if path.stat().st_size:
            with path.open("rb") as file:
                by_content[hashlib.file_digest(file, "sha256").digest()] = path
    sample = [by_content[digest] for digest in sorted(by_content)[:SAMPLE]]
    chunks = [sample[start : start + CHUNK] for start in range(0, len(sample), CHUNK)]
    results = map(look_at_some, chunks) if len(paths) < FEW else in_processes(look_at_some, chunks)
    return [one for chunk in results for one in chunk]


def look_at_some(paths: list[Path]) -> list[Seen]:
    """Look at pictures, each for itself; those that cannot be read are left to who reads all."""
    seen = []
    for path in paths:
        try:
            content = path.read_bytes()
            picture = flattened(decode(content))
        except (Refusal, OSError):
            continue
        size = picture.size
        small = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.BOX)).astype(int)
        try:
            prepare(content)
            digit = True
        except Refusal:
            digit = False
        seen.append(Seen(size, digit, float(np.median(small.max(axis=2) - small.min(axis=2)))))
    return seen
