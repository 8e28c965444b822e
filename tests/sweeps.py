"""What the tests of sweeps share: a repository that sweeps, and two Ray nodes on the loopback to sweep on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from tests.conftest import ROOT, Repository

SWEEP = {
    "space": {"network": ["mlp"], "networks.mlp.epochs": [1, 2]},
    "search": "grid",
    "seeds": [1],
    "resources": {"cpus": 1},
}


def write_sweep(repository: Repository, name: str = "tried", **changes: object) -> str:
    """Put a sweep's file into the repository; None takes a key out. Gives its path."""
    content = {key: value for key, value in (SWEEP | changes).items() if value is not None}
    path = repository.path / "sweeps" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return f"sweeps/{name}.yaml"


def sweep(repository: Repository, *arguments: str, fails: bool = False, cold: bool = False) -> str:
    """What `python -m commands.sweep` printed."""
    return repository.run("python", "-m", "commands.sweep", *arguments, fails=fails, cold=cold)


def start_sweep(repository: Repository, *arguments: str) -> subprocess.Popen[str]:
    """`python -m commands.sweep`, to be looked at while it runs."""
    return subprocess.Popen(
        ["python", "-m", "commands.sweep", *arguments], cwd=repository.path, env=repository.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def experiments(repository: Repository) -> dict[str, str]:
    """The commits of the last commit's experiments, by their names."""
    head = repository.run("git", "rev-parse", "HEAD").strip()
    prefix = f"refs/exps/{head[:2]}/{head[2:]}/"
    listed = repository.run("git", "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return dict(line.removeprefix(prefix).split() for line in listed.splitlines())


def model(repository: Repository, revision: str) -> str:
    """The hash of a revision's trained network, as its dvc.lock has it."""
    lock = yaml.safe_load(repository.run("git", "show", f"{revision}:dvc.lock"))
    return {out["path"]: out["md5"] for out in lock["stages"]["train"]["outs"]}["models/model.keras"]


def as_a_part(repository: Repository, folder: Path) -> Repository:
    """A copy that is a part of a larger Git repository, in the folder `part`, committed."""
    part = repository.copy(folder / "part")
    (folder / "whole.txt").touch()
    shutil.rmtree(part.path / ".git")
    whole = Repository(folder, repository.home)
    whole.run("git", "init", "--quiet", "--initial-branch=main")
    whole.commit("A project among others")
    return part


def wait_for(what: Callable[[], object], seconds: float = 180) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"{what.__name__} did not come in {seconds} s"
        time.sleep(0.05)


def processes(word: str) -> dict[int, str]:
    """The command lines of the processes that run, by their number, of those that have the word in them."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if word in line:
                found[int(folder.name)] = line
    return found


def training_in(folder: Path) -> bool:
    """Whether a stage `train` is at work somewhere in a folder."""
    for pid in processes("stages.train"):
        with suppress(OSError):  # it has ended since
            if folder in Path(f"/proc/{pid}/cwd").readlink().parents:
                return True
    return False


class Nodes:
    """Two Ray nodes that run."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder, self._process = folder, process
        told = json.loads(process.stdout.readline())
        self.address, self.raylets = told["address"], told["raylets"]

    def training_on(self, node: int) -> bool:
        """Whether a stage of a trial is at work on the first or the second node."""
        return training_in(self.folder / str(node))

    def kill(self, node: int) -> None:
        """End a node as a power failure does."""
        os.kill(self.raylets[node - 1], signal.SIGKILL)


@contextmanager
def two_nodes(folder: Path, environment: dict[str, str], *variables: str) -> Iterator[Nodes]:
    """Two Ray nodes of one core each; the variables are the second one's.

    Args:
        folder: for their files; its path has to be short, as sockets' have.
        environment: that they run in.
        variables: NAME=VALUE each.
    """
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/ray_nodes.py", str(folder), *variables], env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Nodes(folder, process)
        finally:
            process.stdin.close()
            process.wait(60)
