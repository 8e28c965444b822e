import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from digits.network.tensorflow import approximate, for_xla, keras, tf
from tests.conftest import ROOT

VALUES = np.linspace(0.1, 9, 500).astype(np.float32)


@pytest.mark.slow
def test_it_is_imported_without_what_keras_alone_would_bring_along():
    brought = "import digits.network.tensorflow, sys; print({'matplotlib', 'pandas', 'sklearn'} & sys.modules.keys())"
    later = "import matplotlib.pyplot, pandas, sklearn.base; print(matplotlib.pyplot.plot.__name__)"
    said = subprocess.run([sys.executable, "-c", f"{brought}; {later}"], cwd=ROOT, capture_output=True, check=True)
    assert said.stdout == b"set()\nplot\n"


def traced(compute: Callable[[tf.Tensor], tf.Tensor]) -> str | None:
    function = tf.function(compute, autograph=False)
    return approximate(function.get_concrete_function(tf.constant(VALUES)))


def gradient(compute: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    def differentiate(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = compute(x)
        return tape.gradient(value, x)

    return differentiate


@pytest.mark.parametrize(
    ("compute", "exact"),
    [
        (tf.math.rsqrt, lambda x: 1 / np.sqrt(x)),
        (keras.ops.rsqrt, lambda x: 1 / np.sqrt(x)),
        (keras.ops.reciprocal, lambda x: 1 / x),
        (gradient(tf.math.log), lambda x: 1 / x),
        (gradient(tf.math.rsqrt), lambda x: -0.5 * x**-1.5),
        (lambda x: tf.nn.l2_normalize(x, 0), lambda x: x / np.sqrt((x.astype(np.float64) ** 2).sum())),
    ],
)
def test_what_processors_approximate_is_computed_exactly(compute: Callable, exact: Callable):
    assert traced(compute) is None
    np.testing.assert_allclose(tf.function(compute, autograph=False)(tf.constant(VALUES)), exact(VALUES), 3e-7)


@pytest.mark.parametrize("compute", [tf.nn.gelu, gradient(tf.nn.gelu), tf.math.erfc])
def test_gelu_needs_no_approximation(compute: Callable):
    assert traced(compute) is None


@pytest.mark.parametrize(
    ("compute", "named"),
    [
        (tf.math.atan, "the operation Atan"),
        (lambda x: tf.raw_ops.Rsqrt(x=x), "the operation Rsqrt"),
        (lambda x: tf.cast(tf.nn.softmax(tf.cast(x, tf.bfloat16)), tf.float32), "bfloat16"),
        (
            lambda x: tf.while_loop(lambda _: True, lambda y: [tf.math.atan(y)], [x], maximum_iterations=2),
            "the operation Atan",
        ),
    ],
)
def test_what_is_left_is_found(compute: Callable, named: str):
    assert traced(compute) == named


def test_xla_sees_no_root_to_approximate():
    """It makes rsqrt of 1 / sqrt, in digits that the processor's maker chose."""

    def compute(x: tf.Tensor) -> tf.Tensor:
        with for_xla():
            return gradient(lambda y: y / tf.sqrt(y))(x) + 1 / tf.sqrt(x) + tf.math.rsqrt(x)

    function = tf.function(compute, autograph=False, jit_compile=True)
    compiled = function.experimental_get_compiler_ir(tf.constant(VALUES))(stage="optimized_hlo")
    assert "sqrt(" in compiled
    assert "rsqrt(" not in compiled
    np.testing.assert_allclose(function(tf.constant(VALUES)), 2.5 / np.sqrt(VALUES), 1e-6)
