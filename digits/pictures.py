"""How a picture of a digit, photographed, scanned or drawn, is brought into the form of MNIST's images.

As MNIST's own page (LeCun, Cortes, Burges) tells it: a white digit on black, scaled to fit 20 x 20 pixels, its center
of mass in the middle of 28 x 28.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from scipy import ndimage

from digits.command import Refusal
from digits.parameters import Framing

SIDE = 28  # pixels of MNIST's images
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
EIGHT_BIT_MODES = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"}
FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]
PngImagePlugin.MAX_TEXT_CHUNK = 1 << 25  # bytes; profiles of scanners and monitors have more than Pillow's 1 MiB
MOST_PIXELS = 64_000_000  # more than a phone's 50 megapixels; 62 grey ones took 423 MB at the peak
WORKING_SIDE = 512  # pixels of the longer side that the digit is looked for at
DIGIT_SIDE = 20  # of the box that MNIST's digits are scaled to fit
THINNEST = 2.0  # pixels of those 20; of 1,000 of MNIST's digits, 9 in 10 have strokes of 1.9 to 4.2
LEAST_CONTRAST = 0.06  # of black to white; JPEG's blocks on an empty page stay below
LEAST_SIDE = 0.03  # of the picture's longer side, for a digit; what is smaller is dust
MOST_PARTS = 15  # of a digit in whole strokes; what has more is dotted, hatched or noise
# Measured on 40 images of each of 23 kinds of drawings and 8 without a digit, kinds of benchmarks.pictures:
LEAST_RATIO = 8  # of a stroke's height to its page's unevenness; drawings 10 and more, half of shadows and noise 5
LEAST_SLOPE = 20  # of a stroke's edge, in its own heights a picture's side; half of shades and lamps 11. Pens reach 35
# where there are pixels enough, a pencil on 28 x 28 pixels 17


class NoDigit(Refusal):
    """A picture that can be read shows none."""


def decode(content: bytes, draft: bool = False) -> Image.Image:
    """Decode an image file, turned the way its camera was held.

    Args:
        content: of the file.
        draft: whether a JPEG may come smaller and in grey, as large as it takes to find the digit: so it comes sooner.

    Raises:
        Refusal: it is no image, has too many pixels or several frames, or ends too early.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of many pixels, and of metadata that nobody asked for
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise Refusal(f"is {width:,} x {height:,} pixels, expected {MOST_PIXELS:,} at most")
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":  # a JPEG to which the camera added a preview
                raise Refusal(f"has {frames} frames, expected a single picture")
            if draft:
                image.draft("L", (WORKING_SIDE, WORKING_SIDE))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # else it copies even what lies right
            return image
    except Refusal:
        raise
    except Image.DecompressionBombError as error:
        raise Refusal(f"has too many pixels, expected {MOST_PIXELS:,} at most") from error
    except UnidentifiedImageError as error:
        raise Refusal("is no PNG, JPEG, GIF, WebP, BMP or TIFF image") from error
    except Exception as error:  # whatever the decoder of a broken file meets: OSError, SyntaxError, struct.error
        raise Refusal(f"is broken or ends too early: {' '.join(str(error).split())}") from error


def to_grey(image: Image.Image) -> np.ndarray:
    """The brightness of an image's pixels, float32 of (height, width) in [0, 1], its longer side WORKING_SIDE at most.

    Where most of the image is transparent, or all that is not has one tone, what is there to be seen is the drawing
    itself, whatever its colors: white on black. A few transparent pixels around a page take the page's own tone.
    """
    if image.has_transparency_data:
        tone, alpha = (_shrunk(band) / 255 for band in image.convert("RGBA").convert("LA").split())
        if alpha.min() < 0.5:
            visible = tone[alpha > 0.5]
            if alpha.mean() < 0.5 or visible.std() < 0.1:
                return alpha
            return tone * alpha + np.median(visible) * (1 - alpha)
        return tone
    if image.mode in EIGHT_BIT_MODES:
        color = image.convert("RGB")
        grey = _shrunk(color.convert("L")) / 255
        bands = np.stack([_shrunk(band) / 255 for band in color.split()], axis=-1)
        apart = bands - np.median(bands, axis=(0, 1))
        axis = np.linalg.eigh(np.tensordot(apart, apart, ((0, 1), (0, 1))))[1][:, -1]
        tone = apart @ axis / np.abs(axis).sum()
        return tone if grey.std() < tone.std() / 3 else grey  # pens and paper of other colors, equally bright
    return _shrunk(Image.fromarray(_brightness(image)))


def _brightness(image: Image.Image) -> np.ndarray:
    """The values of an image that has more than 8 bits a pixel, float32 in [0, 1]."""
    values = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
    whites = (1, *(2**bits - 1 for bits in (8, 10, 12, 14, 16)))  # cameras' 12 bits come in 16
    white = next((white for white in whites if values.max() <= white), values.max())
    return np.clip(values / white, 0, 1)


