"""TensorFlow and Keras, imported without a word.

TensorFlow greets with lines on processor features that no log level silences (tensorflow#100442).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

_stderr, _nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    import keras
    import tensorflow as tf
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_nowhere)

__all__ = ["keras", "tf", "threefry"]


@contextmanager
def threefry() -> Iterator[None]:
    """Let Dropout draw its numbers by ThreeFry where it would by Philox, which XLA computes slowly on a CPU.

    To be entered while a function is traced for XLA; TensorFlow's own kernels know Philox alone. An epoch of
    dropout-batchnorm-256-128-128 takes 0.7 s so and 4.2 s otherwise (medians of 3 on 2 cores).
    """
    by_threefry = partial(tf.nn.experimental.stateless_dropout, rng_alg="threefry")
    with patch.object(tf.nn.experimental, "stateless_dropout", by_threefry):
        yield
