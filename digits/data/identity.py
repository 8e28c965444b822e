"""Which image is it: the one answer by which images are counted, split, paired between revisions, and named.

Of a published image it is a digest of its pixels. A person's picture comes in many files: moved on its page, turned by
the camera, saved again in another format or size. So of that it is a digest of a coarse form of what
it shows, of which no parameter changes anything.
benchmarks/results/identity.csv has how often that holds, and that different pictures keep apart.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

BYTES = 8  # of an identity: that any two of a million different images share one has a probability of 3e-8

LARGEST = 1024  # pixels of the longer side that is looked at
NARROW = 4  # pixels of the shorter side; less has no form to speak of, and strips of noise would be taken for one
FLAT = 8  # levels of 255; what differs less from its page has no form
FAINT = 0.1  # of what stands out most; less is a JPEG's noise
REACH = 2.6  # times the root mean square distance of what is shown from its middle: how far is looked
WAVES = 10  # half waves across that, from 0 up; of each pair, those that add up to less than WAVES are taken
PAGE = 0.5  # of a picture that is empty page, at least, where something is drawn on one
STEP, WHOLE_STEP = 0.03, 1.5  # of a wave in a drawing's coarse form, and in that of a picture all over
TELLING = 24  # bits at least in the waves of a picture all over: 87 of hands, 17 of white noise, 0 of fine stripes
SIZE_STEP = 0.25  # of the logarithm of how much of the picture it takes; a step is a fifth more
COLOR_STEP = 24  # levels of 255


def of_pixels(images: Iterable[np.ndarray]) -> np.ndarray:
    """The identities of published images: uint8 of shape (n, 8), from arrays of uint8."""
    digests = bytearray().join(_digest(np.ascontiguousarray(image).data) for image in images)
    return np.frombuffer(digests, np.uint8).reshape(-1, BYTES)


def of_group(name: str) -> bytes:
    """The 8 bytes by which a group of a person's pictures is known, of its name alone."""
    return _digest(b"group " + name.encode(errors="surrogateescape"))


def of_picture(picture: Image.Image) -> bytes:
    """The identity of a person's picture: 8 bytes.

    Args:
        picture: of 8 bits, without transparency, turned as it was meant to be seen.
    """
    color = picture if picture.mode in {"L", "RGB"} else picture.convert("RGB")
    if max(color.size) > LARGEST:
        scale = LARGEST / max(color.size)
        width, height = (max(round(side * scale), 1) for side in color.size)
        color = color.resize((width, height), Image.Resampling.BOX)
    pixels = np.asarray(color.convert("RGB"))
    narrow = min(color.size) < NARROW
    form = None if narrow else coarse_form(np.asarray(color.convert("L"), np.float64), pixels)
    return _digest(f"{picture.size}".encode() + pixels.tobytes() if form is None else form.tobytes())


def coarse_form(grey: np.ndarray, color: np.ndarray) -> np.ndarray | None:
    """What a picture shows, coarsely: few numbers, which noise hardly moves.

    Of a drawing on a page, it is the same wherever it stands there: what differs from the page is weighed by how much,
    and its shares of cosine waves are taken around its middle, as far as it spreads. Of a picture all over it is the
    waves of the whole. To them come how much of the picture is taken, and the colors of page and pen.

    Args:
        grey: float64 of shape (height, width), 0 to 255.
        color: uint8 of shape (height, width, 3).

    Returns:
        int16 of shape (59,); None where nothing differs from the page, or all that does is a pattern finer than the
        waves, which would be the same for each: stripes, checks, a fabric.
    """
    rim = np.sort(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    quarter = len(rim) // 4
    differs = np.abs(grey - rim[quarter : len(rim) - quarter].mean())
    if differs.max() < FLAT:
        return None
    differs /= (differs**3).sum() / (differs**2).sum()
    ink = np.maximum(differs - FAINT, 0)
    ink /= ink.sum()
    all_over = np.mean(differs < FAINT) <= PAGE
    if not all_over:
        ways = [(ink.sum(axis=1), np.arange(len(grey))), (ink.sum(axis=0), np.arange(grey.shape[1]))]
        middles = [(shares * at).sum() for shares, at in ways]
        spread = sum((shares * (at - middle) ** 2).sum() for (shares, at), middle in zip(ways, middles, strict=True))
        reach = REACH * max(float(np.sqrt(spread)), 0.5)
        fading = [np.clip((at - middle) / reach, -1, 1) for (_, at), middle in zip(ways, middles, strict=True)]
        down, across = (waves(at) * (0.5 + 0.5 * np.cos(np.pi * at)) for at in fading)
        shares, size = down @ ink @ across.T / STEP, np.log2(reach / max(grey.shape)) / SIZE_STEP
    else:
        down, across = (waves((2 * np.arange(side) + 1) / side - 1) / np.sqrt(side) for side in grey.shape)
        standard = (grey - grey.mean()) / (np.sqrt(grey.size) * grey.std())
        shares, size = down @ standard @ across.T * np.sqrt(grey.size) / WHOLE_STEP, 0.0
    first, second = np.indices(shares.shape)
    form = shares[(first + second > 0) & (first + second < WAVES)]
    if all_over and np.log2(1 + 2 * np.abs(np.rint(form))).sum() < TELLING:
        return None

    tints = color[..., ::2] - grey[..., None]  # red and blue
    page = np.concatenate([tints[0], tints[-1], tints[:, 0], tints[:, -1]]).mean(axis=0)
    shown = (tints * ink[..., None]).sum(axis=(0, 1))
    return np.rint(np.concatenate([form, [size], page / COLOR_STEP, shown / COLOR_STEP])).astype(np.int16)


def waves(places: np.ndarray) -> np.ndarray:
    """WAVES half waves of a cosine over [-1, 1], from 0 up: shape (WAVES, n) at places of shape (n,)."""
    return np.cos(np.outer(np.arange(WAVES), np.pi * (places + 1) / 2))


def names(identities: np.ndarray) -> list[str]:
    """Identities, uint8 of shape (n, 8), in 16 letters each."""
    return [identity.tobytes().hex() for identity in identities]


def numbers(identities: np.ndarray) -> np.ndarray:
    """Identities, uint8 of shape (n, 8), as uint64 of shape (n,)."""
    return np.ascontiguousarray(identities).view(">u8").ravel().astype(np.uint64)


def how_many(identities: np.ndarray) -> int:
    """How many different identities, uint8 of shape (n, 8), there are."""
    return len(np.unique(numbers(identities)))


def draw(identities: np.ndarray, purpose: str) -> np.ndarray:
    """A number from 0 to below 1 of each image that follows from its identity alone, another for each purpose.

    Args:
        identities: uint8 of shape (n, 8).
        purpose: what it decides.

    Returns:
        float64 of shape (n,).
    """
    drawn = of_pixels(np.append(identity, np.frombuffer(purpose.encode(), np.uint8)) for identity in identities)
    return numbers(drawn) / 2.0**64


def _digest(content: bytes | memoryview) -> bytes:
    return hashlib.blake2b(content, digest_size=BYTES).digest()
