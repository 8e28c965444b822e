"""Put the tables that the pages show into them, made from what the benchmarks measured.

Usage: python -m benchmarks.tables

A table stands between `<!-- NAME -->` and `<!-- end -->` in README.md, data/own/README.md and docs/; NAME is a function
of TABLES below.
"""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind

from benchmarks.processes import ROOT
from digits.foundation.files import write_bytes
from digits.foundation.parameters import Network, read_networks

RESULTS = ROOT / "benchmarks/results"
PAGES = [ROOT / "README.md", ROOT / "data/own/README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS, PLAIN = "stages.train", "benchmarks.plain_keras"
IMAGES = 54_000  # that are trained on


def read_runs(name: str) -> pd.DataFrame:
    """The runs that a benchmark wrote, a row each."""
    return pd.read_csv(RESULTS / f"{name}.csv")


def recipe(network: Network) -> str:
    """How a network is trained, in a few words."""
    optimizer = " ".join(f"{part}" for part in (network.optimizer.name, *network.optimizer.arguments.values()))
    cycle = ", one cycle" if network.one_cycle else ""
    epochs = f"{network.epochs} epoch{'s' if network.epochs > 1 else ''}"
    return f"{optimizer}{cycle}, {epochs}, batch {network.batch_size}"


def results(most: int = 5) -> str:
    """A row a network, at most so many: its recipe and what it reaches on MNIST's test images, best first."""
    networks = read_networks(ROOT / "params.yaml")
    runs = read_runs("accuracy").sort_values("seed")
    rows: list[dict[str, str]] = []
    for name, accuracies in runs.groupby("network")["accuracy"]:
        rows.append({
            "network": str(name),
            "recipe": recipe(networks[str(name)]),
            "test accuracy, %": f"{accuracies.mean():.2f} \u00b1 {accuracies.std():.2f}",
            "with seeds 1 to 5": " ".join(f"{accuracy:.2f}" for accuracy in accuracies),
        })  # fmt: skip
    rows.sort(key=lambda row: row["test accuracy, %"], reverse=True)
    table = pd.DataFrame(rows[:most]).to_markdown(index=False)
    native = ", ".join(sorted(set(runs.loc[runs["instructions"] != "avx2", "network"])))
    return f"{table}\n\nTrained before there was `instructions: avx2`: {native}." if native else table


def dense_flops(network: Network) -> float | None:
    """FLOP of training a network of dense layers on one image; None where other layers compute too.

    Two for each weight forward, two for its gradient, and two to hand the error down, which the first layer need not.
    """
    width, widths = 784, []
    for layer in network.layers:
        if layer.name == "Dense":
            units = layer.arguments["units"]
            units = 10 if units == "classes" else units
            widths.append(width * units)
            width = units
        elif layer.name not in {"Flatten", "Dropout", "BatchNormalization"}:
            return None
    return 6 * sum(widths) - 2 * widths[0]


def speed_table(runs: pd.DataFrame) -> str:
    """A row a network: ours, plain Keras where it ran, and how they compare."""
    networks = read_networks(ROOT / "params.yaml")
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
        row["accuracy, %"] = f"{accuracy.mean():.2f} \u00b1 {accuracy.std():.2f}"
        if len(plain):
            row["fit's accuracy, %"] = f"{plain_accuracy.mean():.2f} \u00b1 {plain_accuracy.std():.2f}"
            row["Welch's p"] = f"{ttest_ind(accuracy, plain_accuracy, equal_var=False).pvalue:.2f}"
        row["MiB"] = f"{ours['memory'].max():.0f}"
        if len(plain):
            row["fit's MiB"] = f"{plain['memory'].max():.0f}"
        rows.append(row)
    timed = runs[runs["timed"]]
    counts = timed.groupby("network")["seed"].nunique().unique()  # a network may have been timed by itself
    times = " or ".join(map(str, sorted(counts)))
    return (
        f"{pd.DataFrame(rows).fillna('').to_markdown(index=False)}\n\n"
        f"Times are medians of {times} runs in turn, accuracies means and standard deviations over "
        f"{runs['seed'].nunique()} seeds. In brackets stands the\nshare of what a large float32 matrix product reached "
        f"just before the run, in the median {timed['rate'].median():.0f} GFLOP/s."
    )


def instructions() -> str:
    """A row a network: the median process and epoch with each kind of instructions, and what avx2 takes of native's."""
    runs = read_runs("instructions")
    rows = []
    for name, of_network in runs.groupby("network", sort=False):
        by_way = of_network.groupby("way")
        process, epoch = by_way["process"].median(), by_way["epoch"].median()
        ways = [way for way in ("before", "native", "avx2") if way in process.index]
        row = {"network": str(name)}
        row |= {f"{way}: process, s": f"{process[way]:.1f}" for way in ways}
        row |= {f"{way}: epoch, s": f"{epoch[way]:.2f}" for way in ways}
        rows.append(row | {"avx2 / native": f"{process['avx2'] / process['native']:.2f}"})
    counts = " or ".join(map(str, sorted(runs.groupby(["network", "way"]).size().unique())))
    return f"{pd.DataFrame(rows).to_markdown(index=False)}\n\nMedians of {counts} runs of 3 epochs, in turn."


def growth_table(runs: pd.DataFrame) -> str:
    """A row a stage: its seconds and memory by how many times MNIST it worked on, and how straight that line is."""
    rows = []
    for stage, of_stage in runs.groupby("stage", sort=False):
        by_times = of_stage.groupby("times")
        seconds, memory = by_times["s"].median(), by_times["MiB"].max()
        (one, some, many), times = seconds, [int(times) for times in seconds.index]
        straight = one + (some - one) * (times[2] - times[0]) / (times[1] - times[0])
        row = {"stage": str(stage)}
        row |= {f"{n} times": f"{s:.1f} s, {m:.0f} MiB" for n, s, m in zip(times, seconds, memory, strict=True)}
        rows.append(row | {f"of the straight line at {times[2]}": f"{many / straight:.2f}"})
    return pd.DataFrame(rows).to_markdown(index=False)


def pictures() -> str:
    """A row a kind of picture."""
    from benchmarks.pictures import pictures_table  # brings TensorFlow, whose memory would count as the benchmarks' own

    return pictures_table(read_runs("pictures"))


def drawing() -> str:
    """A row for each who asks the drawing page: how many answers a second come, and how soon."""
    runs = read_runs("drawing")
    table = pd.DataFrame({
        "asked by": runs["asked"],
        "answers": runs["answers"],
        "a second": [f"{rate:.0f}" if rate == rate else "" for rate in runs["rate"]],
        "median, ms": runs["p50"].round().astype(int),
        "95th percentile, ms": runs["p95"].round().astype(int),
    })  # fmt: skip
    return table.to_markdown(index=False, colalign=("left", *["right"] * 4))


def identity() -> str:
    """A row a kind of picture: how many are taken for another, and which share is the same after each change, in %."""
    runs = read_runs("identity")
    shares = runs.columns[3:]
    table = runs.assign(**{name: [f"{share:.0%}" for share in runs[name]] for name in shares})
    return table.to_markdown(index=False, colalign=("left", *["right"] * (len(runs.columns) - 1)))


def front_door() -> str:
    """A row a part of `make repro` in a fresh clone, in seconds, and their sum."""
    runs = read_runs("front_door").set_index("part")
    runs.loc["all"] = runs.sum()
    return runs.reset_index().to_markdown(index=False, floatfmt=".1f")


def labels() -> str:
    """A row a way to rank labels: how many of 1,200 planted errors stand among the first 1,200."""
    runs = read_runs("labels")
    runs["found"] = 100 * (runs["any"] + runs["confused"]) / runs["errors"]
    rows = [
        {"ranking": str(name)} | {str(row.network): f"{row.found:.1f}%" for row in group.itertuples()}
        for name, group in runs.groupby("ranking", sort=False)
    ]
    counted = (
        f"Of {runs['errors'].iloc[0]:,} errors, half of them any other class, half one that people confuse it with."
    )
    return f"{pd.DataFrame(rows).to_markdown(index=False)}\n\n{counted}"


def labels_accuracy() -> str:
    """A row each for labels as published, with planted errors, and as the review's verdicts have them."""
    groups = read_runs("labels_accuracy").groupby("labels", sort=False)["accuracy"]
    rows = [{"labels": name, "accuracy, %": f"{100 * of.mean():.2f} ± {100 * of.std():.2f}"} for name, of in groups]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


TABLES: dict[str, Callable[[], str]] = {
    "results": results,
    "all-results": lambda: results(most=100),
    "speed": lambda: speed_table(read_runs("speed")),
    "instructions": instructions,
    "growth": lambda: growth_table(read_runs("growth")),
    "pictures": pictures,
    "drawing": drawing,
    "identity": identity,
    "labels": labels,
    "labels-accuracy": labels_accuracy,
    "front-door": front_door,
}


def filled(page: str) -> str:
    """The text of a page with each of its tables as the measurements have it."""

    def table(place: re.Match[str]) -> str:
        return f"<!-- {place[1]} -->\n{TABLES[place[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- ([a-z-]+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def main() -> None:
    """Fill the pages."""
    for page in PAGES:
        page_text = page.read_text()
        if filled(page_text) != page_text:
            write_bytes(page, filled(page_text).encode())
            print(f"{page.relative_to(ROOT)} has new tables")


if __name__ == "__main__":
    main()
