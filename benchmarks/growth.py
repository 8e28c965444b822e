"""How the cost of prepare, train and evaluate grows with the data: 1, 4 and 16 times MNIST.

Usage: python -m benchmarks.growth

The larger datasets are data/raw/fetched/mnist/ repeated with each image shifted and dimmed at random; they live in a
temporary folder (7 GB). `train` is one epoch of mlp. Writes every run to benchmarks/results/growth.csv, from which
`python -m benchmarks.tables` makes a table.
"""

import shutil
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.processes import ROOT, make_workspace, run_module
from benchmarks.tables import RESULTS, growth_table
from digits.data.identity import BYTES, of_pixels
from digits.data.idx import write_idx
from digits.data.raw import DESCRIPTION, FETCHED, digests, read_raw
from digits.foundation.files import write_json
from digits.foundation.tables import write_table

TIMES = [1, 4, 16]
STAGES = ["prepare", "train", "evaluate"]
RUNS = 3


def jittered(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Images of shape (n, 28, 28) uint8, shifted by up to 2 pixels and dimmed by up to a fifth, each in its own way."""
    shifts = generator.integers(-2, 3, (2, len(images), 1, 1))
    side = images.shape[1]
    rows, columns = np.ogrid[:side, :side]
    moved = images[np.arange(len(images))[:, None, None], (rows + shifts[0]) % side, (columns + shifts[1]) % side]
    return (moved * generator.uniform(0.8, 1, (len(images), 1, 1))).astype(np.uint8)


def enlarge(folder: Path, times: int) -> None:
    """Write a dataset so many times MNIST as `fetch` would leave it."""
    generator = np.random.default_rng(times)
    mnist = read_raw(ROOT / FETCHED / "mnist")
    for split, of in (("train", mnist.train), ("test", mnist.test)):
        images = of.images.read()
        larger = [jittered(images, generator) for _ in range(times)]
        write_idx(folder / f"{split}-images.idx", larger, (times * len(images), *images.shape[1:]))
        write_idx(folder / f"{split}-labels.idx", [np.tile(of.labels, times)], (times * len(images),))
        identities = map(of_pixels, larger)
        write_idx(folder / f"{split}-identities.idx", identities, (times * len(images), BYTES))
    write_json(folder / DESCRIPTION, asdict(replace(mnist.description, sha256=digests(folder))))


def main() -> None:
    """Run and print the benchmark."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for times in TIMES:
            workspace = make_workspace(Path(folder) / str(times), None, ROOT, network="mlp", epochs=1)
            enlarge(workspace / FETCHED / "mnist", times)
            for run in range(RUNS):
                shutil.rmtree(workspace / "data/prepared", ignore_errors=True)  # as DVC does before a stage
                for stage in STAGES:
                    process = run_module(f"stages.{stage}", workspace)
                    rows.append({"times": times, "stage": stage, "s": process.seconds, "MiB": process.memory})
                    cost = f"{process.seconds:6.1f} s {process.memory:6.0f} MiB"
                    print(f"{times:3} times MNIST, run {run + 1}: {stage:9} {cost}", flush=True)
    runs = pd.DataFrame(rows)
    write_table(RESULTS / "growth.csv", runs)
    print(f"\n{growth_table(runs)}")


if __name__ == "__main__":
    main()
