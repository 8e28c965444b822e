"""A clone of the repository on whatever node a trial is, where `dvc exp run` runs.

Ray carries this module to the nodes, so it imports nothing of this repository but what is carried along.
"""

import contextlib
import csv
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from configobj import ConfigObj  # type: ignore[import-untyped] # DVC's
from dvc.repo.experiments.refs import ExpRefInfo
from filelock import FileLock, Timeout
from ruamel.yaml import YAML

from commands.sweep.dvc_exit import MISSING, REFUSED
from commands.sweep.settings import Baseline, Numbers, Setting, options

WAITS = (1, 2, 4, 8, 16, 32, 64)  # seconds, while a remote is away or a disk is full
NONE_VALIDATES = "prepare.validation.hold_out comes to no image, by which trials are chosen"
LOOK = 0.05  # seconds between two looks at a process

# A process group that ends with the process that holds its standard input, however that one ended.
LEASH = """
import os, signal, subprocess, sys, threading
def hold():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=hold, daemon=True).start()
sys.exit(subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL))
"""

T = TypeVar("T")


class SiteTrouble(Exception):
    """A node, its disk or the remote is to blame and not the setting: elsewhere or later, the trial may go well."""


TROUBLE = (SiteTrouble, OSError)
FULL = ("No space left on device", "Disk quota exceeded")


