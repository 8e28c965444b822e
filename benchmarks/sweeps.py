"""Run 300 trials of one epoch on the embedded digits in one go: `python -m benchmarks.sweeps [TRIALS]`, 15 minutes.

Says how many trials a minute that is, how the caller's memory and open files move (a line every 25 trials), and how
long `dvc exp show` takes with all of them. Works in a clone of the last commit, in a temporary folder.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = """
space:
  network: [mlp]
  networks.mlp.epochs: [1]
  networks.mlp.optimizer.Adam.learning_rate: {{logarithmic: [0.0001, 0.02]}}
search: random
trials: {trials}
resources: {{cpus: 1}}
"""
STEP = 25


def prepare(folder: Path, trials: int) -> None:
    """Make a clone that is on the digits, with its data prepared and a sweep to run."""
    subprocess.run(["git", "clone", "--quiet", ".", str(folder)], check=True)
    parameters = folder / "params.yaml"
    parameters.write_text(parameters.read_text().replace("dataset: mnist #", "dataset: digits #"))
    (folder / "sweeps").mkdir(exist_ok=True)
    (folder / "sweeps" / "many.yaml").write_text(SWEEP.format(trials=trials))
    subprocess.run(["dvc", "repro", "--quiet", "evaluate"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["git", "add", "--all"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "On the embedded digits"], cwd=folder, check=True)


def held_by(process: int) -> str:
    """A process's memory and open files."""
    status = Path(f"/proc/{process}/status").read_text()
    memory = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return f"{int(memory) / 1024:.0f} MB, {len(list(Path(f'/proc/{process}/fd').iterdir()))} open files"


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "clone"
        prepare(folder, trials)
        command = [sys.executable, "-u", "-m", "commands.sweep", "sweeps/many.yaml"]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as sweep:
            began = time.monotonic()
            for place, line in enumerate(sweep.stdout or (), 1):
                if "/" not in line.split("  ")[0]:
                    print(line, end="")
                elif place % STEP == 0:
                    minutes = (time.monotonic() - began) / 60
                    print(f"{place} trials, {place / minutes:.1f} a minute: {held_by(sweep.pid)}", flush=True)
        began = time.monotonic()
        subprocess.run(["dvc", "exp", "show", "--csv"], cwd=folder, capture_output=True, check=True)
        print(f"dvc exp show takes {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
