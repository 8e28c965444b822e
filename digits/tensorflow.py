"""TensorFlow and Keras, imported without a word.

TensorFlow greets with lines on processor features that no log level silences (tensorflow#100442).
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

_stderr, _nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
os.dup2(_nowhere, 2)
try:
    import keras
    import tensorflow as tf
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_nowhere)

__all__ = ["keras", "tf"]
