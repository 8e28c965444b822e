"""How well pictures of digits are read, and what is refused: drawings of many kinds, and pictures without a digit.

Usage: python -m benchmarks.pictures

Draws with lines alone: the skeletons of MNIST's test digits and the strokes of HANDWRITTEN below.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.interpolate import CubicSpline

from digits.dataset import SIDE

# Strokes of digits as they are taught and written here and there, none of them from MNIST: points of x,y in a box of
# 10 x 15, a smooth curve through the points of each stroke, | between strokes; a corner is where two strokes meet.
HANDWRITTEN: dict[int, list[str]] = {
    0: [
        "5,0 1.5,3 1,8 2.5,13 5,15 8,13 9,8 8.5,3 5,0",
        "6,0.5 3,1 1,6 1.5,11 4.5,15 8,13 9,7 8,2 5.5,0",
        "5,2.5 1,4.5 0,8.5 2,12.5 5.5,13.5 9,11 9.5,7 8,3.5 5,2.5",
        "7,1 4,0 1.5,4 1.5,11 4.5,15 8,11.5 8.5,4 6,0 3.5,1",
    ],
    1: ["5,0 5,15", "7,0 3,15", "2,4 6,0|6,0 6,15", "2.5,3.5 5,0|5,0 5,15|2,15 8,15"],
    2: [
        "1,4 2,1 5,0 8,1.5 9,4 7,8 4,11.5 1,15|1,15 10,15",
        "1,4 3,0.5 7,0.5 8.5,4 6,9 2.5,13.5 1,14 1.2,12.5 3,12.5 6,14.5 9.5,14",
        "1,2 4,0 8,1 8.5,4 5,9.5 1,15|1,15 9,15",
        "0.5,3.5 4,0 9,3 7.5,8 0.5,14.5|0.5,14.5 4,13.7 9.5,14.5",
    ],
    3: [
        "1,2 4,0 8,1.5 8,5 4,7|4,7 8.5,8.5 9,12 6,15 1,13",
        "1,0 9,0|9,0 4,6|4,6 8,7.5 9,11 6.5,14.5 1,14",
        "1.5,1.5 5,0 8,2.5 6.5,6 4.5,7 4.2,7.4 5,7.6 8.5,10 7.5,14 4,15 1,13",
        "2,1 6,0 8,3 6,6.5 3.5,7|3.5,7 8,8 9,11.5 5,15 2,14.5",
    ],
    4: [
        "2,0 1,9|1,9 9,9|8,3 8,15",
        "7,0 0.5,10|0.5,10 10,10|7,0 7,15",
        "1.5,0 1.2,5 3,7.5 6,7.5 9,5.5|9,0 8.5,15",
        "4,0 1,9.5|1,9.5 9.5,9|6.5,5 6,15",
    ],
    5: [
        "9,0 2,0|2,0 1.5,6|1.5,6 5,5 9,8 8.5,13 4,15 1,13.5",
        "9,0 4,0.5 2,3 3,6 7,8 9,11 7,14.5 1,14.5",
        "2,0.5 1.5,6.5|1.5,6.5 6,6 9,9.5 7,14 1,14.5|2,0.5 9,0",
        "8.5,1 2.5,1|2.5,1 2,7|2,7 7,6.5 8.5,10.5 6,14.5 1.5,14",
    ],
    6: [
        "8,0 3,5 1,10 3,14.5 7,14.5 9,11 7,8 3,9 1.2,11.5",
        "6,0 2,7 1,11 4,15 8,13.5 8.5,10 5,8 1.5,10.5",
        "8,1 4,1.5 1.5,6 1.5,12 5,15 8.5,12 7,8.5 4,8.5 1.7,11",
        "4,0 2,6 1.5,11.5 4,15 8,13 7.5,9.5 4.5,9 1.7,12",
    ],
    7: [
        "1,0 9,0|9,0 4,15",
        "1,0 9,0|9,0 4,15|3,7.5 9,7.5",
        "1,3 1,0.5|1,0.5 9,0.5|9,0.5 7,5 4.5,10 4,15",
        "0.5,1.5 3,0.5 6,1 9,0|9,0 6.5,5 4.5,10 4,15|3.5,8 8,7",
    ],
    8: [
        "8,2 5,0 2,2 3,5.5 7,8.5 9,12 5,15 1,12 3,8.5 7,5.5 8,2",
        "5,0 2,3.5 5,7 8,3.5 5,0|5,7 1,11 5,15 9,11 5,7",
        "7.5,1.5 4,0 2,3 4.5,6.5 8,10 7,14 4,15 1.5,12 4,8 7.5,4 8,1",
        "5.5,0 2.5,2.5 4,6 7.5,9.5 7.5,13.5 4,15 1.5,11.5 5,7 8.5,3 5.5,0",
    ],
    9: [
        "8.5,3 5,0 1.5,4 4,7.5 8.5,4|8.5,2 8.5,15",
        "8.5,4 5,0 1.5,3.5 4,7.5 8.5,4 8.5,10 6,15 2,14",
        "8,4 5,0.5 2,3 3,7 6.5,7 8,3|8,3 7,9 5.5,15",
        "8,1.5 4,0 1.5,4 4.5,7.5 8,3.5|8,1.5 8.5,8 7,15",
    ],
}


def thinned(mask: np.ndarray) -> np.ndarray:
    """The skeleton of a mask, one pixel wide (Zhang and Suen, "A fast parallel algorithm for thinning", 1984)."""
    mask = np.pad(mask, 1)
    while True:
        before = mask.sum()
        for first, second in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):
            around = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
            near = np.stack([np.roll(mask, (-down, -across), (0, 1)) for down, across in around])
            count = near.sum(axis=0)
            rises = (~near & np.roll(near, -1, axis=0)).sum(axis=0)
            loose = ~near[list(first)].all(axis=0) & ~near[list(second)].all(axis=0)
            mask = mask & ~((count >= 2) & (count <= 6) & (rises == 1) & loose)
        if mask.sum() == before:
            return mask[1:-1, 1:-1]


def skeleton(image: np.ndarray) -> np.ndarray:
    """An MNIST image of (28, 28) as the segments, (n, 2, 2) of x and y, that a pencil would draw it with."""
    large = np.asarray(Image.fromarray(image).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BICUBIC))
    points = np.argwhere(thinned(large > 0.4))
    near = np.abs(points[:, None] - points).max(axis=-1) <= 1
    smooth = points.astype(float)
    inner = near.sum(axis=1) > 2  # ends stay
    for _ in range(6):
        smooth[inner] = (near @ smooth / near.sum(axis=1)[:, None])[inner]
    pairs = np.argwhere(np.triu(near))  # a lone point is joined to itself
    return in_unit_box(smooth[pairs][..., ::-1])


def handwritten(strokes: str, generator: np.random.Generator) -> np.ndarray:
    """Segments as `skeleton`'s of one of HANDWRITTEN, drawn by another hand each time."""
    lean, turn = np.tan(np.radians(generator.uniform(-5, 20))), np.radians(generator.uniform(-8, 8))
    shape = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shape = shape @ np.array([[1, -lean], [0, 1]]) @ np.diag([generator.uniform(0.7, 1.2), 1])
    moved: dict[str, np.ndarray] = {}
    segments = []
    for stroke in strokes.split("|"):
        corners = []
        for corner in stroke.split():
            if corner not in moved:
                moved[corner] = np.array(corner.split(","), float) + generator.normal(0, 0.25, 2)
            corners.append(moved[corner])
        points = np.array(corners) @ shape.T
        along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        curve = CubicSpline(along, points)(np.linspace(0, along[-1], 40))
        segments.append(np.stack([curve[:-1], curve[1:]], axis=1))
    return in_unit_box(np.concatenate(segments))


