"""Time `stages.train` with `instructions: avx2` and `native`, in turn, on the arrays of data/prepared/.

Usage: python -m benchmarks.instructions [--before FOLDER] [NETWORK ...]

A row a run: the whole process, imports included, and the median epoch. FOLDER is a clone of an earlier commit, of which
the same is timed in the same turn. Writes benchmarks/results/instructions.csv, from which `python -m benchmarks.tables`
makes the page's table; networks that are not among the chosen ones keep their rows there.
"""

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.processes import ROOT, make_workspace, run_module
from benchmarks.tables import RESULTS
from digits.foundation.parameters import read_networks
from digits.foundation.tables import write_table

EPOCHS = 3


def run(network: str, way: str, root: Path, folder: Path) -> dict[str, object]:
    """One run of the stage of the repository at `root`."""
    parameters: dict[str, object] = {"network": network, "epochs": EPOCHS}
    if root == ROOT:
        parameters["instructions"] = way
    workspace = make_workspace(folder / way / network, ROOT / "data/prepared", root, **parameters)
    process = run_module("stages.train", workspace, root)
    epochs = [float(seconds) for seconds in re.findall(r"^epoch .* ([\d.]+) s$", process.printed, re.MULTILINE)]
    row: dict[str, object] = {
        "network": network,
        "way": way,
        "process": round(process.seconds, 2),
        "epoch": float(np.median(epochs)),
    }
    print(*row.values(), flush=True)
    return row


def main() -> None:
    """Run and write the benchmark."""
    parser = argparse.ArgumentParser(description="Time stages.train with instructions avx2 and native, in turn.")
    parser.add_argument("--runs", type=int, default=3, help="of each (default: 3)")
    parser.add_argument("--before", type=Path, help="a clone of an earlier commit, to time in the same turn")
    parser.add_argument("networks", nargs="*", help="these only (default: all)")
    arguments = parser.parse_args()
    chosen = arguments.networks or [*read_networks(ROOT / "params.yaml")]
    ways = {"before": arguments.before.resolve()} if arguments.before else {}
    ways |= {"avx2": ROOT, "native": ROOT}
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            run(network, way, root, Path(folder))
            for network in chosen
            for _ in range(arguments.runs)
            for way, root in ways.items()
        ]
    path = RESULTS / "instructions.csv"
    table = pd.DataFrame(rows)
    if path.exists():
        before = pd.read_csv(path)
        table = pd.concat([before[~before["network"].isin(chosen)], table])
    write_table(path, table)
    print(f"written to {path.relative_to(ROOT)}; `python -m benchmarks.tables` tells the pages")


if __name__ == "__main__":
    main()