class SettingFailed(Exception):
    """The stages refused these parameters, or died of them: so they would anywhere."""


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep have in common.

    Attributes:
        commit: they start from, as 40 hexadecimal digits.
        repository: a name for it that it has in every clone.
        project: the project's folder in it, relative to its root.
        seeds: unless the setting has one.
        by_epoch: whether the first seed's epochs are told one by one.
        identity: environment variables that name the author of the experiments.
        remote: settings of DVC's remote; none where the cache is shared.
        cache: of the person who asked, where it can be shared.
        folder: for clones, on this machine; None for one of the node's own.
    """

    sweep: str
    commit: str
    repository: str
    project: str
    baseline: Baseline
    seeds: tuple[int, ...]
    metric: str
    by_epoch: bool
    identity: dict[str, str]
    remote: dict[str, str]
    cache: str | None
    folder: str | None


class Clone:
    """A clone on this node that belongs to this process as long as it lives, and stays for the next one."""

    def __init__(self, job: Job, bundle: bytes) -> None:
        self._job = job
        base = Path(job.folder or tempfile.gettempdir()) / f"sweep-{os.getuid()}-{job.repository}"
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock, self._root = _first_free(base)
        self.path = self._root / job.project
        self._at_work = self._root.with_suffix(".at-work")
        self._bundle = self._root.with_suffix(".bundle")
        self._log = self._root.with_suffix(".log")
        self._temporary = self._root.with_suffix(".temporary")
        self._warm = self._root.with_suffix(".warm")  # a folder with a `python` that is quick to begin, see warm.py
        list(_patiently(lambda: self._prepare(bundle)))
        self._leash = self._start([sys.executable, "-m", "commands.sweep.warm", str(self._warm)], subprocess.DEVNULL)

    def _prepare(self, bundle: bytes) -> tuple[()]:
        if self._at_work.exists():  # whoever had it last was killed, and may have left locks
            shutil.rmtree(self._root, ignore_errors=True)
        self._at_work.touch()
        for folder in (self._temporary, self._warm):  # what was killed leaves files there
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self._root.mkdir(exist_ok=True)
        self._git("init", "--quiet")
        self._bundle.write_bytes(bundle)
        self._git("fetch", "--quiet", str(self._bundle), "HEAD")
        self._checkout()
        local = ConfigObj(encoding="utf-8")  # DVC itself writes no letters beyond ASCII, and reads them
        local["cache"] = {"dir": self._job.cache or str(self._root.parent / "cache")}
        local["core"] = {"site_cache_dir": str(self._root.with_suffix(".tmp"))}
        if self._job.remote:
            local["core"]["remote"] = "sweep"
            local['remote "sweep"'] = self._job.remote
        with (self.path / ".dvc/config.local").open("wb") as file:
            local.write(file)
        self._at_work.unlink()
        return ()

    def run(self, name: str, setting: Setting, seed: int) -> Iterator[dict[str, float]]:
        """Run an experiment, from the committed state.

        Yields:
            The rows of plots/history.csv as they come, of numbers alone.

        Raises:
            SettingFailed: the stages refuse the setting, or died of it.
            SiteTrouble: this node cannot run it.
        """
        pull = ["--pull"] if self._job.remote else []
        words = ["exp", "run", "--allow-missing", *pull, "-n", name, *options(setting, seed), "evaluate"]

        def rows() -> Iterator[dict[str, float]]:
            self._checkout()
            self._remove(name)
            return self._rows_while(words)

        self._at_work.touch()
        try:
            yield from _patiently(rows)
        except SettingFailed:
            self._at_work.unlink()
            raise
        self._at_work.unlink()

    def _rows_while(self, words: list[str]) -> Iterator[dict[str, float]]:
        """The rows of the history that a command of DVC's writes; raises what its failure comes to."""
        history, began, told = self.path / "plots/history.csv", time.time_ns(), 0
        command = [sys.executable, "-m", "commands.sweep.dvc_exit", *words]
        with self._log.open("wb") as log, self._start(command, log) as process:
            ended = False
            while not ended:
                ended = process.poll() is not None
                rows = _rows(history, began)
                yield from rows[told:]
                told = max(told, len(rows))
                time.sleep(0 if ended else LOOK)
        if process.returncode:
            said = self._log.read_text(errors="replace")
            for_good = (REFUSED,) if self._job.remote else (REFUSED, MISSING)  # nobody brings what is not in the cache
            failed = process.returncode in for_good and not any(sign in said for sign in FULL)
            raise (SettingFailed if failed else SiteTrouble)(_reason(said))

    def epochs(self) -> int:
        """Of the experiment that runs, by its params.yaml; `patience` and `least_steps` may come to others."""
        parameters = YAML(typ="safe").load(self.path / "params.yaml")
        return int(parameters["networks"][parameters["network"]]["epochs"])

    def numbers(self) -> Numbers:
        """What the experiment that just ran measured; it failed if it held no image out, to be chosen by."""
        files = (self.path / f"metrics/{name}.json" for name in ("train", "test", "data"))
        train, test, data = (json.loads(file.read_bytes()) for file in files)
        if train["val_accuracy"] is None:
            raise SettingFailed(NONE_VALIDATES)
        validation = {name: train[name] for name in ("val_accuracy", "val_cross_entropy")}
        return validation | {"accuracy": test["accuracy"], "validation": data["validation"]}

    def push(self) -> None:
        """Bring the trained network to the remote, if it has to go there."""
        if self._job.remote:
            list(_patiently(lambda: self._rows_while(["push", "train"])))

    def bundle(self, name: str) -> bytes:
        """The experiment as a Git bundle; the clone forgets it."""
        reference = ExpRefInfo(self._job.commit, name)
        self._git("bundle", "create", "--quiet", str(self._bundle), f"{self._job.commit}..{reference}")
        self._remove(name)
        return self._bundle.read_bytes()

    def _checkout(self) -> None:
        self._git("checkout", "--quiet", "--force", "-B", self._job.sweep, self._job.commit)

    def _remove(self, name: str) -> None:
        self._git("update-ref", "-d", str(ExpRefInfo(self._job.commit, name)))

    def _git(self, *words: str) -> None:
        done = subprocess.run(
            ["git", *words], cwd=self._root, env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SiteTrouble(f"git {words[0]}: {' '.join(done.stderr.split())}")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
        path = os.pathsep.join([str(self._warm), str(Path(sys.executable).parent), os.environ["PATH"]])
        return kept | self._job.identity | {"PATH": path, "TMPDIR": str(self._temporary)}

    def _start(self, command: list[str], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Begin a command that ends with the block that it is the context of, at the latest with this process."""
        return subprocess.Popen(
            [sys.executable, "-c", LEASH, *command], cwd=self.path, env=self._environment(),
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        """Give the clone back."""
        with self._leash:
            pass
        shutil.rmtree(self._warm, ignore_errors=True)
        self._lock.release()


def _first_free(base: Path) -> tuple[FileLock, Path]:
    for number in itertools.count():
        lock = FileLock(base / f"clone-{number}.lock")
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
            return lock, base / f"clone-{number}"
    raise AssertionError("numbers have no end")


def _rows(history: Path, since: int) -> list[Numbers]:
    """The rows of a table that is being written; none of a table from before."""
    if not history.exists() or history.stat().st_mtime_ns <= since:
        return []
    return rows_of(history.read_text())


def rows_of(table: str) -> list[Numbers]:
    """The whole lines of a table of numbers, by the names of the columns; what is empty is left out."""
    lines = table[: table.rfind("\n") + 1].splitlines()
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]


def _reason(said: str) -> str:
    """The line of what a command said that tells best why it failed: a stage's own sentence, or else the last."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (own or lines or ["it said nothing"])[-1]


def _patiently(work: Callable[[], Iterable[T]]) -> Iterator[T]:
    """What some work yields, done again and again while the node or the remote is in trouble.

    A node that gave up at once would take one trial after the other from those that can run them.
    """
    for wait in (*WAITS, None):
        try:
            yield from work()
            return
        except TROUBLE as error:
            if wait is None:
                raise SiteTrouble(f"node {os.uname().nodename}: {error}") from error
        time.sleep(wait)
