"""What a network may be made of and end in: the classes of Keras that params.yaml and a saved model may name.

None of these reads a file or runs code: what they compute, the description says. Keras finds and makes any class that
it is told of, and a module or a function by its path; so all that is not known here is refused.
"""

from collections.abc import Iterator
from typing import Any

from digits.foundation.command import Refusal
from digits.network.tensorflow import keras

WEIGHTED_LAYERS = frozenset([
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "ConvLSTM1D", "ConvLSTM2D",
    "ConvLSTM3D", "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "EinsumDense", "GRU", "LSTM", "SeparableConv1D",
    "SeparableConv2D", "SimpleRNN",
])  # fmt: skip
"""Weights, and behind them an `activation`: without one, sums of any sign and size."""

KEEPING_LAYERS = frozenset([
    "ActivityRegularization", "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "AlphaDropout", "AveragePooling1D",
    "AveragePooling2D", "AveragePooling3D", "BatchNormalization", "CenterCrop", "Cropping1D", "Cropping2D",
    "Cropping3D", "Dropout", "Flatten", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D",
    "GlobalMaxPooling3D", "GroupNormalization", "Identity", "LayerNormalization", "MaxPooling1D", "MaxPooling2D",
    "MaxPooling3D", "Normalization", "Permute", "RMSNormalization", "RepeatVector", "Rescaling", "Reshape",
    "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "UnitNormalization", "UpSampling1D", "UpSampling2D",
    "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
])  # fmt: skip
"""Reshape, pool, rescale, drop or normalize: from sums of any sign and size they make such again."""

OTHER_LAYERS = frozenset([
    "Activation", "AutoContrast", "ContrastLimitedAdaptiveHistogramEqualization", "Discretization", "ELU", "Embedding",
    "Equalization", "LeakyReLU", "Masking", "MelSpectrogram", "PReLU", "RandAugment", "RandomBrightness",
    "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomCrop",
    "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert",
    "RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear",
    "RandomTranslation", "RandomZoom", "ReLU", "Resizing", "STFTSpectrogram", "Softmax", "Solarization",
])  # fmt: skip
"""Change images or what became of them; what they give need be no logits."""

REFUSED_LAYERS = {
    "it loads or runs what the description does not contain": (
        "FlaxLayer IntegerLookup JaxLayer Lambda StringLookup TFSMLayer TextVectorization TorchModuleWrapper"
    ),
    "it draws from Python's random numbers, which no seed of a network decides": "AugMix",
    "it wraps other layers, which a list of layers cannot name": (
        "Bidirectional Pipeline RNN SpectralNormalization StackedRNNCells TimeDistributed Wrapper"
    ),
    "it takes several inputs, where a list of layers has one": (
        "Add AdditiveAttention Attention Average Concatenate Dot GroupedQueryAttention Maximum Minimum "
        "MultiHeadAttention Multiply Subtract"
    ),
    "it takes words, categories, labels or boxes, where images come in": (
        "CategoryEncoding CutMix HashedCrossing Hashing MaxNumBoundingBoxes MixUp ReversibleEmbedding"
    ),
    "it draws otherwise where the size of a batch is not known beforehand, as `fit` may not know it": (
        "RandomElasticTransform"
    ),
    "it is a part of a layer": "GRUCell LSTMCell SimpleRNNCell",
    "it only says what a layer is": "Layer",
    "the images' shape is known": "InputLayer",
}

REFUSED_OPTIMIZERS = {
    "it only says what an optimizer is": "Optimizer",
    "it wraps other optimizers": "LossScaleOptimizer MultiOptimizer",
}

OPTIMIZERS = frozenset([
    "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "Muon", "Nadam", "RMSprop",
    "SGD", "ScheduleFreeAdamW",
])  # fmt: skip
INITIALIZERS = frozenset([
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal", "LecunUniform",
    "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "STFT", "TruncatedNormal", "VarianceScaling", "Zeros",
])  # fmt: skip
ALLOWED = {
    "keras.layers": WEIGHTED_LAYERS | KEEPING_LAYERS | OTHER_LAYERS,
    "keras.optimizers": OPTIMIZERS,
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": frozenset(["L1", "L1L2", "L2", "OrthogonalRegularizer"]),
    "keras.constraints": frozenset(["MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"]),
}
"""By module. Arguments may hold the last three, as `{class_name: RandomNormal, config: {seed: 1}}`."""

