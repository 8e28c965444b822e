"""A trial, on whatever node Ray put it: a clone of the repository, `dvc exp run`, and the experiment's way back.

Ray carries this module to the nodes, so it imports nothing of this repository but what is carried along.
"""

import contextlib
import csv
import fcntl
import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ray
from ray import tune

from commands.sweep.settings import Baseline, Setting, distinct, experiment_name, options

Numbers = dict[str, float]
"""What an experiment's metrics say: `val_accuracy` and `val_loss` of train.json, `accuracy` of test.json."""

WAITS = (1, 2, 4, 8, 16, 32, 64)  # seconds, while a remote is away or a disk is full
LOOK = 0.05  # seconds between two looks at a process
ANSWER_S = 60

# A process group that ends with the process that holds its standard input, however that one ended.
LEASH = """
import os, signal, subprocess, sys, threading
def hold():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=hold, daemon=True).start()
sys.exit(subprocess.call(sys.argv[1:], stdin=subprocess.DEVNULL))
"""


class SiteTrouble(Exception):
    """A node, its disk or the remote is to blame and not the setting: elsewhere or later, the trial may go well."""


TROUBLE = (SiteTrouble, OSError)
STAGE_FAILED = re.compile("failed to reproduce .*: failed to run: ")  # else DVC itself met trouble on the way
FULL = ("No space left on device", "Disk quota exceeded")


class SettingFailed(Exception):
    """The stages refused these parameters, or died of them: so they would anywhere."""


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep have in common.

    Attributes:
        commit: they start from, as 40 hexadecimal digits.
        repository: a name for it that it has in every clone.
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
    baseline: Baseline
    seeds: tuple[int, ...]
    metric: str
    by_epoch: bool
    identity: dict[str, str]
    remote: dict[str, str]
    cache: str | None
    folder: str | None

    def settings(self, cache: Path, tmp: Path) -> str:
        """What .dvc/config.local says in a clone."""
        lines = ["[cache]", f"dir = {self.cache or cache}", "[core]", f"site_cache_dir = {tmp}"]
        if self.remote:
            lines += ["remote = sweep", "['remote \"sweep\"']", *(f"{key} = {self.remote[key]}" for key in self.remote)]
        return "\n".join(lines) + "\n"


class Mailbox:
    """Where the trials leave their experiments, and learn which there are; it is with the person who asked."""

    def __init__(self, known: dict[str, Numbers]) -> None:
        self._known = dict(known)
        self._new: dict[str, tuple[Numbers, bytes]] = {}

    def known(self, name: str) -> Numbers | None:
        """The numbers of an experiment that there is."""
        return self._known.get(name)

    def deliver(self, name: str, numbers: Numbers, bundle: bytes) -> None:
        """Leave an experiment, whole."""
        self._known[name] = numbers
        self._new[name] = numbers, bundle

    def take(self) -> dict[str, tuple[Numbers, bytes]]:
        """The experiments that came since the last time, by their names: numbers and a Git bundle."""
        taken, self._new = self._new, {}
        return taken


