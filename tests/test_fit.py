"""Networks and optimizers drawn at random: `stages.train` makes of them what Keras's own `fit` does, or refuses them.

`make torture` draws 200.
"""

import gc
import math
from collections.abc import Iterator
from contextlib import nullcontext, suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digits.foundation.command import Refusal
from digits.foundation.parameters import Network
from digits.network import construction, epoch, vocabulary
from digits.network.tensorflow import for_xla, keras
from stages import train
from tests.conftest import built, some_split

SEED = 1
TORTURE = settings.get_current_profile_name() == "torture"


TRAINING, VALIDATION = some_split(0, 40), some_split(40, 60)

names = st.sampled_from
rates = st.sampled_from([0.0, 0.25])
factors = st.sampled_from([0.1, 0.3])
seeds = st.integers(0, 9)
activations = st.sampled_from([
    "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
    "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink",
    "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh",
    "tanh_shrink", "threshold",
])  # fmt: skip
initializers = st.sampled_from(
    [
        *["glorot_normal", "he_uniform", "lecun_normal", "orthogonal", "random_normal", "truncated_normal"],
        {"class_name": "RandomNormal", "config": {"stddev": 0.1, "seed": 1}},
        {"class_name": "VarianceScaling", "config": {"scale": 0.5, "mode": "fan_avg"}, "module": "keras.initializers"},
        {"class_name": "Constant", "config": {"value": 0.01}},
    ]
)
regularizers = st.sampled_from(
    [
        *["l1", "l2"],
        {"class_name": "L2", "config": {"l2": 0.1}},
        {"class_name": "L1", "config": {"l1": 0.01}, "module": "keras.regularizers"},
    ]
)
constraints = st.sampled_from(
    ["max_norm", "non_neg", "unit_norm", {"class_name": "MaxNorm", "config": {"max_value": 1}}]
)


def some(required: dict[str, st.SearchStrategy] | None = None, **optional: st.SearchStrategy) -> st.SearchStrategy:
    """Arguments: these, and some of the optional ones."""
    return st.fixed_dictionaries(required or {}, optional=optional)


def weighted(kernel: str, **required: st.SearchStrategy) -> st.SearchStrategy:
    """Arguments of a layer with weights, whose chief one has that name."""
    optional = {
        "activation": activations,
        "use_bias": st.booleans(),
        f"{kernel}_initializer": initializers,
        f"{kernel}_regularizer": regularizers,
        f"{kernel}_constraint": constraints,
        "bias_regularizer": regularizers,
        "activity_regularizer": regularizers,
        "trainable": st.booleans(),
        "dtype": st.sampled_from(["float32", "float64"]),
    }
    return some(required, **optional)


def convolution(kernel: str = "kernel", **required: st.SearchStrategy) -> st.SearchStrategy:
    return weighted(kernel, kernel_size=names([1, 2]), padding=names(["valid", "same"]), **required)


def recurrent(**required: st.SearchStrategy) -> st.SearchStrategy:
    optional = {
        "activation": activations, "dropout": rates, "recurrent_dropout": rates, "kernel_regularizer": regularizers,
        "unroll": st.booleans(), "go_backwards": st.booleans(), "use_bias": st.booleans(),
    }  # fmt: skip
    return some(required, **optional)


