"""The chosen network and recipe as most people would train it: a script that calls Keras's `fit` with its defaults.

Takes and gives what `stages.train` does, as far as it is the model: data/prepared/, params.yaml, models/model.keras.
"""

import math
import time

import numpy as np

from digits.data.prepared import read_split, read_task
from digits.foundation.command import run
from digits.foundation.parameters import read_parameters
from digits.network import archive, construction
from digits.network.tensorflow import keras
from digits.network.vocabulary import ends_in_probabilities


def main() -> None:
    parameters = read_parameters()
    name = parameters.chosen_network()
    network = parameters.networks[name]
    task = read_task()
    (images, labels), validation = (read_split(split, len(task.classes)) for split in ("train", "validation"))
    images = np.array(images)

    keras.utils.set_random_seed(parameters.seed)
    model = construction.build(name, network, images.shape[1:], len(task.classes))
    epochs = network.epochs_on(len(images))
    steps = epochs * math.ceil(len(images) / network.batch_size)
    model.compile(
        optimizer=construction.build_optimizer(name, network, model, steps),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=not ends_in_probabilities(model)),
        metrics=["accuracy"],
    )
    began = time.perf_counter()
    model.fit(images, labels, batch_size=network.batch_size, epochs=epochs, validation_data=validation, verbose=0)
    print(f"trained in {time.perf_counter() - began:.1f} s")
    archive.save(archive.Classifier(model, task))


if __name__ == "__main__":
    run(main)