def _shrunk(image: Image.Image) -> np.ndarray:
    scale = WORKING_SIDE / max(image.size)
    if scale < 1:
        width, height = (max(round(side * scale), 1) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


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
    if max(kept[_bounds(kept)].shape) < max(LEAST_SIDE * longer, 6):
        raise NoDigit("shows no digit, only specks")
    _check_strokes(parts, stands_out)
    ink = np.clip(ink / ink[kept].max(), 0, 1)  # a pencil's, beside a dark table
    near = ndimage.binary_dilation(kept, np.ones((3, 3)), iterations=max(round(longer / 100), 1))
    return np.where(near & (ink > 0.15), ink, 0)


def _check_strokes(parts: np.ndarray, stands_out: np.ndarray) -> None:
    """Refuse what no pen has drawn as one digit; `parts` numbers what is connected, 0 for the page."""
    sizes = [[side.stop - side.start for side in part] for part in ndimage.find_objects(parts) if part]
    side = max(parts[_bounds(parts > 0)].shape)
    if len(sizes) <= MOST_PARTS and max(map(max, sizes)) < max(LEAST_SIDE * max(parts.shape), 6):
        raise NoDigit("shows no digit, only specks")
    gap = side // (DIGIT_SIDE if len(sizes) <= MOST_PARTS else 7) + 1  # joins dots to strokes, and noise to blots
    whole = ndimage.grey_closing(np.pad(parts > 0, gap).astype(np.uint8), gap)[gap:-gap, gap:-gap] > 0
    box = whole[_bounds(whole)]
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


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    return ndimage.find_objects(mask.astype(np.uint8))[0]


def thicken(ink: np.ndarray) -> np.ndarray:
    """Draw strokes anew that would be thinner than THINNEST once scaled: a fine pen on a large sheet."""
    mask = np.pad(ink, max(ink.shape) // DIGIT_SIDE) > 0.5
    scale = DIGIT_SIDE / max(side.stop - side.start for side in _bounds(mask))
    thickness = 4 * ndimage.distance_transform_edt(mask)[mask].mean()  # in a bar, the mean distance to its edge is 1/4
    missing = (THINNEST / scale - thickness) / 2
    if missing <= 0:
        return ink
    padded = np.pad(ink, max(ink.shape) // DIGIT_SIDE)
    return np.maximum(padded, np.clip(missing + 0.5 - ndimage.distance_transform_edt(~mask), 0, 1))


def frame(ink: np.ndarray) -> np.ndarray:
    """Scale and center as MNIST does: float32 (28, 28) in [0, 1] from an array as `find_ink` gives it."""
    digit = Image.fromarray(ink[_bounds(ink > 0.15)].astype(np.float32))
    scale = DIGIT_SIDE / max(digit.size)
    width, height = (max(round(side * scale), 1) for side in digit.size)
    small = np.asarray(digit.resize((width, height), Image.Resampling.BILINEAR))
    small = small / small.max()
    middle = ndimage.center_of_mass(small)
    corner = [int(np.clip(round(SIDE / 2 - at), 0, SIDE - side)) for at, side in zip(middle, small.shape, strict=True)]
    framed = np.zeros((SIDE, SIDE), np.float32)
    framed[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = small
    return framed


def prepare(content: bytes) -> np.ndarray:
    """An image file's digit in MNIST's form: float32 (28, 28) in [0, 1], white on black.

    Raises:
        NoDigit: it shows none.
        Refusal: it is no image that can be read.
    """
    return frame(thicken(find_ink(inside_frame(to_grey(decode(content, draft=True))))))


def whole(image: Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    """Bring the whole of a picture into an image, its sides' ratio kept, its rim continued where it does not reach.

    Args:
        image: as `decode` gives it.
        shape: of the result: height, width, channels; one is grey, three are red, green and blue.

    Returns:
        uint8 of that shape. A picture of that very size and kind comes as it is.
    """
    height, width, channels = shape
    flat, mode = _flattened(image), "L" if channels == 1 else "RGB"
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


def _flattened(image: Image.Image) -> Image.Image:
    """The picture in 8 bits without transparency: on white, or on black if what is to be seen is bright."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        alpha = np.asarray(layer.getchannel("A"))
        seen = np.asarray(layer.convert("L"))[alpha > 127]
        page = Image.new("RGBA", layer.size, "black" if seen.size and seen.mean() > 127 else "white")
        return Image.alpha_composite(page, layer).convert("RGB")
    if image.mode == "LAB":
        return image.convert("RGB")  # from where alone there is a way to grey
    if image.mode in EIGHT_BIT_MODES:
        return image
    return Image.fromarray(np.rint(_brightness(image).clip(0, 1) * 255).astype(np.uint8))


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
