"""Train networks as `stages.train` does, and print what came of each: `python -m tests.processors.train FILE`.

FILE holds a JSON list of networks, as tests/test_processors.py writes it. The images are scikit-learn's digits.
"""

import gc
import hashlib
import json
import math
import os
import sys
from pathlib import Path

from digits.foundation import command, processor

# For the tests that what they test can fail.
processor.TENSORFLOW["avx2"].pop(os.environ.get("PROCESSORS_TEST_WITHOUT", ""), None)
command.begin()

from digits.foundation.command import Refusal  # noqa: E402
from digits.foundation.parameters import Network  # noqa: E402
from digits.network import construction, inference, reproducibility  # noqa: E402 (TensorFlow reads the environment)
from digits.network.tensorflow import keras  # noqa: E402
from stages import train  # noqa: E402
from tests.conftest import some_split  # noqa: E402

SEED = 1


def outcome(network: Network) -> str:
    """A digest of history, weights and answers, or why the network was refused."""
    keras.utils.clear_session()
    gc.freeze()
    keras.utils.set_random_seed(SEED)
    training, validation = some_split(0, 105), some_split(105, 150)
    try:
        model = construction.build("x", network, (28, 28, 1), 10)
        steps = network.epochs * math.ceil(len(training[0]) / network.batch_size)
        optimizer = construction.build_optimizer("x", network, model, steps)
        rows = list(
            train.train(model, optimizer, network, training, validation, SEED, bar=False, everywhere_alike=True)
        )
        answers = inference.log_probabilities(model, validation[0])
    except Refusal as refusal:
        return f"refused: {refusal}"
    digest = hashlib.sha256(json.dumps(rows).encode() + answers.tobytes())
    for weight in model.get_weights():
        digest.update(weight.tobytes())
    return digest.hexdigest()


def main() -> None:
    if os.environ.get("PROCESSORS_TEST_WITHOUT") == "caches":
        reproducibility.caches.fix_cache_sizes = lambda _: None
    reproducibility.compute_reproducibly(SEED, 2, "avx2")
    for described in json.loads(Path(sys.argv[1]).read_text()):
        print(json.dumps(outcome(Network.model_validate(described))), flush=True)


if __name__ == "__main__":
    main()
