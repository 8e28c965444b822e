"""The network's images as a page shows them."""

import base64
import io

import numpy as np
from PIL import Image


def data_url(image: np.ndarray, ink: bool) -> str:
    """A PNG as an address that needs no request.

    Args:
        image: float32 of shape (height, width, channels) in [0, 1].
        ink: whether 1 is black where it is grey, as `Task.ink` says.
    """
    pixels = ((1 - image if ink else image) * 255).round().astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] > 1 else pixels[..., 0]).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
