"""How often a changed picture is still the same image, and how often two different ones are taken for one.

Usage: python -m benchmarks.identity

Writes a row for each kind of picture to benchmarks/results/identity.csv: how many there are, how many of them have the
identity of another, and of 300 the share that keeps its identity through each change. MNIST's images are those that
`dvc repro prepare` fetches; the other kinds are drawn here.
"""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.processes import ROOT
from benchmarks.tables import RESULTS
from digits.data.identity import of_picture
from digits.data.raw import FETCHED, read_raw
from digits.foundation.tables import write_table
from digits.pictures.decoding import decode, flattened

CHANGED = 300
PATH = RESULTS / "identity.csv"


def pen_drawing(seed: int, side: int = 280) -> Image.Image:
    """Strokes of a pen on a white page, of other length, curve and width for each seed."""
    generator = np.random.default_rng(seed)
    image = Image.new("L", (side, side), 255)
    for _ in range(generator.integers(1, 4)):
        start, end, bend = generator.uniform(0.2, 0.8, (3, 2)) * side
        t = np.linspace(0, 1, 30)[:, None]
        points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        ImageDraw.Draw(image).line([*map(tuple, points)], 20, int(generator.integers(6, 18)), joint="curve")
    return image


def photograph(seed: int) -> Image.Image:
    """Patches of color in uneven light with a sensor's noise, 160 x 120."""
    generator = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(generator.normal(size=(120, 160, 3)), (12, 12, 0.5))
    noisy = 120 + 45 * smooth / smooth.std() + generator.normal(size=smooth.shape) * 4
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def texture(seed: int) -> Image.Image:
    """A fine pattern all over, 128 x 128, which shows nothing coarse."""
    generator = np.random.default_rng(seed)
    fine = ndimage.gaussian_filter(generator.normal(size=(128, 128)), 1.5)
    return Image.fromarray((128 + 50 * fine / fine.std()).clip(0, 255).astype(np.uint8))


def fabric(seed: int) -> Image.Image:
    """Checks or stripes of some width, direction and contrast with a sensor's noise, 96 x 96."""
    generator = np.random.default_rng(seed)
    angle, width, contrast = generator.uniform((0, 4, 10), (np.pi, 9, 40))
    down, across = np.indices((96, 96)) / 96
    ways = (across * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - across * np.sin(angle))
    signs = np.sign(np.sin(2 * np.pi * width * np.array(ways[: 1 + seed % 2]))).prod(axis=0)
    noisy = generator.uniform(80, 170) + contrast * signs + generator.normal(size=signs.shape) * 4
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def saved(picture: Image.Image, form: str, **options: object) -> Image.Image:
    """The picture as it comes back from a file."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return decode(file.getvalue())


def moved(picture: Image.Image) -> Image.Image:
    """The picture one pixel further right and down, on a page of the color of its corner."""
    page = Image.new(picture.mode, picture.size, picture.getpixel((0, 0)))
    page.paste(picture, (1, 1))
    return page


def smaller(picture: Image.Image) -> Image.Image:
    """The picture in two thirds of its pixels each way."""
    return picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.LANCZOS)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "WebP, lossless": lambda picture: saved(picture.convert("RGB"), "WEBP", lossless=True),
    "moved by a pixel": moved,
    "JPEG 95": lambda picture: saved(picture.convert("RGB"), "JPEG", quality=95),
    "JPEG 90": lambda picture: saved(picture.convert("RGB"), "JPEG", quality=90),
    "JPEG 75": lambda picture: saved(picture.convert("RGB"), "JPEG", quality=75),
    "two thirds": smaller,
}


def main() -> None:
    mnist = read_raw(ROOT / FETCHED / "mnist")
    images = np.concatenate([mnist.train.images.read(), mnist.test.images.read()])
    kinds: dict[str, tuple[int, Callable[[int], Image.Image]]] = {
        "MNIST, 28 x 28": (len(images), lambda place: Image.fromarray(255 - images[place])),
        "MNIST, 280 x 280": (5000, lambda place: Image.fromarray(255 - images[place]).resize((280, 280))),
        "drawings by pen": (5000, pen_drawing),
        "photographs": (5000, photograph),
        "textures": (5000, texture),
        "stripes and checks": (5000, fabric),
    }
    rows = []
    for kind, (count, picture) in kinds.items():
        known = [of_picture(flattened(picture(place))) for place in range(count)]
        row: dict[str, object] = {"kind": kind, "pictures": count, "taken for another": count - len(set(known))}
        some = range(0, count, count // CHANGED)[:CHANGED]
        for name, change in CHANGES.items():
            same = [of_picture(flattened(change(picture(place)))) == known[place] for place in some]
            row[name] = round(float(np.mean(same)), 3)
        print(*row.values(), flush=True)
        rows.append(row)
    write_table(PATH, pd.DataFrame(rows))


if __name__ == "__main__":
    main()
