"""Time `stages.train` against plain Keras, in turn, on the arrays of data/prepared/.

Usage: python -m benchmarks.speed [--quick]

A row a network: whole processes, imports included (medians), the training's arithmetic against the rate of a large
matrix product measured just before each, test accuracy (mean and standard deviation over the seeds) and peak memory.
Writes every run to benchmarks/results/speed.csv, from which `python -m benchmarks.tables` makes the pages' tables;
networks that are not among the chosen ones keep their rows there.
"""

import argparse
import json
import os
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.processes import ROOT, Process, make_workspace, run_module
from benchmarks.tables import OURS, PLAIN, RESULTS, speed_table
from digits.foundation.tables import write_table

PREPARED = ROOT / "data/prepared"
SAME_RECIPE = ["selu-300-100", "dropout-batchnorm-256-128-128", "relu-128-128", "relu-256-128-128", "relu-128"]
OURS_ALONE = ["mlp", "convnet", "convnet-one-epoch", "convnet-translated"]


def matrix_rate(size: int = 3072, runs: int = 5) -> float:
    """GFLOP/s of NumPy's product of two square float32 matrices, the median of some runs."""
    left, right = np.random.default_rng(0).random((2, size, size), np.float32)
    seconds = []
    with threadpool_limits(os.cpu_count()):  # of which the stages let NumPy have one
        for _ in range(runs):
            began = time.perf_counter()
            left @ right
            seconds.append(time.perf_counter() - began)
    return float(2 * size**3 / np.median(seconds) / 1e9)


def train_and_evaluate(
    module: str, network: str, seed: int, timed: bool, folder: Path, parameters: dict[str, object]
) -> dict[str, object]:
    """One run: seconds and memory of the training process, seconds that it prints of itself, test accuracy.

    With the rate of a matrix product just before it, as the speed of a shared machine changes by the minute.
    """
    workspace = folder / f"{module}-{network}-{seed}"
    make_workspace(workspace, PREPARED, ROOT, network=network, seed=seed, instructions="native", **parameters)
    rate = matrix_rate()
    trained: Process = run_module(module, workspace)
    run_module("stages.evaluate", workspace)
    epochs = [float(seconds) for seconds in re.findall(r"^epoch .* ([\d.]+) s$", trained.printed, re.MULTILINE)]
    training = re.search(r"^trained in ([\d.]+) s", trained.printed, re.MULTILINE)
    assert training
    run = {
        "by": module,
        "network": network,
        "seed": seed,
        "timed": timed,
        "rate": rate,
        "process": trained.seconds,
        "memory": trained.memory,
        "training": float(training[1]),
        "epoch": float(np.median(epochs)) if epochs else None,
        "accuracy": round(json.loads((workspace / "metrics/test.json").read_text())["accuracy"] * 100, 2),
    }
    print(*(f"{value:.2f}" if isinstance(value, float) else value for value in run.values()), flush=True)
    return run


def main() -> None:
    """Run, print and draw the benchmark."""
    parser = argparse.ArgumentParser(description="Time stages.train against plain Keras, in turn.")
    parser.add_argument("--quick", action="store_true", help="one network for 2 epochs: under 3 minutes")
    parser.add_argument("--runs", type=int, default=3, help="that are timed, each with another seed (default: 3)")
    parser.add_argument("--seeds", type=int, default=5, help="for the accuracy; what is not timed goes two at a time")
    parser.add_argument("networks", nargs="*", help="these only (default: all)")
    arguments = parser.parse_args()
    chosen = arguments.networks or (["relu-256-128-128"] if arguments.quick else [*SAME_RECIPE, *OURS_ALONE])
    seeds = range(1, max(arguments.runs, 0 if arguments.quick else arguments.seeds) + 1)
    parameters: dict[str, object] = {"epochs": 2} if arguments.quick else {}

    runs = [
        (module, network, seed, seed <= arguments.runs)
        for network in chosen
        for seed in seeds
        for module in ((OURS, PLAIN) if network in SAME_RECIPE else (OURS,))
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:

        def result(run: tuple[str, str, int, bool]) -> dict[str, object]:
            module, network, seed, timed = run
            return train_and_evaluate(module, network, seed, timed, Path(folder), parameters)

        results = [result(run) for run in runs if run[-1]]
        results += pool.map(result, [run for run in runs if not run[-1]])
    table = pd.DataFrame(results)
    if arguments.quick:
        print(speed_table(table))
    else:
        path = RESULTS / "speed.csv"
        before = pd.read_csv(path)
        write_table(path, pd.concat([before[~before["network"].isin(chosen)], table]))
        print(f"written to {path.relative_to(ROOT)}; `python -m benchmarks.tables` tells the pages")


if __name__ == "__main__":
    main()
