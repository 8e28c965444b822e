"""Time `stages.train` against plain Keras, in turn, on the arrays of data/prepared/.

Usage: python -m benchmarks.speed [--quick]

A row a network: whole processes, imports included (medians), the training's arithmetic against the rate of a large
matrix product measured in the same run, test accuracy (mean and standard deviation over the seeds) and peak memory.
Writes benchmarks/results/speed.{md,png}, which Git ignores.
"""

import argparse
import json
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from scipy.stats import ttest_ind

from benchmarks.processes import ROOT, Process, make_workspace, run_module
from digits.drawing import use_style, write_figure
from digits.parameters import Network, read_parameters

RESULTS = ROOT / "benchmarks/results"
PREPARED = ROOT / "data/prepared"
OURS, PLAIN = "stages.train", "benchmarks.plain_keras"
SAME_RECIPE = ["selu-300-100", "dropout-batchnorm-256-128-128", "relu-128-128", "relu-256-128-128", "relu-128"]
OURS_ALONE = ["mlp", "convnet", "convnet-one-epoch"]
IMAGES = 54_000


def matrix_rate(size: int = 4096, runs: int = 5) -> float:
    """GFLOP/s of NumPy's product of two square float32 matrices, the best of some runs."""
    left, right = np.random.default_rng(0).random((2, size, size), np.float32)
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds) / 1e9


def dense_flops(network: Network) -> float | None:
    """FLOP of training a network of dense layers on one image; None where other layers compute too.

    Two for each weight forward, two for its gradient, and two to hand the error down, which the first layer need not.
    """
    width, widths = 784, []
    for layer in network.layers:
        if layer.name == "Dense":
            widths.append(width * layer.arguments["units"])
            width = layer.arguments["units"]
        elif layer.name not in {"Flatten", "Dropout", "BatchNormalization"}:
            return None
    return 6 * sum(widths) - 2 * widths[0]


def train_and_evaluate(module: str, network: str, seed: int, folder: Path, **parameters: object) -> dict[str, object]:
    """One run: seconds and memory of the training process, seconds that it prints of itself, test accuracy."""
    workspace = make_workspace(
        folder / f"{module}-{network}-{seed}", PREPARED, network=network, seed=seed, **parameters
    )
    trained: Process = run_module(module, workspace)
    run_module("stages.evaluate", workspace)
    epochs = [float(seconds) for seconds in re.findall(r"^epoch .* ([\d.]+) s$", trained.printed, re.MULTILINE)]
    training = re.search(r"^trained in ([\d.]+) s", trained.printed, re.MULTILINE)
    assert training
    return {
        "by": module,
        "network": network,
        "seed": seed,
        "process": trained.seconds,
        "memory": trained.memory,
        "training": float(training[1]),
        "epoch": float(np.median(epochs)) if epochs else None,
        "accuracy": round(json.loads((workspace / "metrics/test.json").read_text())["accuracy"] * 100, 2),
    }


def summarize(runs: pd.DataFrame, rate: float, networks: dict[str, Network]) -> pd.DataFrame:
    """A row a network: ours, plain Keras where it ran, and how they compare."""
    rows = []
    for name, of_network in runs.groupby("network", sort=False):
        ours, plain = (of_network[of_network["by"] == by] for by in (OURS, PLAIN))
        flops = dense_flops(networks[str(name)])
        reached = flops * IMAGES / ours["epoch"].median() / 1e9 if flops else None
        row = {
            "network": name,
            "train, s": f"{ours['process'].median():.1f}",
            "of it training, s": f"{ours['training'].median():.1f}",
            "an epoch, s": f"{ours['epoch'].median():.2f}",
            "GFLOP/s": f"{reached:.0f} ({reached / rate:.0%})" if reached else "",
            "accuracy, %": f"{ours['accuracy'].mean():.2f} ± {ours['accuracy'].std():.2f}",
            "MiB": f"{ours['memory'].max():.0f}",
        }
        if len(plain):
            ratios = plain["process"].to_numpy() / ours["process"].to_numpy()
            row |= {
                "plain Keras, s": f"{plain['process'].median():.1f}",
                "times as fast": f"{np.median(ratios):.1f}",
                "its accuracy, %": f"{plain['accuracy'].mean():.2f} ± {plain['accuracy'].std():.2f}",
                "Welch's p": f"{ttest_ind(ours['accuracy'], plain['accuracy'], equal_var=False).pvalue:.2f}",
                "its MiB": f"{plain['memory'].max():.0f}",
            }
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def draw(runs: pd.DataFrame) -> None:
    """Draw the medians of the whole processes' seconds, a pair of bars a network."""
    use_style()
    medians = runs.pivot_table(index="network", columns="by", values="process", aggfunc="median", sort=False)
    figure, axis = plt.subplots(figsize=(9, 1.2 + 0.6 * len(medians)))
    for offset, by, label, color in ((-0.2, OURS, "stages.train", "#1f77b4"), (0.2, PLAIN, "Keras's fit", "#bbbbbb")):
        if by in medians:
            bars = axis.barh(np.arange(len(medians)) + offset, medians[by].fillna(0), 0.38, label=label, color=color)
            axis.bar_label(bars, [f"{value:.1f} s" if value else "" for value in medians[by].fillna(0)], padding=3)
    axis.set(yticks=range(len(medians)), yticklabels=medians.index, xlabel="seconds, the whole process")
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.legend(loc="lower right")
    write_figure(RESULTS / "speed.png", figure, dpi=120)


def main() -> None:
    """Run, print and draw the benchmark."""
    parser = argparse.ArgumentParser(description="Time stages.train against plain Keras, in turn.")
    parser.add_argument("--quick", action="store_true", help="one network for 2 epochs: under 3 minutes")
    parser.add_argument("--runs", type=int, default=5, help="of each, each with another seed (default: 5)")
    parser.add_argument("networks", nargs="*", help="these only (default: all)")
    arguments = parser.parse_args()
    chosen = arguments.networks or (["relu-256-128-128"] if arguments.quick else [*SAME_RECIPE, *OURS_ALONE])
    seeds = range(1, (3 if arguments.quick else arguments.runs) + 1)
    parameters = {"epochs": 2} if arguments.quick else {}

    rate = matrix_rate()
    runs: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for network in chosen:
            for seed in seeds:
                for module in (OURS, PLAIN) if network in SAME_RECIPE else (OURS,):
                    runs.append(train_and_evaluate(module, network, seed, Path(folder), **parameters))
                    print(
                        *runs[-1].values(),
                        sep="  ",
                        flush=True,
                    )
    table = pd.DataFrame(runs)
    told = summarize(table, rate, read_parameters(ROOT / "params.yaml").networks).to_markdown(index=False)
    told += (
        f"\n\nmedians of {len(seeds)} runs in turn; a large float32 matrix product reaches {rate:.0f} GFLOP/s here\n"
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.md").write_text(told)
    draw(table)
    print(f"\n{told}\ndrawn in {RESULTS.relative_to(ROOT)}/speed.png")


if __name__ == "__main__":
    main()