FILTERS = {"filters": names([2, 3])}
VALUES = {"value_range": st.just([0, 1])}
RANDOM = VALUES | {"seed": seeds}
NORMALIZATION = {"epsilon": names([1e-3, 1e-2]), "beta_regularizer": regularizers}
ANYWHERE = {
    "Activation": some({"activation": activations}),
    "ActivityRegularization": some(l1=factors, l2=factors),
    "AlphaDropout": some({"rate": rates}, seed=seeds),
    "BatchNormalization": some(
        momentum=names([0.9, 0.5]), scale=st.booleans(), gamma_constraint=constraints, **NORMALIZATION
    ),
    "Dense": weighted("kernel", units=names([3, 8])),
    "Flatten": some(),
    "Reshape": some({"target_shape": st.just([-1])}),
    "Discretization": some({"bin_boundaries": st.just([0.2, 0.6])}),
    "Dropout": some({"rate": rates}, seed=seeds),
    "ELU": some(alpha=factors),
    "GaussianDropout": some({"rate": rates}, seed=seeds),
    "GaussianNoise": some({"stddev": factors}, seed=seeds),
    "GroupNormalization": some({"groups": st.just(1)}, **NORMALIZATION),
    "Identity": some(),
    "LayerNormalization": some(**NORMALIZATION),
    "LeakyReLU": some(negative_slope=factors),
    "Masking": some(mask_value=names([0, 1])),
    "Normalization": some({"mean": st.just(0.1), "variance": st.just(0.5)}, axis=st.none(), invert=st.booleans()),
    "PReLU": some(alpha_regularizer=regularizers),
    "RMSNormalization": some(),
    "ReLU": some(max_value=names([1.0, 6.0]), negative_slope=factors),
    "Rescaling": some({"scale": factors}, offset=factors),
    "Softmax": some(axis=names([-1, 1])),
    "UnitNormalization": some(),
}
ROWS = {  # of shape (7, 7)
    "GlobalAveragePooling1D": some(keepdims=st.booleans()),
    "GlobalMaxPooling1D": some(keepdims=st.booleans()),
    "AdaptiveAveragePooling1D": some({"output_size": names([3, 7])}),
    "AdaptiveMaxPooling1D": some({"output_size": names([3, 7])}),
    "AveragePooling1D": some({"pool_size": names([2, 3])}),
    "Conv1D": convolution(**FILTERS),
    "Conv1DTranspose": convolution(**FILTERS),
    "Cropping1D": some(),
    "DepthwiseConv1D": convolution("depthwise"),
    "EinsumDense": some(
        {"equation": st.just("abc,cd->abd"), "output_shape": st.just([None, 4])}, activation=activations
    ),
    "Embedding": some({"input_dim": st.just(2), "output_dim": st.just(2)}, embeddings_regularizer=regularizers),
    "GRU": recurrent(units=names([2, 3]), return_sequences=st.just(True)),
    "LSTM": recurrent(units=names([2, 3]), return_sequences=st.just(True)),
    "MaxPooling1D": some({"pool_size": names([2, 3])}),
    "MelSpectrogram": some({"fft_length": st.just(4), "sequence_stride": st.just(2), "num_mel_bins": st.just(2)}),
    "Permute": some({"dims": st.just([2, 1])}),
    "STFTSpectrogram": some({"frame_length": st.just(4)}),
    "SeparableConv1D": convolution("depthwise", **FILTERS),
    "SimpleRNN": recurrent(units=names([2, 3]), return_sequences=st.just(True)),
    "SpatialDropout1D": some({"rate": rates}, seed=seeds),
    "UpSampling1D": some(),
    "ZeroPadding1D": some(),
}
IMAGES = {  # of shape (7, 7, 1)
    "GlobalAveragePooling2D": some(keepdims=st.booleans()),
    "GlobalMaxPooling2D": some(keepdims=st.booleans()),
    "AdaptiveAveragePooling2D": some({"output_size": names([3, 7])}),
    "AdaptiveMaxPooling2D": some({"output_size": names([3, 7])}),
    "AutoContrast": some(VALUES),
    "AveragePooling2D": some({"pool_size": names([2, 3])}, padding=names(["valid", "same"])),
    "CenterCrop": some({"height": st.just(5), "width": st.just(6)}),
    "ContrastLimitedAdaptiveHistogramEqualization": some(VALUES | {"tile_grid_size": st.just([1, 1])}),
    "Conv2D": convolution(**FILTERS),
    "Conv2DTranspose": convolution(**FILTERS),
    "ConvLSTM1D": recurrent(kernel_size=st.just(2), **FILTERS),
    "Cropping2D": some({"cropping": st.just(1)}),
    "DepthwiseConv2D": convolution("depthwise"),
    "Equalization": some(VALUES),
    "MaxPooling2D": some({"pool_size": names([2, 3])}),
    "RandAugment": some(RANDOM),
    "RandomBrightness": some(RANDOM | {"factor": factors}),
    "RandomColorDegeneration": some(RANDOM | {"factor": factors}),
    "RandomColorJitter": some(RANDOM | {"brightness_factor": factors}),
    "RandomContrast": some(RANDOM | {"factor": factors}),
    "RandomCrop": some({"height": st.just(5), "width": st.just(6)}, seed=seeds),
    "RandomErasing": some(RANDOM),
    "RandomFlip": some(seed=seeds),
    "RandomGaussianBlur": some(RANDOM),
    "RandomGrayscale": some({"factor": factors, "seed": seeds}),
    "RandomHue": some(RANDOM | {"factor": factors}),
    "RandomInvert": some(RANDOM),
    "RandomPerspective": some({"seed": seeds}),
    "RandomPosterization": some(RANDOM | {"factor": st.just(4)}),
    "RandomRotation": some({"factor": factors, "seed": seeds}),
    "RandomSaturation": some(RANDOM | {"factor": factors}),
    "RandomSharpness": some(RANDOM | {"factor": factors}),
    "RandomShear": some({"x_factor": factors, "seed": seeds}),
    "RandomTranslation": some({"height_factor": factors, "width_factor": factors, "seed": seeds}),
    "RandomZoom": some({"height_factor": factors, "seed": seeds}),
    "Resizing": some({"height": st.just(5), "width": st.just(6)}, interpolation=names(["nearest", "bilinear"])),
    "SeparableConv2D": convolution("pointwise", **FILTERS),
    "Solarization": some(RANDOM | {"threshold_factor": factors}),
    "SpatialDropout2D": some({"rate": rates}, seed=seeds),
    "UpSampling2D": some(),
    "ZeroPadding2D": some(),
}
VOLUMES = {  # of shape (4, 4, 7, 7)
    "GlobalAveragePooling3D": some(keepdims=st.booleans()),
    "GlobalMaxPooling3D": some(keepdims=st.booleans()),
    "AdaptiveAveragePooling3D": some({"output_size": names([2, 4])}),
    "AdaptiveMaxPooling3D": some({"output_size": names([2, 4])}),
    "AveragePooling3D": some({"pool_size": names([2, 3])}),
    "Conv3D": convolution(**FILTERS),
    "Conv3DTranspose": convolution(**FILTERS),
    "ConvLSTM2D": recurrent(kernel_size=st.just(2), **FILTERS),
    "Cropping3D": some({"cropping": st.just(1)}),
    "MaxPooling3D": some({"pool_size": names([2, 3])}),
    "SpatialDropout3D": some({"rate": rates}, seed=seeds),
    "UpSampling3D": some(),
    "ZeroPadding3D": some(),
}
FILMS = {"ConvLSTM3D": recurrent(kernel_size=st.just(1), **FILTERS)}  # of shape (2, 2, 7, 7, 4)
VECTORS = {"RepeatVector": some({"n": st.just(2)})}
HEADS = st.sampled_from(
    [
        *[[{"Dense": {"units": 10, "activation": name}}] for name in (None, None, "softmax", "softmax", "log_softmax")],
        [{"Dense": {"units": 10}}, "Softmax"],
        [{"Dense": {"units": 10}}, {"Activation": {"activation": "softmax"}}],
        [{"Dense": {"units": 10}}, {"BatchNormalization": {"momentum": 0.5}}],
        [{"Dense": {"units": 10, "activity_regularizer": "l2"}}, {"Dropout": {"rate": 0.25}}],
        [
            {"Reshape": {"target_shape": [-1, 1]}},
            {"Conv1D": {"filters": 10, "kernel_size": 1}},
            "GlobalAveragePooling1D",
        ],
        [{"Reshape": {"target_shape": [-1, 1]}}, {"LSTM": {"units": 10, "activation": "linear"}}],
        [{"EinsumDense": {"equation": "ab,bc->ac", "output_shape": 10, "activation": "softmax"}}],
    ]
)
OPTIMIZERS = {
    "Adadelta": some(rho=factors),
    "Adafactor": some(relative_step=st.booleans(), clip_threshold=factors),
    "Adagrad": some(initial_accumulator_value=factors),
    "Adam": some(amsgrad=st.booleans(), beta_1=factors),
    "AdamW": some(amsgrad=st.booleans()),
    "Adamax": some(beta_2=factors),
    "Ftrl": some(l2_regularization_strength=factors, beta=factors),
    "Lamb": some(beta_1=factors),
    "Lion": some(beta_1=factors),
    "Muon": some(nesterov=st.booleans(), exclude_layers=names([["dense"], ["("]])),
    "Nadam": some(beta_1=factors),
    "RMSprop": some(centered=st.booleans(), momentum=factors),
    "SGD": some(momentum=factors, nesterov=st.booleans()),
    "ScheduleFreeAdamW": some(warmup_steps=names([0, 3])),
}
CLIPPED = st.one_of(st.just({}), *(st.just({name: 0.5}) for name in ("clipnorm", "clipvalue", "global_clipnorm")))
OF_ANY_OPTIMIZER = some(
    weight_decay=factors,
    loss_scale_factor=names([0.5, 1024.0]),
    gradient_accumulation_steps=names([2, 3]),
)
AVERAGED = st.just({}) | some(
    {"use_ema": st.just(True), "ema_momentum": names([0.5, 0.9])}, ema_overwrite_frequency=names([1, 2])
)