def in_unit_box(segments: np.ndarray) -> np.ndarray:
    """Scaled so that the longer side of what they span is 1, its corner at 0, 0."""
    corner = segments.min(axis=(0, 1))
    return (segments - corner) / max((segments.max(axis=(0, 1)) - corner).max(), 1e-6)


def to_image(grey: np.ndarray) -> Image.Image:
    """Brightness in [0, 1] as an image of 8 bits."""
    return Image.fromarray(np.round(grey.clip(0, 1) * 255).astype(np.uint8))


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def draw(
    segments: np.ndarray,
    generator: np.random.Generator,
    side: float = 300,
    width: float = 1,
    size: tuple[float, float] = (0.5, 0.9),
    aspect: float = 1,
    smooth: bool = True,
    margin: float = 0,
) -> np.ndarray:
    """How much ink lies on each pixel, in [0, 1]: the digit anywhere on a canvas.

    Args:
        segments: what the digit is made of, as `skeleton` gives it.
        generator: chooses its size and place.
        side: of the canvas, its height in pixels.
        width: of the pen; below 1, as a share of the digit.
        size: the smallest and the largest share of the canvas's shorter side that the digit takes.
        aspect: of the canvas, width by height.
        smooth: whether the pen's edge is; else a pixel has ink or none.
        margin: in pixels, that stays free.
    """
    height, across = round(side), max(round(side * aspect), 1)
    times = (4 if max(height, across) < 400 else 2) if smooth else 1
    length = generator.uniform(*size) * min(height, across)
    pen = width if width >= 1 else max(width * length, 1)
    room = np.array([across, height]) - segments.max(axis=(0, 1)) * length
    free = pen / 2 + margin
    corner = np.where(room > 2 * free, generator.uniform(np.minimum(free, room / 2), np.maximum(room - free, room / 2)), room / 2)
    page = Image.new("L", (across * times, height * times))
    canvas = ImageDraw.Draw(page)
    points = (segments * length + corner) * times
    thick = max(round(pen * times), 1)
    for start, end in points:
        canvas.line([*start, *end], fill=255, width=thick)
        if thick > 2:
            for x, y in (start, end):
                canvas.ellipse([x - thick / 2, y - thick / 2, x + thick / 2 - 1, y + thick / 2 - 1], fill=255)
    return np.asarray(page.resize((across, height), Image.Resampling.BOX), float) / 255


