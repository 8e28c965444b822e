"""Running a module of this repository as a process of its own, in a workspace of its own, and measuring it whole."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Process:
    """What a process took: wall seconds, peak resident memory in MiB, and what it printed."""

    seconds: float
    memory: float
    printed: str


def make_workspace(folder: Path, prepared: Path | None, root: Path, **parameters: object) -> Path:
    """Make a folder in which stages can run: params.yaml with some values changed, and the prepared arrays.

    Args:
        folder: where, may be absent.
        prepared: a folder of prepared arrays to link to, if any.
        root: of the repository whose params.yaml it is.
        parameters: values by the last part of their key, replaced where the key stands at the start of a line, or at
            `epochs` wherever it stands.
    """
    for name in ("data", "models", "metrics", "plots"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    if prepared and not (folder / "data/prepared").exists():
        (folder / "data/prepared").symlink_to(prepared.resolve())
        for name in ("data.json", "test_images.csv"):
            shutil.copy(ROOT / "metrics" / name, folder / "metrics")
    text = (root / "params.yaml").read_text()
    for name, value in parameters.items():
        text = re.sub(rf"(?m)^((?:  )*{name}:) \S+", rf"\1 {value}", text)
    (folder / "params.yaml").write_text(text)
    return folder


def run_module(module: str, workspace: Path, root: Path = ROOT) -> Process:
    """Run `python -m module` of the repository at `root` in a workspace.

    Raises:
        RuntimeError: it ended with another exit code than 0; with what it printed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=workspace,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}:\n{printed}")
    return Process(seconds, usage.ru_maxrss / 1024, printed)