def one_of(table: dict[str, st.SearchStrategy]) -> st.SearchStrategy:
    """A layer or an optimizer, as params.yaml has it."""
    return st.sampled_from(sorted(table)).flatmap(lambda name: table[name].map(lambda arguments: {name: arguments}))


SMALL = [{"AveragePooling2D": {"pool_size": 4}}]
SHAPES = {
    "images": (SMALL, IMAGES),
    "rows": ([*SMALL, {"Reshape": {"target_shape": [7, 7]}}], ROWS),
    "volumes": ([{"Reshape": {"target_shape": [4, 4, 7, 7]}}], VOLUMES),
    "films": ([{"Reshape": {"target_shape": [2, 2, 7, 7, 4]}}], FILMS),
    "vectors": ([*SMALL, "Flatten"], VECTORS),
}


@st.composite
def descriptions(draw: st.DrawFn, shape: str) -> Network:
    """A network of the layers that take that shape, with any optimizer."""
    front, table = SHAPES[shape]
    layers = draw(st.lists(one_of(table) | one_of(table) | one_of(ANYWHERE), min_size=1, max_size=2))
    ((name, arguments),) = draw(one_of(OPTIMIZERS)).items()
    rate = {"learning_rate": draw(names([0.001, 0.01]))}
    optimizer = {name: arguments | rate | draw(CLIPPED) | draw(OF_ANY_OPTIMIZER) | draw(AVERAGED)}
    return Network(
        layers=[*front, *layers, "Flatten", *draw(HEADS)],
        optimizer=optimizer,
        one_cycle=draw(st.none() | st.just({"warm_up": 0.25})),
        epochs=draw(st.integers(1, 2)),
        batch_size=draw(names([8, 13, 16, 40])),
        jit_compile=draw(names([True, *[False] * 7])),  # XLA takes its time
    )


