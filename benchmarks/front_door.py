"""What `make repro` takes in a fresh clone, part by part.

Usage: MNIST_MIRROR=... python -m benchmarks.front_door

Runs it in three clones of HEAD, one after the other. Packages come from uv's cache where they are in it. Writes the
medians to benchmarks/results/front_door.csv, from which `python -m benchmarks.tables` makes the table in docs/speed.md.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.processes import ROOT
from benchmarks.tables import RESULTS
from digits.foundation.tables import write_table

RUNS = 3
STAGE = re.compile(r"^Running stage '(\w+)'|^Stage '(\w+)'|^(test accuracy)")


def time_parts(clone: Path, environment: dict[str, str]) -> dict[str, float]:
    """The seconds of each part of `make repro` in a clone, DVC's work around a stage counted as the stage's."""
    seconds: dict[str, float] = {}
    part, began = "installation", time.perf_counter()
    with subprocess.Popen(
        ["make", "repro"], cwd=clone, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            found = STAGE.match(line)
            if found:
                seconds[part] = seconds.get(part, 0) + time.perf_counter() - began
                part, began = next(filter(None, found.groups())), time.perf_counter()
    if process.returncode:
        raise RuntimeError(f"make repro ended with {process.returncode} in {clone}")
    return seconds


def main() -> None:
    """Run and print the benchmark."""
    own = Path(sys.prefix).resolve()
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not Path(part).is_relative_to(own))
    kept = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    runs = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            clone = Path(folder) / "clone"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
            runs.append(time_parts(clone, kept | {"PATH": path, "PYTHONUNBUFFERED": "1"}))
    seconds = pd.DataFrame(runs).median()
    table = seconds.rename_axis("part").round(1).reset_index(name="seconds")
    write_table(RESULTS / "front_door.csv", table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
