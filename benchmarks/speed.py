"""Time `stages.train` against plain Keras, in turn, on the arrays of data/prepared/.

Usage: python -m benchmarks.speed [--quick]

A row a network: whole processes, imports included (medians), the training's arithmetic against the rate of a large
matrix product measured just before each, test accuracy (mean and standard deviation over the seeds) and peak memory.
Writes benchmarks/results/speed.{md,png}, which Git ignores.
"""

import argparse
import json
import re
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
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


def matrix_rate(size: int = 3072, runs: int = 5) -> float:
    """GFLOP/s of NumPy's product of two square float32 matrices, the median of some runs."""
    left, right = np.random.default_rng(0).random((2, size, size), np.float32)
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - began)
    return float(2 * size**3 / np.median(seconds) / 1e9)


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


def train_and_evaluate(
    module: str, network: str, seed: int, timed: bool, folder: Path, parameters: dict[str, object]
) -> dict[str, object]:
    """One run: seconds and memory of the training process, seconds that it prints of itself, test accuracy.

    With the rate of a matrix product just before it, as the speed of a shared machine changes by the minute.
    """
    workspace = folder / f"{module}-{network}-{seed}"
    make_workspace(workspace, PREPARED, network=network, seed=seed, **parameters)
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


def summarize(runs: pd.DataFrame, networks: dict[str, Network]) -> pd.DataFrame:
    """A row a network: ours, plain Keras where it ran, and how they compare."""
    rows = []
    for name, of_network in runs.groupby("network", sort=False):
        ours, plain = (of_network[of_network["timed"] & (of_network["by"] == by)] for by in (OURS, PLAIN))
        accuracy, plain_accuracy = (of_network.loc[of_network["by"] == by, "accuracy"] for by in (OURS, PLAIN))
        flops = dense_flops(networks[str(name)])
        row = {"network": name, "train, s": f"{ours['process'].median():.1f}"}
        if len(plain):
            ratios = plain["process"].to_numpy() / ours["process"].to_numpy()
            row |= {"fit, s": f"{plain['process'].median():.1f}", "times as fast": f"{np.median(ratios):.1f}"}
        row |= {"training alone, s": f"{ours['training'].median():.1f}", "an epoch, s": f"{ours['epoch'].median():.2f}"}
        if flops:
            reached = flops * IMAGES / ours["epoch"] / 1e9
            row["GFLOP/s"] = f"{reached.median():.0f} ({(reached / ours['rate']).median():.0%})"
        row["accuracy, %"] = f"{accuracy.mean():.2f} ± {accuracy.std():.2f}"
        if len(plain):
            row["fit's accuracy, %"] = f"{plain_accuracy.mean():.2f} ± {plain_accuracy.std():.2f}"
            row["Welch's p"] = f"{ttest_ind(accuracy, plain_accuracy, equal_var=False).pvalue:.2f}"
        row["MiB"] = f"{ours['memory'].max():.0f}"
        if len(plain):
            row["fit's MiB"] = f"{plain['memory'].max():.0f}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def draw(runs: pd.DataFrame) -> None:
    """Draw the medians of the whole processes' seconds, a pair of bars a network."""
    use_style()
    medians = runs[runs["timed"]].pivot_table(
        index="network", columns="by", values="process", aggfunc="median", sort=False
    )
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
    report(pd.DataFrame(results))


def report(runs: pd.DataFrame) -> None:
    """Print the table, draw the picture, write both to benchmarks/results/."""
    told = summarize(runs, read_parameters(ROOT / "params.yaml").networks).to_markdown(index=False)
    timed = runs[runs["timed"]]
    told += (
        f"\n\nTimes are medians of {timed['seed'].nunique()} runs in turn, accuracies means and standard deviations "
        f"over {runs['seed'].nunique()} seeds. In brackets: the share of what a large float32 matrix product reached "
        f"just before the run, in the median {timed['rate'].median():.0f} GFLOP/s.\n"
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "speed.md").write_text(told)
    draw(runs)
    print(f"\n{told}\ndrawn in {RESULTS.relative_to(ROOT)}/speed.png")


if __name__ == "__main__":
    main()