def log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    """A number between two others, each doubling as likely."""
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))


def page_of(ink: np.ndarray) -> Image.Image:
    return to_image(1 - ink)


def pencil_28(s, g):
    return encoded(page_of(draw(s, g, 28, smooth=False, size=(0.5, 0.95))))


def pencil_any(s, g):
    return encoded(page_of(draw(s, g, log_uniform(g, 20, 300), smooth=False, size=(0.6, 0.95))))


def pencil_soft(s, g):
    return encoded(page_of(draw(s, g, log_uniform(g, 20, 300), size=(0.6, 0.95))))


def brush(s, g):
    return encoded(page_of(draw(s, g, log_uniform(g, 28, 800), width=g.uniform(0.04, 0.12), size=(0.4, 0.9))))


def marker(s, g):
    return encoded(page_of(draw(s, g, log_uniform(g, 28, 600), width=g.uniform(0.12, 0.2), size=(0.4, 0.75))))


def rim(s, g):
    side = log_uniform(g, 28, 400)
    ink = draw(s, g, side, width=g.uniform(0.03, 0.12), size=(0.5, 0.8))
    rows, columns = np.nonzero(ink.max(axis=1) > 0)[0], np.nonzero(ink.max(axis=0) > 0)[0]
    match g.integers(4):
        case 0: ink = ink[rows[0] + 1:]
        case 1: ink = ink[: rows[-1]]
        case 2: ink = ink[:, columns[0] + 1:]
        case 3: ink = ink[:, : columns[-1]]
    return encoded(page_of(ink))


def tight(ink, least=0.5):
    rows, columns = np.nonzero(ink.max(axis=1) > least)[0], np.nonzero(ink.max(axis=0) > least)[0]
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def fills(s, g):
    return encoded(page_of(tight(draw(s, g, log_uniform(g, 28, 600), width=g.uniform(0.03, 0.15), size=(0.5, 0.9)))))