IN_ARGUMENTS = ("keras.initializers", "keras.regularizers", "keras.constraints")
SAVED = {
    "keras": frozenset(["Sequential", "DTypePolicy", "Functional", "__keras_tensor__"]),
    "keras.src.models.functional": frozenset(["Functional"]),
    "keras.layers": ALLOWED["keras.layers"] | {"InputLayer"},
}
"""What stands in a saved model besides, and around it; a Functional names the tensors between its layers."""
DTYPES = ("float16", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16")


def check_class(module: str, name: str) -> None:
    """Let a class of Keras pass.

    Args:
        module: "keras.layers" or "keras.optimizers".
        name: the class's own name, not an alias.

    Raises:
        ValueError: it is none of those above; says why.
    """
    if name in ALLOWED[module]:
        return
    for reason, names in (REFUSED_LAYERS if module == "keras.layers" else REFUSED_OPTIMIZERS).items():
        if name in names.split():
            raise ValueError(reason)
    raise ValueError("nobody has looked yet at what it does; see digits/network/vocabulary.py")


def check_arguments(arguments: dict[str, Any]) -> None:
    """Let pass what a layer or an optimizer is to be made with.

    Raises:
        ValueError: somewhere in it an object is named that is no initializer, regularizer or constraint of Keras's.
    """
    _check(arguments, {module: ALLOWED[module] for module in IN_ARGUMENTS})
    dtype = arguments.get("dtype") or "float32"
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}, expected one of {', '.join(DTYPES)}")


def check_saved(config: Any) -> None:
    """Let pass what config.json of a .keras archive says of a model.

    Raises:
        ValueError: somewhere in it an object is named that `networks.save` would not have written.
    """
    _check(config, ALLOWED | SAVED)


def _check(value: Any, allowed: dict[str, frozenset[str]]) -> None:
    for entry in _objects(value):
        name, module, registered = (entry.get(key) for key in ("class_name", "module", "registered_name"))
        modules = [known for known, names in allowed.items() if isinstance(name, str) and name in names]
        if not modules or module not in (None, *modules) or registered not in (None, name):
            found = f"{name} of {module}" if module else name
            raise ValueError(f"{found} stands where only Keras's own may stand")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Each entry that Keras would make an object of, however deep it stands."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def check_outputs(model: keras.Sequential, where: str) -> None:
    """Let pass outputs that are logits or the probabilities of a final softmax.

    Args:
        model: from images to a number for each class.
        where: the key of its layers, for what is said of a mistake.

    Raises:
        Refusal: the layers do not tell that they are either.
    """
    if getattr(model.outputs[0], "_keras_mask", None) is not None:
        raise Refusal(
            f"{where} end in outputs of which a mask leaves some out; expected Masking before a recurrent layer"
        )
    dtype = model.outputs[0].dtype
    if dtype != "float32":
        raise Refusal(f"{where} end in {dtype}, expected float32: give the last of them that dtype")
    if ends_in_probabilities(model):
        return
    signed = (keras.activations.linear, keras.activations.log_softmax)
    for index in reversed(range(len(model.layers))):
        kind, activation = type(model.layers[index]).__name__, getattr(model.layers[index], "activation", None)
        if kind in WEIGHTED_LAYERS and activation in signed:
            return
        if kind not in KEEPING_LAYERS and not (kind == "Activation" and activation in signed):
            break
    function = f" with the activation {activation.__name__}" if activation else ""
    raise Refusal(
        f"{where}.{index} is {kind}{function}, from which the outputs come; expected a final softmax, or "
        "logits: weights without an activation, then at most reshaped, pooled, rescaled or normalized"
    )


def ends_in_probabilities(model: keras.Sequential) -> bool:
    """Whether the last layer is a softmax over the classes; any other that `build` and `load` let in gives logits."""
    last = model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        return last.axis in (-1, 1)
    softmaxes = (keras.layers.Activation, keras.layers.Dense, keras.layers.EinsumDense)
    return isinstance(last, softmaxes) and last.activation is keras.activations.softmax