@pytest.fixture(scope="module", autouse=True)
def unfrozen_at_the_end() -> Iterator[None]:
    yield
    gc.unfreeze()


def made(network: Network) -> tuple[keras.Sequential, keras.optimizers.Optimizer]:
    """The same weights, the same names and the same random numbers to come, each time."""
    keras.utils.clear_session()
    gc.freeze()  # what that collected no more: TensorFlow keeps its graphs, through which the next one would go again
    keras.utils.set_random_seed(SEED)
    model = built(network)
    steps = network.epochs * math.ceil(len(TRAINING[0]) / network.batch_size)
    return model, construction.build_optimizer("x", network, model, steps)


METRICS = ("accuracy", "loss", "val_accuracy", "val_loss")


def trained(network: Network) -> list[np.ndarray]:
    """What `train` makes of it: each metric over the epochs, and each weight."""
    model, optimizer = made(network)
    rows = list(train.train(model, optimizer, network, TRAINING, VALIDATION, SEED, bar=False, everywhere_alike=False))
    return [np.array([row[metric] for row in rows]) for metric in METRICS] + model.get_weights()


def batches(images: np.ndarray, network: Network) -> Iterator[epoch.Split]:
    """What `train` takes step by step, for the generator that `fit` reads."""
    shuffle = np.random.default_rng(SEED)
    while True:
        order = shuffle.permutation(len(images))
        for start in range(0, len(images), network.batch_size):
            batch = order[start : start + network.batch_size]
            yield images[batch], TRAINING[1][batch]


