"""An image file, decoded: its pixels, its brightness, and how it looks on a page."""

import io
import re
import warnings

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from digits.foundation.command import Refusal

SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff"}
NOT_DECODED = {".heic", ".heif", ".avif"}  # pictures as well, of which is said what to do
EIGHT_BIT_MODES = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"}
ISO_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis"}  # ISO/IEC 23008-12
FORMATS = ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]
PngImagePlugin.MAX_TEXT_CHUNK = 1 << 25  # bytes; profiles of scanners and monitors have more than Pillow's 1 MiB
MOST_PIXELS = 64_000_000  # more than a phone's 50 megapixels; 62 grey ones took 423 MB at the peak
MOST_SCANS = 200  # of a JPEG, each of which goes through all of its pixels again; encoders write 10 or so
# A marker, its length, and the number of bands that it follows from: two bytes come by chance in what lies behind.
START_OF_SCAN = re.compile(rb"\xff\xda\0(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
WORKING_SIDE = 512  # pixels of the longer side that the digit is looked for at


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
            if getattr(image, "is_animated", False) and image.format != "MPO":  # a JPEG with its camera's preview
                raise Refusal("has several frames, expected a single picture")
            scans = len(START_OF_SCAN.findall(content)) if image.format in {"JPEG", "MPO"} else 1
            if scans > MOST_SCANS:
                raise Refusal(f"has {scans:,} scans, expected {MOST_SCANS:,} at most")
            if draft:
                image.draft("L", (WORKING_SIDE, WORKING_SIDE))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)  # else it copies even what lies right
            return _with_layer(image)
    except Refusal:
        raise
    except Image.DecompressionBombError as error:
        raise Refusal(f"has too many pixels, expected {MOST_PIXELS:,} at most") from error
    except UnidentifiedImageError as error:
        if content[4:8] == b"ftyp" and content[8:12] in ISO_BRANDS:
            raise Refusal("is HEIC or AVIF, which is not read here; save it as JPEG or PNG") from error
        raise Refusal("is no PNG, JPEG, GIF, WebP, BMP or TIFF image that can be read") from error
    except Exception as error:  # whatever the decoder of a broken file meets: OSError, SyntaxError, struct.error
        raise Refusal(f"is broken or ends too early: {' '.join(str(error).split())}") from error


def _with_layer(image: Image.Image) -> Image.Image:
    """A picture of more than 8 bits of which one value is transparent, which Pillow does not convert, in 8 bits."""
    clear = image.info.get("transparency")
    if image.mode in EIGHT_BIT_MODES or not isinstance(clear, int):
        return image
    alpha = Image.fromarray(np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8))
    return Image.merge("LA", (_in_8_bits(image), alpha))


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


def flattened(image: Image.Image) -> Image.Image:
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
    return _in_8_bits(image)


def _in_8_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.rint(_brightness(image) * 255).astype(np.uint8))


def thumbnail(content: bytes) -> Image.Image:
    """A picture to draw on, no larger than the one that digits are looked for on.

    Raises:
        Refusal: as `decode`.
    """
    picture = flattened(decode(content)).convert("RGB")
    picture.thumbnail((WORKING_SIDE, WORKING_SIDE))
    return picture
