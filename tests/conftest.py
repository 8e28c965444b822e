"""What several tests need: real MNIST where there is any, small splits, and this repository's pipeline, run through."""

import atexit
import gc
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from digits.data.prepared import PREPARED
from digits.data.task import Task
from digits.foundation import command
from digits.foundation.parameters import Network
from tests.hostile import furnish

if TYPE_CHECKING:
    import keras

DIGITS = Task([str(digit) for digit in range(10)], "digit")
ROOT = Path(__file__).parent.parent
MADE_ONCE = ["reader", "one_epoch", "another_network", "queued", "disturbed", "finished", "fresh"]  # see below
SLOW = {"another_network", "chromium", "disturbed", "one_epoch"}  # a second run of the pipeline, or a browser
LEFT = pytest.StashKey[int]()  # how many tests were left out
WARM = ["dvc.cli.parser", "dvc.repo.reproduce", "dvc.repo.experiments.executor.local", "dvc_http", "networkx",
        "matplotlib.backends.backend_agg", "matplotlib.pyplot", "sklearn.datasets", "sklearn.model_selection",
        "vl_convert"]  # fmt: skip
ONE_EPOCH = ("epochs: 5\n    batch_size: 108\n\n  convnet-one", "epochs: 1\n    batch_size: 108\n\n  convnet-one")

# Of the tests that make up their inputs: `make test` and test-all use the same each time, `make torture` others.
settings.register_profile("default", max_examples=100, derandomize=True, deadline=None, database=None)
settings.register_profile("torture", max_examples=10_000, deadline=None, database=None, print_blob=True)

gc.set_threshold(command.YOUNG)
signal.signal(signal.SIGINT, partial(signal.default_int_handler))  # which no stage takes over that runs in this process


