"""TensorFlow and Keras, imported without a word, and without what two processors compute differently.

TensorFlow greets with lines on processor features that no log level silences (tensorflow#100442).

RSQRTPS and RCPPS give an approximation of 1 / sqrt(x) and 1 / x, which each maker of processors chooses for itself.
From them come TensorFlow's Rsqrt, Reciprocal and Erfc, and so BatchNormalization, GELU and the gradient of a logarithm.
Here square roots and divisions, exact everywhere, stand in their place, and 1 - erf(x) in that of Erfc.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

# What Keras imports in case somebody hands it a table, an estimator or a plot, and does without where it is missing: a
# third of the time that the import takes. Who needs them here imports them without Keras.
_absent: dict[str, Any] = {name: None for name in ("matplotlib", "pandas", "sklearn") if name not in sys.modules}
_stderr, _nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
sys.modules |= _absent
os.dup2(_nowhere, 2)
try:
    import keras
    import tensorflow as tf
    from tensorflow.python.ops import gen_math_ops, math_ops
finally:
    os.dup2(_stderr, 2)
    os.close(_stderr)
    os.close(_nowhere)
    for _name in _absent:
        del sys.modules[_name]

__all__ = ["approximate", "for_xla", "keras", "tf"]


def _reciprocal(x: tf.Tensor, name: str | None = None) -> tf.Tensor:
    return tf.divide(1, x, name)


def _rsqrt(x: tf.Tensor, name: str | None = None) -> tf.Tensor:
    return tf.divide(1, tf.sqrt(x), name)


def _erfc(x: tf.Tensor, name: str | None = None) -> tf.Tensor:
    """Exact to 1e-7, not to as many digits: 0 from 4 on, and so is GELU below -6."""
    return tf.subtract(tf.ones((), tf.convert_to_tensor(x).dtype), tf.math.erf(x), name)


# Where tf.math, Keras and TensorFlow's gradients look them up.
tf.math.reciprocal = gen_math_ops.reciprocal = math_ops.reciprocal = _reciprocal
tf.math.rsqrt = gen_math_ops.rsqrt = math_ops.rsqrt = _rsqrt
tf.math.erfc = gen_math_ops.erfc = math_ops.erfc = _erfc

APPROXIMATE = frozenset(
    ["Atan", "Atan2", "Erfc", "Inv", "InvGrad", "LRN", "LRNGrad", "Reciprocal", "ReciprocalGrad", "Rsqrt", "RsqrtGrad"]
)
"""Operations that compute by RSQRTPS or RCPPS."""

HALVES = {tf.float16: "float16", tf.bfloat16: "bfloat16"}
"""What some processors compute in half precision, and others in float32."""


def approximate(function: Any) -> str | None:
    """Name what in a traced function two processors would compute differently, if anything is left.

    Args:
        function: what `get_concrete_function` gives.
    """
    match function.graph.as_graph_def():
        case tf.compat.v1.GraphDef(node=outer, library=inner):
            nodes = [*outer, *(node for part in inner.function for node in part.node_def)]
    for node in nodes:
        if node.op in APPROXIMATE:
            return f"the operation {node.op}"
        half = HALVES.get(tf.as_dtype(node.attr["T"].type or tf.float32))
        if half:
            return half
    return None


@contextmanager
def for_xla() -> Iterator[None]:
    """Prepare a function for XLA. To be entered while it is traced.

    Dropout then draws its numbers by ThreeFry where it would by Philox, which XLA computes slowly on a CPU;
    TensorFlow's own kernels know Philox alone. An epoch of dropout-batchnorm-256-128-128 takes 0.7 s so and 4.2 s
    otherwise (medians of 3 on 2 cores). And XLA no longer sees the square root in x / sqrt(y), of which it would make
    RSQRTPS.
    """
    by_threefry = partial(tf.nn.experimental.stateless_dropout, rng_alg="threefry")
    with (
        patch.object(tf.nn.experimental, "stateless_dropout", by_threefry),
        patch.object(gen_math_ops, "sqrt", _hidden_sqrt),
    ):
        yield


_plain_sqrt = gen_math_ops.sqrt


def _hidden_sqrt(x: tf.Tensor, name: str | None = None) -> tf.Tensor:
    if tf.convert_to_tensor(x).dtype.is_complex:
        return _plain_sqrt(x, name)

    @tf.custom_gradient
    def sqrt(value: tf.Tensor) -> tuple[tf.Tensor, Any]:
        root = tf.maximum(_plain_sqrt(value, name), 0)  # the same number, and no root to XLA's simplifier
        return root, lambda gradient: gradient * 0.5 / root

    return sqrt(x)
