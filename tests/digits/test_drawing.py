import numpy as np

from digits.drawing import mosaic

IMAGES = np.random.default_rng(0).random((5, 28, 28), np.float32)


def test_a_mosaic_holds_each_picture_at_its_corner():
    canvas, corners = mosaic(IMAGES, columns=3, margin=2, below=4)
    assert canvas.shape == (2 * 36, 3 * 32)
    for image, (x, y) in zip(IMAGES, corners, strict=True):
        np.testing.assert_array_equal(canvas[y : y + 28, x : x + 28], image)
    assert np.isfinite(canvas).sum() == 5 * 28 * 28
