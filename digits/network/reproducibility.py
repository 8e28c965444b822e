"""Computing so that equal inputs give equal bytes, on whichever processor.

TensorFlow takes seconds to import, so only what needs a network imports a module of this folder.
"""

from pathlib import Path

from digits.foundation import processor
from digits.foundation.command import Refusal
from digits.foundation.processor import Instructions
from digits.network import caches
from digits.network.tensorflow import keras, tf


def compute_reproducibly(seed: int, threads: int, instructions: Instructions) -> None:
    """Fix what a result depends on besides data and network. To be called once, before anything is computed.

    Args:
        seed: of the initial weights and of every random layer.
        threads: how many share a sum out among them, whatever the number of cores: the bytes depend on it.
        instructions: what they may compute with. For avx2, caches count as equally large on each processor, and
            Grappler changes no graph: it makes RSQRTPS of x / sqrt(y), another number on another processor.

    Raises:
        Refusal: the process began for other instructions, or TensorFlow is another than the pinned one.
    """
    if processor.chosen_instructions(processor.PARAMETERS) != instructions:
        raise Refusal(
            f"params.yaml: instructions is {instructions!r} in a form that was overlooked when the process began, "
            f"expected a line `instructions: {instructions}`"
        )
    keras.utils.set_random_seed(seed)
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    if processor.is_alike_everywhere(instructions):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        try:
            caches.fix_cache_sizes(Path(tf.__file__).parent / "libtensorflow_cc.so.2")
        except caches.UnknownLibraryError as error:
            raise Refusal(f"{error}, expected TensorFlow as requirements.txt pins it") from error