class Clone:
    """A clone on this node that belongs to this process as long as it lives, and stays for the next one."""

    def __init__(self, job: Job, bundle: bytes) -> None:
        self._job = job
        base = Path(job.folder or tempfile.gettempdir()) / f"sweep-{os.getuid()}-{job.repository}"
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock, self.path = _first_free(base)
        self._at_work = self.path.with_suffix(".at-work")
        self._log = self.path.with_suffix(".log")
        self._temporary = self.path.with_suffix(".temporary")
        self._warm: Path | None = None  # a folder with a `python` that is quick to begin, see warm.py
        _patiently(lambda: self._prepare(bundle))
        self._warm = self.path.with_suffix(".warm")
        self._warm.mkdir(exist_ok=True)
        (self._warm / "python").unlink(missing_ok=True)
        self._leash = self._start([sys.executable, "-m", "commands.sweep.warm", str(self._warm)], subprocess.DEVNULL)

    def _prepare(self, bundle: bytes) -> None:
        if self._at_work.exists():  # whoever had it last was killed, and may have left locks
            shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self._temporary, ignore_errors=True)  # what was killed leaves files there
        self._temporary.mkdir()
        self._at_work.touch()
        if not (self.path / ".git").exists():
            self._git("init", "--quiet", str(self.path), cwd=self.path.parent)
        if self._git("cat-file", "-e", f"{self._job.commit}^{{commit}}", check=False).returncode:
            with tempfile.NamedTemporaryFile(dir=self.path.parent) as file:
                file.write(bundle)
                file.flush()
                self._git("fetch", "--quiet", file.name, f"+HEAD:refs/heads/{self._job.sweep}")
        self._checkout()
        settings = self._job.settings(self.path.parent / "cache", self.path.with_suffix(".tmp"))
        (self.path / ".dvc" / "config.local").write_text(settings)
        self._at_work.unlink()

    def run(self, name: str, setting: Setting, seed: int) -> Iterator[dict[str, float]]:
        """Run an experiment, from the committed state.

        Yields:
            The rows of plots/history.csv as they come, of numbers alone.

        Raises:
            SettingFailed: the stages refuse the setting, or died of it.
            SiteTrouble: this node cannot run it.
        """
        pull = ["--pull"] if self._job.remote else []
        command = ["dvc", "exp", "run", "--allow-missing", *pull, "-n", name, *options(setting, seed), "evaluate"]
        self._at_work.touch()
        for wait in (*WAITS, None):
            try:
                self._checkout()
                self._remove(name)
                yield from self._rows_while(command)
                break
            except TROUBLE as error:
                _wait(wait, error)
            except SettingFailed:
                self._at_work.unlink()
                raise
        self._at_work.unlink()

    def _rows_while(self, command: list[str]) -> Iterator[dict[str, float]]:
        """The rows of the history that a command writes; raises what its failure comes to."""
        history, began, told = self.path / "plots/history.csv", time.time_ns(), 0
        with self._leashed(command) as process:
            while True:
                ended = process.poll() is not None
                rows = _rows(history) if _changed(history, began) else []
                yield from rows[told:]
                told = max(told, len(rows))
                if ended:
                    break
                time.sleep(LOOK)
        if process.returncode:
            said = self._log.read_text(errors="replace")
            refused = STAGE_FAILED.search(said) and not any(sign in said for sign in FULL)
            raise (SettingFailed if refused else SiteTrouble)(_reason(said))

    def numbers(self) -> Numbers:
        """What the experiment that just ran measured."""
        train, test = (json.loads((self.path / f"metrics/{stage}.json").read_text()) for stage in ("train", "test"))
        return {"val_accuracy": train["val_accuracy"], "val_loss": train["val_loss"], "accuracy": test["accuracy"]}

    def push(self) -> None:
        """Bring the trained network to the remote, if it has to go there.

        Raises:
            SiteTrouble: the remote stays away.
        """
        if self._job.remote:
            _patiently(lambda: list(self._rows_while(["dvc", "push", "train"])))

    def _checkout(self) -> None:
        self._git("checkout", "--quiet", "--force", "-B", self._job.sweep, self._job.commit)

    def bundle(self, name: str) -> bytes:
        """The experiment as a Git bundle; the clone forgets it."""
        with tempfile.TemporaryDirectory(dir=self.path.parent) as folder:
            file = Path(folder) / "bundle"
            self._git("bundle", "create", "--quiet", str(file), f"{self._job.commit}..{self._reference(name)}")
            content = file.read_bytes()
        self._remove(name)
        return content

    def _reference(self, name: str) -> str:
        return f"refs/exps/{self._job.commit[:2]}/{self._job.commit[2:]}/{name}"

    def _remove(self, name: str) -> None:
        self._git("update-ref", "-d", self._reference(name))

    def _git(self, *words: str, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.path, env=self._environment(), capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise SiteTrouble(f"git {words[0]}: {' '.join(done.stderr.split())}")
        return done

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "DVC_"))}
        first = f"{self._warm}{os.pathsep}" if self._warm else ""
        path = f"{first}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return kept | self._job.identity | {"PATH": path, "TMPDIR": str(self._temporary)}

    @contextlib.contextmanager
    def _leashed(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command, its output into the log; it ends with the block, at the latest with this process."""
        with self._log.open("wb") as log:
            process = self._start(command, log)
        try:
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait()

    def _start(self, command: list[str], output: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", LEASH, *command], cwd=self.path, env=self._environment(),
            stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def close(self) -> None:
        """Give the clone back."""
        if self._leash.stdin:
            self._leash.stdin.close()
        self._leash.wait()
        if self._warm:
            shutil.rmtree(self._warm, ignore_errors=True)
        self._lock.close()


def _first_free(base: Path) -> tuple[IO[str], Path]:
    for number in itertools.count():
        lock = (base / f"clone-{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return lock, base / f"clone-{number}"
    raise AssertionError("numbers have no end")


def _changed(path: Path, since: int) -> bool:
    try:
        return path.stat().st_mtime_ns > since
    except FileNotFoundError:
        return False


def _rows(history: Path) -> list[dict[str, float]]:
    """The whole lines of a table of numbers that is being written."""
    text = history.read_text()
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]


def _reason(said: str) -> str:
    """The line of what a command said that tells best why it failed."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for start in ("error: ", "ERROR: "):
        for line in reversed(lines):
            if line.startswith(start):
                return line.removeprefix(start)
    return lines[-1] if lines else "it said nothing"


def _patiently(work: Callable[[], object]) -> None:
    """Do some work, again and again while the node or the remote is in trouble.

    A node that gave up at once would take one trial after the other from those that can run them.
    """
    for wait in (*WAITS, None):
        try:
            work()
            break
        except TROUBLE as error:
            _wait(wait, error)


def _wait(seconds: int | None, error: Exception) -> None:
    if seconds is None:
        raise SiteTrouble(f"node {os.uname().nodename}: {error}") from error
    time.sleep(seconds)


class Trial(tune.Trainable):  # type: ignore[misc] # which has no types
    """A setting, with each of its seeds in turn; Ray asks it for one result after the other."""

    def setup(self, config: dict[str, Any], job: Job, bundle: bytes, mailbox: Any) -> None:
        """Take a clone and begin."""
        self._job, self._bundle, self._mailbox = job, bundle, mailbox
        self._clone: Clone | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin with another setting, in the same process and clone."""
        self._results = self._work(new_config.get("setting", new_config))
        return True

    def step(self) -> dict[str, Any]:
        """The next result: a row of the first seed's history, or the mean over the seeds that are done."""
        return next(self._results)

    def cleanup(self) -> None:
        """End what runs."""
        self._results.close()
        if self._clone:
            self._clone.close()

    def _work(self, drawn: Setting) -> Generator[dict[str, Any], None, None]:
        metric, setting = self._job.metric, distinct(drawn, self._job.baseline)
        seeds = (int(drawn["seed"]),) if "seed" in drawn else self._job.seeds
        values: list[float] = []
        epoch = 1.0
        for place, seed in enumerate(seeds):
            name = experiment_name(self._job.sweep, setting, seed)
            numbers = ray.get(self._mailbox.known.remote(name), timeout=ANSWER_S)
            try:
                if numbers is None:
                    for row in self._rows(name, setting, seed):
                        if self._job.by_epoch and not place:
                            epoch = row["epoch"]
                            yield {metric: row[metric], "epoch": epoch}
                    numbers = self._hand_over(name)
            except SettingFailed as failure:
                yield {metric: math.nan, "epoch": epoch, "failure": str(failure), "done": True}
                return
            values.append(numbers[metric])
            mean = sum(values) / len(values)
            yield {metric: mean, "epoch": epoch, "seeds_done": len(values), "done": place == len(seeds) - 1}

    def _rows(self, name: str, setting: Setting, seed: int) -> Iterator[dict[str, float]]:
        self._clone = self._clone or Clone(self._job, self._bundle)
        return self._clone.run(name, setting, seed)

    def _hand_over(self, name: str) -> Numbers:
        assert self._clone is not None
        numbers = self._clone.numbers()
        self._clone.push()
        ray.get(self._mailbox.deliver.remote(name, numbers, self._clone.bundle(name)), timeout=ANSWER_S)
        return numbers
