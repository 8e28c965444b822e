from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.figure import Figure

from stages import plot

IMAGES = np.random.default_rng(0).random((30, 28, 28), np.float32)
HISTORY = pd.DataFrame({"epoch": [1], "accuracy": [0.9], "loss": [0.3], "val_accuracy": [0.8], "val_loss": [0.4]})
SURE = pd.DataFrame({"actual": [7, 2, 1], "predicted": [7, 2, 7], "confidence": [1.0, 0.9, 0.5]})


def said(drawn: Figure | Axes) -> list[str]:
    """Every text in the figure or the axes, the ticks' left out."""
    texts = [text for text in drawn.findobj(plt.Text) if text.get_text()]
    ticks = {id(tick.label1) for tick in drawn.findobj(Tick)}
    plt.close("all")
    return [text.get_text() for text in texts if id(text) not in ticks]


def test_samples_are_two_of_each_digit():
    labels = np.repeat(np.arange(10, dtype=np.uint8), 3)
    assert said(plot.draw_samples(IMAGES, labels)) == [*map(str, [*range(10), *range(10)]), "Training digits"]


def test_a_digit_that_is_rare_or_absent_is_drawn_as_often_as_it_is_there():
    assert said(plot.draw_samples(IMAGES[:3], np.array([4, 4, 7], np.uint8))) == ["4", "7", "4", "Training digits"]


def test_predictions_are_captioned_with_confidence_and_truth():
    texts = said(plot.draw_predictions(IMAGES, SURE[2:], "Misread"))
    assert texts == ["7 (50.0%)\nis 1", "Misread"]


def test_no_mistakes_draw_no_digits():
    assert said(plot.draw_predictions(IMAGES, SURE[:0], "Misread: 0")) == ["Misread: 0"]


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
    assert plot.kernel_pictures(kernel).shape == pictures
    assert "Weights" in said(plot.draw_weights(kernel))[-1]


def test_a_dense_layers_picture_is_what_one_unit_looks_at():
    kernel = np.random.default_rng(0).random((784, 3))
    np.testing.assert_array_equal(plot.kernel_pictures(kernel)[2].ravel(), kernel[:, 2])


def test_curves_leave_out_a_validation_that_was_not():
    assert "validation" in said(plot.draw_curves(HISTORY))
    assert "validation" not in said(plot.draw_curves(HISTORY.assign(val_accuracy=np.nan, val_loss=np.nan)))


def test_the_confusion_has_every_count():
    texts = said(plot.draw_confusion(SURE))
    assert texts.count("1") == 3
    assert texts.count("0") == 97


def test_the_architecture_names_layers_shapes_and_parameters():
    layers = pd.DataFrame({"layer": ["Flatten", "Dense"], "output": ["784", "10"], "parameters": [0, 7850]})
    texts = said(plot.draw_architecture(layers))
    assert {"Input", "28 \u00d7 28", "Flatten", "784", "Dense", "10", "7,850"} <= set(texts)
    assert texts[-1] == "The network: 7,850 parameters"


def test_the_calibration_names_its_error():
    assert any("Calibration: expected error" in text for text in said(plot.draw_calibration(SURE)))


def test_the_same_figure_is_saved_as_the_same_bytes(workspace: Path):
    for name in ("one", "two"):
        plot.save(plot.draw_confusion(SURE), name, dpi=80)
    one, two = ((plot.IMAGES / f"{name}.png").read_bytes() for name in ("one", "two"))
    assert one == two
    assert b"matplotlib" not in one.lower()
