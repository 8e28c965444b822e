"""The digits that come with scikit-learn, for whom no network and no mirror is at hand."""

import numpy as np
from scipy.ndimage import zoom
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from digits.data.identity import of_pixels
from digits.data.raw import Loaded
from digits.data.task import Task

SIDE = 28  # pixels of the images, as of MNIST's


def embedded_digits() -> Loaded:
    """The 1,797 digits of scikit-learn (UCI's Optical Recognition of Handwritten Digits, its test part).

    They are 8 x 8 with 17 grey levels; here 28 x 28 with 256, bilinearly, a stratified fifth of them as the test split.
    """
    images, labels = load_digits(return_X_y=True)
    scale = SIDE / 8
    large = zoom(images.reshape(-1, 8, 8), (1, scale, scale), order=1, mode="nearest", grid_mode=True)
    pixels = np.rint(large * (255 / 16)).astype(np.uint8)[..., None]
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
    order = np.concatenate([train, test])
    task = Task([str(digit) for digit in range(10)], "digit")
    return Loaded(task, pixels[order], labels[order], of_pixels(pixels[order]), np.arange(len(order)) >= len(train))