def fitted(network: Network, scale: float = 1) -> list[np.ndarray]:
    """What Keras makes of it, in the same form; of images and initial weights that many times as large."""
    model, optimizer = made(network)
    model.set_weights([weight * np.float32(scale) for weight in model.get_weights()])
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=not vocabulary.ends_in_probabilities(model)),
        metrics=["accuracy"],
        jit_compile=network.jit_compile,
    )
    with for_xla() if network.jit_compile else nullcontext():  # as `train` draws under XLA
        history = model.fit(
            batches(TRAINING[0] * np.float32(scale), network), epochs=network.epochs,
            steps_per_epoch=math.ceil(len(TRAINING[0]) / network.batch_size),
            validation_data=VALIDATION, validation_batch_size=len(VALIDATION[0]), verbose=0,
            callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if optimizer.use_ema else [],
        ).history  # fmt: skip
    return [np.array(history[metric]) for metric in METRICS] + model.get_weights()


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    return np.abs(one.astype(np.float64) - other).max(initial=0)


def check(network: Network) -> None:
    """Both compute the same, in another order: sums differ in their last digits, and so do the results.

    Except where an optimizer divides a gradient by its own size, and the gradient is such a last digit: that of a bias
    in front of a normalization, say. What `fit` itself makes otherwise of images and weights that are larger by a
    millionth shows where.
    """
    ours, theirs = trained(network), fitted(network)
    differences = [largest_difference(*pair) for pair in zip(ours, theirs, strict=True)]
    bounds = [1e-5 + 1e-4 * np.abs(value).max(initial=0) for value in theirs]
    if np.greater(differences, bounds).any():
        larger = fitted(network, scale=1 + 1e-6)
        bounds = [bound + 5 * largest_difference(*pair) for bound, *pair in zip(bounds, theirs, larger, strict=True)]
    np.testing.assert_array_less(differences, bounds)


@pytest.mark.torture
@pytest.mark.parametrize(
    ("shape", "examples"), [("images", 14), ("rows", 12), ("volumes", 10), ("vectors", 11), ("films", 3)]
)
def test_a_network_trains_as_fit_trains_it_or_is_refused(shape: str, examples: int):
    alike = []

    @given(descriptions(shape))
    @settings(max_examples=4 * examples if TORTURE else examples)
    def as_fit(network: Network) -> None:
        with suppress(Refusal):
            check(network)
            alike.append(network)

    as_fit()
    assert len(alike) > examples / 4, "nearly all were refused"


def test_every_allowed_class_is_drawn():
    drawn = [ANYWHERE, VECTORS, ROWS, IMAGES, VOLUMES, FILMS]
    assert {name for table in drawn for name in table} == vocabulary.ALLOWED["keras.layers"]
    assert OPTIMIZERS.keys() == vocabulary.ALLOWED["keras.optimizers"]
