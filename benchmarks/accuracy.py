"""Train every network of params.yaml with several seeds on the arrays of data/prepared/, and evaluate it.

Usage: python -m benchmarks.accuracy [NETWORK ...]

Writes a row a training to benchmarks/results/accuracy.csv, as they end, from which `python -m benchmarks.tables` makes
the README's table; what is not trained anew keeps its rows there.
"""

import argparse
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pandas as pd

from benchmarks.processes import ROOT, make_workspace, run_module
from benchmarks.tables import RESULTS
from digits.foundation.parameters import read_networks, read_parameters
from digits.foundation.tables import write_table

PATH = RESULTS / "accuracy.csv"
KEYS = ["network", "seed"]


def train_and_evaluate(network: str, seed: int, folder: Path) -> dict[str, object]:
    """One training, in a workspace of its own below `folder`."""
    workspace = make_workspace(folder / f"{network}-{seed}", ROOT / "data/prepared", ROOT, network=network, seed=seed)
    for stage in ("stages.train", "stages.evaluate"):
        run_module(stage, workspace)
    accuracy = json.loads((workspace / "metrics/test.json").read_text())["accuracy"]
    instructions = read_parameters(workspace / "params.yaml").instructions
    return {"network": network, "seed": seed, "instructions": instructions, "accuracy": round(accuracy * 100, 2)}


def main() -> None:
    """Train, two at a time, and write each row as it comes."""
    parser = argparse.ArgumentParser(description="Train every network with several seeds.")
    parser.add_argument("--seeds", type=int, default=5, help="from 1 up (default: 5)")
    parser.add_argument("networks", nargs="*", help="these only (default: all)")
    arguments = parser.parse_args()
    chosen = arguments.networks or [*read_networks(ROOT / "params.yaml")]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
        waiting = [
            pool.submit(train_and_evaluate, network, seed, Path(folder))
            for network in chosen
            for seed in range(1, arguments.seeds + 1)
        ]
        for done in as_completed(waiting):
            row = done.result()
            print(*row.values(), flush=True)
            before = pd.read_csv(PATH) if PATH.exists() else pd.DataFrame(columns=[*row])
            table = pd.concat([before, pd.DataFrame([row])]).drop_duplicates(KEYS, keep="last").sort_values(KEYS)
            write_table(PATH, table)


if __name__ == "__main__":
    main()