def fills_hard(s, g):
    return encoded(page_of(tight(draw(s, g, log_uniform(g, 28, 300), width=g.integers(1, 4), size=(0.5, 0.9), smooth=False))))


def inverted(s, g):
    return encoded(to_image(draw(s, g, log_uniform(g, 28, 400), width=g.choice([1, 0.03, 0.08]), smooth=bool(g.integers(2)))))


def transparent(s, g):
    ink = draw(s, g, log_uniform(g, 28, 400), width=g.choice([1, 0.03, 0.08]), smooth=bool(g.integers(2)))
    image = Image.new("RGBA", ink.shape[::-1], tuple(int(x) for x in g.integers(0, 256, 3)))
    image.putalpha(to_image(ink))
    return encoded(image, str(g.choice(["PNG", "WEBP"])), **{"lossless": True})


def palette(s, g):
    ink = draw(s, g, log_uniform(g, 28, 400), width=g.choice([1, 0.03, 0.08]))
    pen, paper = colours(g)
    image = Image.fromarray(np.round(paper * (1 - ink[..., None]) + pen * ink[..., None]).astype(np.uint8))
    return encoded(image.quantize(int(g.choice([2, 4, 16, 256]))), str(g.choice(["PNG", "GIF", "BMP"])))


def one_bit(s, g):
    ink = draw(s, g, log_uniform(g, 28, 400), width=g.choice([1, 0.03, 0.08]), smooth=False)
    image = page_of(ink) if g.integers(2) else to_image(ink)
    return encoded(image.convert("1"), str(g.choice(["PNG", "GIF", "BMP", "TIFF"])))


def colours(g, apart=60):
    while True:
        pen, paper = g.integers(0, 256, (2, 3)).astype(float)
        if abs((pen - paper) @ [0.299, 0.587, 0.114]) > apart:
            return pen, paper


def coloured(s, g):
    ink = draw(s, g, log_uniform(g, 28, 600), width=g.choice([2, 0.03, 0.08]), smooth=bool(g.integers(2)))
    pen, paper = colours(g)
    image = Image.fromarray(np.round(paper * (1 - ink[..., None]) + pen * ink[..., None]).astype(np.uint8))
    return encoded(image, str(g.choice(["PNG", "BMP", "GIF", "WEBP"])))


def colours_alike(s, g):
    """Red on blue and the like: tones of nearly equal brightness."""
    ink = draw(s, g, log_uniform(g, 28, 600), width=g.choice([2, 0.03, 0.08]))
    pairs = [((220, 30, 30), (30, 110, 200)), ((0, 150, 60), (230, 60, 60)), ((60, 60, 255), (180, 20, 20)), ((255, 230, 0), (255, 255, 255)), ((240, 120, 200), (120, 200, 120))]
    pen, paper = (np.array(c, float) for c in pairs[g.integers(len(pairs))])
    image = Image.fromarray(np.round(paper * (1 - ink[..., None]) + pen * ink[..., None]).astype(np.uint8))
    return encoded(image)


def lit(ink, g, dark=0.5):
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in ink.shape), indexing="ij")
    angle = g.uniform(0, 2 * np.pi)
    across = (x * np.cos(angle) + y * np.sin(angle)) / np.sqrt(2)
    light = g.uniform(0.7, 0.95) * (1 - dark * (1 + across) / 2) 
    grey = light * (1 - ink * g.uniform(0.6, 0.9))
    return grey + g.normal(0, g.uniform(0, 0.02), grey.shape)


def slanted(s, g):
    ink = draw(s, g, log_uniform(g, 60, 800), width=g.uniform(0.03, 0.1), size=(0.3, 0.8))
    return encoded(to_image(lit(ink, g, g.uniform(0.3, 0.65))), "JPEG", quality=int(g.integers(40, 95)))


