import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.figure import Figure

from digits.results.drawing import draw_architecture, draw_weights, kernel_pictures, mosaic

IMAGES = np.random.default_rng(0).random((5, 28, 28), np.float32)


def said(drawn: Figure | Axes) -> list[str]:
    """Every text in the figure or the axes, the ticks' left out."""
    texts = [text for text in drawn.findobj(plt.Text) if text.get_text()]
    ticks = {id(tick.label1) for tick in drawn.findobj(Tick)}
    plt.close("all")
    return [text.get_text() for text in texts if id(text) not in ticks]


def first_pixel(figure: Figure) -> float:
    """How light the middle of the first image in a figure is seen, from 0, black, to 1, white."""
    drawn = figure.axes[0].images[0]
    pixels = np.ma.masked_invalid(drawn.get_array())
    y, x = (places[0] for places in np.nonzero(~pixels.mask))
    plt.close(figure)
    return float(drawn.cmap(drawn.norm(pixels[y, x]))[0])


def test_a_mosaic_holds_each_picture_at_its_corner():
    canvas, corners = mosaic(IMAGES, columns=3, margin=2, below=4)
    assert canvas.shape == (2 * 36, 3 * 32)
    for image, (x, y) in zip(IMAGES, corners, strict=True):
        np.testing.assert_array_equal(canvas[y : y + 28, x : x + 28], image)
    assert np.isfinite(canvas).sum() == 5 * 28 * 28


@pytest.mark.parametrize(
    ("shape", "pictures"),
    [
        ((5, 5, 1, 16), (16, 5, 5)),
        ((3, 3, 8, 4), (4, 3, 3)),
        ((784, 300), (300, 28, 28)),
        ((64, 10), (1, 64, 10)),
        ((28, 3, 5), (1, 84, 5)),
        ((0, 0), (1, 0, 1)),
    ],
)
def test_weights_of_any_first_layer_become_pictures(shape: tuple[int, ...], pictures: tuple[int, ...]):
    kernel = np.random.default_rng(0).random(shape)
    assert kernel_pictures(kernel, (28, 28, 1)).shape == pictures
    assert "Weights" in said(draw_weights(kernel, (28, 28, 1)))[-1]


def test_a_dense_layers_picture_is_what_one_unit_looks_at():
    kernel = np.random.default_rng(0).random((784, 3))
    np.testing.assert_array_equal(kernel_pictures(kernel, (28, 28, 1))[2].ravel(), kernel[:, 2])


def test_the_architecture_names_layers_shapes_and_parameters():
    layers = pd.DataFrame({"layer": ["Flatten", "Dense"], "output": ["784", "10"], "parameters": [0, 7850]})
    texts = said(draw_architecture(layers, (28, 28, 1)))
    assert {"Input", "28 \u00d7 28 \u00d7 1", "Flatten", "784", "Dense", "10", "7,850"} <= set(texts)
    assert texts[-1] == "The network: 7,850 parameters"
