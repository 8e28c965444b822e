"""What several tests need: real MNIST where there is any, small splits, and this repository's pipeline, run through."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from sklearn.datasets import load_digits

from digits.arrays import PREPARED

ROOT = Path(__file__).parent.parent
ONE_EPOCH = ("epochs: 5\n    batch_size: 108\n\n  convnet-one", "epochs: 1\n    batch_size: 108\n\n  convnet-one")

# Of the tests that make up their inputs: `make test` uses the same few each time, `make torture` many others.
settings.register_profile("default", max_examples=200, derandomize=True, deadline=None, database=None)
settings.register_profile("torture", max_examples=10_000, deadline=None, database=None, print_blob=True)


class Repository:
    """A clone of this repository as it stands, uncommitted changes included, in a folder of its own."""

    def __init__(self, path: Path, home: Path) -> None:
        self.path = path
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "GIT_", "MNIST_"))}
        self.environment = keep | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),  # no one's Git identity or settings
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            **{f"GIT_{who}_{what}": "tests" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }

    def run(self, *command: str, fails: bool = False) -> str:
        """What the command printed; it has to succeed, or, with `fails`, to fail."""
        ended = subprocess.run(
            command, cwd=self.path, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )
        printed = ended.stdout + ended.stderr
        assert (ended.returncode != 0) == fails, f"{' '.join(command)} ended with {ended.returncode}:\n{printed}"
        return printed

    def dvc(self, *arguments: str, fails: bool = False) -> str:
        """What DVC printed."""
        return self.run("dvc", *arguments, fails=fails)

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
        shutil.copytree(self.path, path, symlinks=True)
        return Repository(path, Path(self.environment["HOME"]))


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
def finished(fresh: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The repository after `dvc repro` on the embedded digits, committed. Not to be changed: copy it."""
    repository = fresh.copy(tmp_path_factory.mktemp("finished") / "repository")
    repository.replace("params.yaml", "dataset: mnist", "dataset: digits")
    repository.dvc("repro")
    repository.commit("On the embedded digits")
    return repository


@pytest.fixture(scope="session")
def two_commits(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose last commit trains for one epoch instead of five. Not to be changed."""
    repository = finished.copy(tmp_path_factory.mktemp("two-commits") / "repository")
    repository.replace("params.yaml", *ONE_EPOCH)
    repository.dvc("repro")
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
    """300 of scikit-learn's digits as the pipeline holds them: float32 (300, 28, 28) in [0, 1], and their labels."""
    images, labels = load_digits(return_X_y=True)
    large = np.kron(images[:300].reshape(-1, 8, 8), np.ones((1, 3, 3)))
    return np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.float32) / 16, labels[:300].astype(np.uint8)


def write_split(name: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Put a split where the stages after `prepare` read it."""
    PREPARED.mkdir(parents=True, exist_ok=True)
    np.save(PREPARED / f"{name}_images.npy", images)
    np.save(PREPARED / f"{name}_labels.npy", labels)