@cache
def warm_folder() -> Path:
    """A folder with a `python` and a `dvc` that are forks of one Python, which has their libraries (see warm.py)."""
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "home").mkdir()  # no one's Git settings
    process = subprocess.Popen(
        [sys.executable, "-m", "commands.sweep.warm", str(folder), *WARM],
        cwd=ROOT, env=os.environ | {"HOME": str(folder / "home")}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    while not (folder / "python").exists() and process.poll() is None:  # where it can't be, it ends
        time.sleep(0.1)
    if process.poll() is None:
        (folder / "dvc").write_text(f'#!/bin/sh\nexec "{folder}/python" -m dvc "$@"\n')
        (folder / "dvc").chmod(0o755)
    return folder


class Repository:
    """A clone of this repository as it stands, uncommitted changes included, in a folder of its own."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path = path
        self.home = home
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "MNIST_"))}
        self.environment = keep | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),  # no one's Git identity or settings
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            **{f"GIT_{who}_{what}": "tests" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    @property
    def warm_environment(self) -> dict[str, str]:
        """An environment in which `dvc` and `python -m` are forks of a Python that has imported the libraries."""
        return self.environment | {"PATH": f"{warm_folder()}{os.pathsep}{self.environment['PATH']}"}

    def run(self, *command: str, fails: bool = False, cold: bool = False) -> str:
        """What the command printed; it has to succeed, or, with `fails`, to fail.

        Args:
            command: its words; where the first is dvc or python, it runs in `warm_environment`.
            fails: whether it is expected to.
            cold: that it is to begin from nothing, as a person's does: for what begins, or depends on all around it.
        """
        warm = command[0] in {"dvc", "python"} and not cold
        ended = subprocess.run(
            command, cwd=self.path, env=self.warm_environment if warm else self.environment, capture_output=True,
            text=True, timeout=900, check=False,
        )  # fmt: skip
        printed = ended.stdout + ended.stderr
        assert (ended.returncode != 0) == fails, f"{' '.join(command)} ended with {ended.returncode}:\n{printed}"
        return printed

    def dvc(self, *arguments: str, fails: bool = False, cold: bool = False) -> str:
        """What DVC printed."""
        return self.run("dvc", *arguments, fails=fails, cold=cold)

    def run_on_a_terminal(self, *command: str) -> str:
        """What the command printed to a terminal of its own."""
        terminal, there = pty.openpty()
        with subprocess.Popen(command, cwd=self.path, env=self.environment, stdout=there, stderr=there) as process:
            os.close(there)
            printed = bytearray()
            with suppress(OSError):  # which ends what a terminal gives, once nobody has it open
                while part := os.read(terminal, 2**16):
                    printed += part
        os.close(terminal)
        assert process.returncode == 0, printed.decode()
        return printed.decode()

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace a text that stands in a file exactly once."""
        content = (self.path / file).read_text()
        assert content.count(old) == 1, f"{old!r} stands in {file} {content.count(old)} times"
        (self.path / file).write_text(content.replace(old, new))

    def copy(self, path: Path) -> "Repository":
        """The same repository elsewhere, its DVC cache and outputs included."""
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", self.path, path], check=True)  # in half the time of shutil's
        return Repository(path, self.home)


def stages_run(printed: str) -> list[str]:
    """The stages that DVC says it ran."""
    return [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the tests that are marked as slow, too")


def left_out(item: pytest.Item) -> str | None:
    """What runs a test that `make test` leaves out: it is marked as slow or torture, or needs what is slow to make."""
    slow = item.get_closest_marker("slow") or SLOW & {*getattr(item, "fixturenames", ())}
    return "make torture" if item.get_closest_marker("torture") else "make test-all" if slow else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long unless it is asked for, and put first what runs the pipeline.

    Of two processes, the one begins with that, what takes longest to make at the very first, and the other has all the
    rest to do while what they share is made.
    """
    asked_for = config.option.markexpr or any("::" in name for name in config.args)
    if not asked_for and settings.get_current_profile_name() != "torture":
        left = [item for item in items if left_out(item) not in {None, "make test-all" if config.option.all else None}]
        config.hook.pytest_deselected(items=left)
        config.stash[LEFT] = len(left)
        items[:] = [item for item in items if item not in left]

    def later(item: pytest.Item) -> int:
        needed = getattr(item, "fixturenames", ())
        short = len(MADE_ONCE) + (item.get_closest_marker("slow") is None)  # a long one at the end would run alone
        return next((place for place, name in enumerate(MADE_ONCE) if name in needed), short)

    items.sort(key=later)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell pytest's main process, which collects nothing, what was left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = session.config.stash.get(LEFT, 0)
    gc.freeze()  # as where a command ends


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT] = getattr(node, "workeroutput", {}).get("left", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(LEFT, 0)
    for report in [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]:
        for name, value in report.user_properties if report.when == "call" else []:
            terminalreporter.write_line(f"{name}: {value}")
    where = "make torture" if config.option.all else "make test-all and make torture"
    terminalreporter.write_line(f"{left} {'test was' if left == 1 else 'tests were'} left to {where}")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository as a fresh clone has it: one commit, no outputs but those in Git."""
    folder = tmp_path_factory.mktemp("fresh")
    repository = Repository(folder / "repository", folder / "home")
    (folder / "home").mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (repository.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, repository.path / name)
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    repository.commit("As it stands")
    return repository


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Gives the folder of a name: the first process of this test run to ask makes it, the others wait and find it.

    Nobody is to change it: tests that run side by side share it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def give(name: str, make: Callable[[Path], None]) -> Path:
        folder, mark = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not mark.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failure left behind
                folder.mkdir()
                make(folder)
                mark.touch()
        return folder

    return give


MadeOnce = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def finished(fresh: Repository, made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository after `dvc repro` on the embedded digits, committed. Not to be changed: copy it."""

    def make(folder: Path) -> None:
        repository = fresh.copy(folder / "repository")
        repository.replace("params.yaml", "dataset: mnist", "dataset: digits")
        repository.dvc("repro")
        repository.commit("On the embedded digits")
        repository.run("git", "gc", "--quiet")  # fewer files to copy

    made = Repository(made_once("finished", make) / "repository", fresh.home)
    return made.copy(tmp_path_factory.mktemp("finished") / "repository")  # DVC locks what it only looks at, too


@pytest.fixture(scope="session")
def one_epoch(finished: Repository, made_once: MadeOnce) -> Path:
    """A folder with the repository after `dvc exp run` of one epoch instead of five, and what that printed."""

    def make(folder: Path) -> None:
        repository = finished.copy(folder / "repository")
        printed = repository.dvc("exp", "run", "--name", "one-epoch", "--set-param", "networks.convnet.epochs=1")
        (folder / "printed.txt").write_text(printed)

    return made_once("one-epoch", make)


@pytest.fixture(scope="session")
def another_network(finished: Repository, made_once: MadeOnce) -> Path:
    """A folder with the repository after `dvc repro evaluate` of relu-128-128, not convnet, and what that printed."""

    def make(folder: Path) -> None:
        repository = finished.copy(folder / "repository")
        repository.replace("params.yaml", "network: convnet", "network: relu-128-128")
        (folder / "printed.txt").write_text(repository.dvc("repro", "evaluate"))

    return made_once("another-network", make)


@pytest.fixture
def replaceable(another_network: Path, finished: Repository, tmp_path: Path) -> Repository:
    """The repository with relu-128-128 in its working tree, to change at will.

    There `git checkout . && dvc checkout` gives convnet, without training, and `dvc repro evaluate` relu-128-128 again.
    """
    return Repository(another_network / "repository", finished.home).copy(tmp_path / "replaceable")


@pytest.fixture(scope="session")
def predicted(finished: Repository, made_once: MadeOnce) -> dict[str, dict[str, Any]]:
    """By the names of two of docs/samples, what `predict --json` says of them with the finished network."""

    def make(folder: Path) -> None:
        samples = [str(ROOT / "docs/samples" / name) for name in ("four.png", "seven.jpg")]
        (folder / "said.json").write_text(finished.run("python", "-m", "commands.predict", "--json", *samples))

    entries = json.loads((made_once("predicted", make) / "said.json").read_text())
    return {Path(entry["path"]).name: entry for entry in entries}


@pytest.fixture
def experiment(one_epoch: Path, finished: Repository, tmp_path: Path) -> Repository:
    """The finished repository with the experiment `one-epoch` in its working tree, to change at will."""
    return Repository(one_epoch / "repository", finished.home).copy(tmp_path / "repository")


@pytest.fixture(scope="session")
def disturbed(finished: Repository, made_once: MadeOnce) -> Path:
    """A folder with the repository after a forced run under all that is not to matter, and under audit.

    It ran in place, elsewhere than before, on one core, for a terminal that watches, in another time zone and language,
    with another umask and hash seed, in a hostile environment and home. `with a space` is the repository, printed.txt
    what was printed, STAGE.json what audit.py reports.
    """

    def make(folder: Path) -> None:
        repository = finished.copy(folder / "with a space")
        python = folder / "bin/python"  # that dvc.yaml's `python -m stages.NAME` finds first
        python.parent.mkdir()
        python.write_text(
            f'#!/bin/sh\nexec {sys.executable} -B {ROOT}/tests/audit.py "${{2#stages.}}" '
            f'{folder}/"${{2#stages.}}".json\n'
        )
        python.chmod(0o755)
        repository.environment |= furnish(folder / "home") | {
            "PATH": f"{python.parent}{os.pathsep}{repository.environment['PATH']}",
            "TZ": "Asia/Tokyo", "LC_ALL": "C", "PYTHONHASHSEED": "7",
        }  # fmt: skip
        printed = repository.run_on_a_terminal("sh", "-c", "umask 077; taskset --cpu-list 0 dvc repro --force")
        (folder / "printed.txt").write_text(printed)

    return made_once("disturbed", make)


@pytest.fixture(scope="session")
def two_commits(one_epoch: Path, finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose last commit trains for one epoch instead of five. Not to be changed."""
    made = Repository(one_epoch / "repository", finished.home)
    repository = made.copy(tmp_path_factory.mktemp("two-commits") / "repository")
    repository.commit("One epoch")
    return repository


@pytest.fixture(scope="session")
def clone(two_commits: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A fresh clone of it, without cache and remote. Not to be changed."""
    folder = tmp_path_factory.mktemp("clone")
    two_commits.run("git", "clone", "--quiet", str(two_commits.path), str(folder / "repository"))
    return Repository(folder / "repository", folder)


@pytest.fixture
def repository(finished: Repository, tmp_path: Path) -> Repository:
    """A copy of the finished repository, to change at will."""
    return finished.copy(tmp_path / "repository")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def mnist_mirror() -> Path:
    """A folder with real MNIST's four .gz files."""
    mirror = os.environ.get("MNIST_MIRROR", "")
    if not Path(mirror).is_dir() or not mirror:
        pytest.skip("needs real MNIST: set MNIST_MIRROR to a folder with its four .gz files")
    return Path(mirror).resolve()


@pytest.fixture(scope="session")
def small_split() -> tuple[np.ndarray, np.ndarray]:
    """300 of scikit-learn's digits."""
    return some_split(0, 300)


def some_split(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Some of scikit-learn's digits as the pipeline holds them: float32 (n, 28, 28, 1) in [0, 1], and their labels."""
    from sklearn.datasets import load_digits  # of pytest's processes, the one that runs no test does without

    images, labels = load_digits(return_X_y=True)
    large = np.kron(images[start:stop].reshape(-1, 8, 8), np.ones((1, 3, 3)))
    padded = np.pad(large, ((0, 0), (2, 2), (2, 2)))[..., None].astype(np.float32)
    return padded / 16, labels[start:stop].astype(np.uint8)


def built(network: Network, shape: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> "keras.Sequential":
    """The network as digits.network.construction builds it, MNIST's images and classes unless told otherwise."""
    from digits.network.construction import build

    return build("x", network, shape, classes)


def write_split(name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Put a split where the stages after `prepare` read it."""
    PREPARED.mkdir(parents=True, exist_ok=True)
    np.save(PREPARED / f"{name}_images.npy", images)
    np.save(PREPARED / f"{name}_labels.npy", labels)