def shadowed(s, g):
    ink = draw(s, g, log_uniform(g, 60, 800), width=g.uniform(0.03, 0.1), size=(0.3, 0.8))
    grey = lit(ink, g, 0.2)
    grey *= 1 - g.uniform(0.1, 0.4) * edge(grey.shape, g, g.uniform(0.1, 0.4))
    return encoded(to_image(grey), "JPEG", quality=int(g.integers(40, 95)))


def edge(shape, g, width):
    """From 0 to 1 across a line through the picture, in `width` of its sides."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    angle = g.uniform(0, 2 * np.pi)
    across = x * np.cos(angle) + y * np.sin(angle) + g.uniform(-0.6, 0.6)
    return 1 / (1 + np.exp(-across / width * 4))


def shapes(s, g):
    return encoded(page_of(draw(s, g, log_uniform(g, 60, 300), width=g.choice([2, 0.04, 0.1]), aspect=log_uniform(g, 1 / 4, 4), smooth=bool(g.integers(2)))))


def jpeg(s, g):
    ink = draw(s, g, log_uniform(g, 40, 500), width=g.choice([2, 0.04, 0.1]), smooth=bool(g.integers(2)))
    return encoded(page_of(ink), "JPEG", quality=int(g.integers(5, 30)))


def dashed(s, g):
    """Dots or dashes, a pen's width to two apart."""
    width = g.uniform(0.03, 0.07)
    at = (np.arange(16) + 0.5) / 16
    points = (s[:, :1] + (s[:, 1:] - s[:, :1]) * at[:, None]).reshape(-1, 2)
    along = np.repeat(np.hypot(*(s[:, 1] - s[:, 0]).T) / 16, 16).cumsum()
    on = along % (width * g.uniform(1.6, 2.6)) < width * g.uniform(0.1, 0.8)
    dots = points[on]
    return encoded(page_of(draw(np.stack([dots, dots], axis=1), g, log_uniform(g, 60, 500), width=width)))


def hatched(s, g):
    ink = draw(s, g, log_uniform(g, 60, 500), width=g.uniform(0.06, 0.14))
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]]
    return encoded(page_of(ink * ((x + y) % int(g.integers(3, 6)) < 2)))


def small(s, g):
    ink = draw(s, g, log_uniform(g, 300, 1500), width=g.uniform(0.05, 0.12), size=(0.06, 0.2), aspect=g.uniform(0.6, 1.6))
    return encoded(page_of(ink), str(g.choice(["PNG", "JPEG"])))


def framed(s, g):
    """A frame of one to a few pixels around, or inside by some, as screenshots have."""
    ink = draw(s, g, log_uniform(g, 40, 500), width=g.choice([2, 0.04, 0.1]), smooth=bool(g.integers(2)), size=(0.4, 0.7), margin=4)
    w = int(g.integers(1, 4)); tone = g.uniform(0.2, 1)
    ink = np.pad(ink, w, constant_values=tone)
    if g.integers(2):
        ink = np.pad(ink, int(g.integers(1, 12)))
    return encoded(page_of(ink))


def photograph(s, g):
    ink = draw(s, g, log_uniform(g, 60, 1200), width=g.uniform(0.03, 0.12), size=(0.3, 0.8), aspect=g.choice([0.75, 1.33]))
    return encoded(to_image(lit(ink, g, 0.3)), "JPEG", quality=int(g.integers(20, 96)))


KINDS = [pencil_28, pencil_any, pencil_soft, brush, marker, rim, fills, fills_hard, inverted, transparent, palette, one_bit, coloured, colours_alike, slanted, shadowed, shapes, jpeg, dashed, hatched, small, framed, photograph]


def size_of(g):
    side = log_uniform(g, 28, 600)
    return round(side), round(side * log_uniform(g, 0.6, 1.7))


def saved(grey, g):
    image = to_image(grey)
    if g.integers(2):
        return encoded(image, "JPEG", quality=int(g.integers(10, 96)))
    return encoded(image, str(g.choice(["PNG", "BMP", "GIF"])))


def grid(shape):
    return np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")


def e_blank(g):
    return saved(np.full(size_of(g), g.uniform(0, 1)), g)


def e_gradient(g):
    y, x = grid(size_of(g))
    a = g.uniform(0, 2 * np.pi)
    t = (x * np.cos(a) + y * np.sin(a)) if g.integers(2) else np.hypot(x - g.uniform(-1, 1), y - g.uniform(-1, 1))
    t = (t - t.min()) / np.ptp(t)
    return saved(g.uniform(0, 1) * (1 - t) + g.uniform(0, 1) * t, g)


def e_shadow(g):
    shape = size_of(g)
    grey = np.full(shape, g.uniform(0.6, 0.95))
    for _ in range(g.integers(1, 3)):
        grey *= 1 - g.uniform(0.1, 0.5) * edge(shape, g, g.uniform(0.15, 0.8))
    return saved(grey + g.normal(0, g.uniform(0, 0.02), shape), g)


def e_noise(g):
    shape = size_of(g)
    grey = np.full(shape, g.uniform(0.3, 0.9))
    match g.integers(4):
        case 0: grey = grey + g.normal(0, g.uniform(0.01, 0.3), shape)
        case 1: grey = g.uniform(0, 1, shape)
        case 2: grey[g.uniform(0, 1, shape) < g.uniform(0, 0.05)] = 0
        case 3: grey = grey + ndimage.gaussian_filter(g.normal(0, 1, shape), g.uniform(0.5, 2)) * g.uniform(0.02, 0.3)
    return saved(grey, g)


def e_jpeg(g):
    shape = size_of(g)
    y, x = grid(shape)
    grey = g.uniform(0.4, 0.9) + g.uniform(-0.15, 0.15) * x + g.uniform(-0.15, 0.15) * y + g.normal(0, g.uniform(0, 0.05), shape)
    return encoded(to_image(grey), "JPEG", quality=int(g.integers(1, 20)))


def e_lamp(g):
    y, x = grid(size_of(g))
    r = np.hypot(x - g.uniform(-0.8, 0.8), (y - g.uniform(-0.8, 0.8)) * g.uniform(0.6, 1.6))
    spot = np.exp(-((r / g.uniform(0.2, 0.9)) ** 2)) if g.integers(2) else np.cos(np.minimum(r * g.uniform(0.4, 1), 1.5)) ** 2
    grey = g.uniform(0.2, 0.7) + g.uniform(0.1, 0.5) * spot
    return saved(grey + g.normal(0, g.uniform(0, 0.02), grey.shape), g)


def ruled(g, squared, shape):
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    a = np.radians(g.choice([0, 0, 0, g.uniform(-8, 8)]))
    along, down = x * np.cos(a) + y * np.sin(a), y * np.cos(a) - x * np.sin(a)
    gap = min(shape) / g.uniform(3.5, 25)
    if gap < 4: gap = 4.0
    pen = max(1, g.uniform(0.03, 0.15) * gap)
    o = g.uniform(0, gap, 2)
    ink = np.clip(pen / 2 + 0.5 - np.abs((down + o[0]) % gap - gap / 2), 0, 1)
    if squared:
        ink = np.maximum(ink, np.clip(pen / 2 + 0.5 - np.abs((along + o[1]) % gap - gap / 2), 0, 1))
    elif g.integers(2):
        ink = np.maximum(ink, np.abs(along - 0.15 * shape[1]) < pen)
    return ink


def e_ruled(g, squared):
    shape = tuple(max(n, 60) for n in size_of(g))
    ink = ruled(g, squared, shape) * g.uniform(0.1, 0.8)
    if g.integers(3) == 0:
        k = int(min(shape) * 0.08)
        mask = np.zeros(shape); mask[k:-k, k:-k] = 1
        ink = ink * mask
    grey = g.uniform(0.85, 1) * (1 - ink)
    return saved(grey * lit(np.zeros(shape), g, 0.2) if g.integers(2) else grey, g)


def e_lined(g):
    return e_ruled(g, False)


def e_squared(g):
    return e_ruled(g, True)


EMPTY = [e_blank, e_gradient, e_shadow, e_noise, e_jpeg, e_lamp, e_lined, e_squared]
