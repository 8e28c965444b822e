"""`make repro` in a fresh clone, and when it takes the embedded digits instead of MNIST."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import ROOT, Repository, warm_folder
from tests.test_faults import wait_until

REPRO = ("make", "--old-file", ".venv/installed", "repro")
FALLBACK = "*** MNIST could not be fetched: running on the digits that come with scikit-learn instead. ***"
BEGINS = """
import pathlib, sys, time
try:
    pathlib.Path("at-work").touch()
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""  # a stage that says that it has begun


def executable(path: Path, script: str) -> None:
    """Write a shell script where a program is expected."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@contextmanager
def at_work(repository: Repository, *command: str) -> Iterator[subprocess.Popen]:
    """The command, in a process group of its own, from when it makes the file `at-work` until the block ends."""
    with subprocess.Popen(
        command, cwd=repository.path, env=repository.environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            give_up = time.monotonic() + 60
            while not (repository.path / "at-work").exists():
                assert time.monotonic() < give_up, "does not begin"
                time.sleep(0.02)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def interrupted(repository: Repository, *command: str) -> str:
    """What the command printed until Ctrl-C ended it, which came when it had made the file `at-work`."""
    with at_work(repository, *command) as process:
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    return printed


@pytest.fixture
def newcomer(fresh: Repository, tmp_path: Path) -> Repository:
    """A fresh clone with an environment, on a machine without network, earlier downloads and Git identity."""
    repository = fresh.copy(tmp_path / "repository")
    (repository.path / ".venv").symlink_to(sys.prefix)
    for name in [name for name in repository.environment if name.startswith("GIT_")]:
        del repository.environment[name]
    repository.environment |= {"HTTPS_PROXY": "http://127.0.0.1:9", "GIT_CONFIG_NOSYSTEM": "1"}
    repository.environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    return repository


@pytest.fixture(params=["dash", "bash"])
def shell(request: pytest.FixtureRequest, newcomer: Repository, tmp_path: Path) -> str:
    """The argument of make's that makes a shell its sh; the scripts that make runs find it too."""
    path = shutil.which(request.param)
    if not path:
        pytest.skip(f"needs {request.param}")
    (tmp_path / "shell").mkdir()
    (tmp_path / "shell" / "sh").symlink_to(path)
    newcomer.environment["PATH"] = f"{tmp_path / 'shell'}{os.pathsep}{newcomer.environment['PATH']}"
    return f"SHELL={tmp_path / 'shell' / 'sh'}"


def fetch_that(repository: Repository, does: str) -> None:
    """Put another script in the place of the stage `fetch`."""
    (repository.path / "stages" / "fetch.py").write_text(f"{does}\n")


def has_ended(pid: str) -> bool:
    status = Path("/proc", pid, "status")
    return not status.exists() or "\nState:\tZ" in status.read_text()


def has_fallen_back(repository: Repository, printed: str) -> bool:
    return FALLBACK in printed or bool(repository.run("git", "diff", "-U0", "params.yaml").count("+  dataset: digits"))


def test_make_alone_lists_what_can_be_made(newcomer: Repository):
    listed = newcomer.run("make")
    for target in ("repro", "test", "lint"):
        assert f"make {target} " in listed


def test_a_path_with_a_colon_is_told(newcomer: Repository, tmp_path: Path):
    printed = newcomer.copy(tmp_path / "one:two").run("make", fails=True)
    assert "one:two has a colon in its path" in printed
    assert "make repro" not in printed  # which it lists where all is well


@pytest.mark.slow
def test_without_a_source_of_mnist_make_repro_runs_on_the_embedded_digits_and_says_so(newcomer: Repository):
    (newcomer.path / ".venv").unlink()
    (newcomer.path / ".venv").mkdir()
    (newcomer.path / ".venv/bin").symlink_to(warm_folder())  # forks of one Python: in less time
    printed = newcomer.run(*REPRO)
    assert FALLBACK in printed
    assert re.search(
        r"test accuracy 9\d\.\d\d% \(95% interval .*\nevery chart and picture: file://.*index.html\n", printed
    )
    assert "git checkout params.yaml && make repro" in printed
    assert newcomer.run("git", "diff", "--numstat", "params.yaml").split() == ["1", "1", "params.yaml"]
    assert "+  dataset: digits" in newcomer.run("git", "diff", "params.yaml")
    assert "up to date" in newcomer.dvc("status")
    again = newcomer.run(*REPRO)
    assert "up to date" in again
    assert "These are results on 1,797 small digits, not on MNIST" in again
    assert "came out otherwise than the last commit has it, whose bytes are not here" in again
    newcomer.environment |= {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    newcomer.commit("As it comes out here")
    assert "came out otherwise" not in newcomer.run(*REPRO)


@pytest.mark.slow
@pytest.mark.parametrize("there", ["data/raw/fetched/fashion-mnist/dataset.json", "models/model.keras"])
def test_what_is_there_is_not_replaced_by_the_embedded_digits(newcomer: Repository, there: str):
    fetch_that(newcomer, "raise SystemExit(69)")
    (newcomer.path / there).parent.mkdir(parents=True, exist_ok=True)
    (newcomer.path / there).write_text("kept")
    printed = newcomer.run(*REPRO, fails=True)
    assert "nothing was changed: what is here is not replaced by the digits" in printed
    assert not has_fallen_back(newcomer, printed)
    assert (newcomer.path / there).read_text() == "kept"


@pytest.mark.slow
def test_pictures_that_nobody_pulled_are_named_with_what_brings_them(newcomer: Repository):
    newcomer.replace("params.yaml", "dataset: mnist", "dataset: digits")
    (newcomer.path / "data/own/images.dvc").write_text(
        f"outs:\n- md5: {'0' * 32}.dir\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: images\n"
    )
    printed = newcomer.run(*REPRO, fails=True)
    assert "error: data/own/images is not here: dvc pull brings the pictures that data/own/images.dvc names" in printed


@pytest.mark.slow
def test_a_bad_parameter_is_no_missing_source(newcomer: Repository):
    newcomer.replace("params.yaml", "\nseed: 1 ", "\nseed: -1 ")
    printed = newcomer.run(*REPRO, fails=True)
    assert "seed is -1" in printed
    assert not has_fallen_back(newcomer, printed)


@pytest.mark.slow
@pytest.mark.parametrize("code", [1, 130, 169])
def test_no_other_failure_of_fetch_is_a_missing_source(newcomer: Repository, code: int):
    fetch_that(newcomer, f"print('exited with 69')\nraise SystemExit({code})")
    assert not has_fallen_back(newcomer, newcomer.run(*REPRO, fails=True))


@pytest.mark.slow
def test_no_failure_of_another_stage_is_a_missing_source(newcomer: Repository):
    newcomer.replace("params.yaml", "dataset: mnist", "dataset: digits")
    (newcomer.path / "stages" / "prepare.py").write_text("raise SystemExit(69)\n")
    assert FALLBACK not in newcomer.run(*REPRO, fails=True)


@pytest.mark.slow
def test_a_fetch_that_another_dvc_runs_is_no_missing_source(newcomer: Repository):
    fetch_that(newcomer, BEGINS)
    with at_work(newcomer, "dvc", "repro", "fetch"):
        printed = newcomer.run(*REPRO, fails=True)
    assert "busy" in printed
    assert not has_fallen_back(newcomer, printed)


@pytest.mark.slow
def test_the_dataset_is_not_changed_under_another_dvc_at_work(newcomer: Repository):
    fetch_that(newcomer, "raise SystemExit(69)")
    (newcomer.path / "stages" / "page.py").write_text(BEGINS)
    with at_work(newcomer, "dvc", "repro", "--single-item", "page") as other:
        printed = newcomer.run(*REPRO, fails=True)
    assert f"another dvc is at work in this clone, process {other.pid}" in printed
    assert not has_fallen_back(newcomer, printed)


@pytest.mark.slow
def test_ctrl_c_in_fetch_is_no_missing_source(newcomer: Repository, shell: str):
    fetch_that(newcomer, BEGINS)
    assert not has_fallen_back(newcomer, interrupted(newcomer, *REPRO, shell))


@pytest.mark.slow
def test_what_is_compiled_meanwhile_in_a_new_environment_ends_with_ctrl_c(newcomer: Repository, shell: str):
    """The environment is that of the tests, by PATH: the clone's own has nothing compiled, as it has nothing."""
    (newcomer.path / ".venv").unlink()
    (newcomer.path / ".venv").mkdir()
    fetch_that(newcomer, BEGINS)
    (newcomer.path / "stages/train.py").write_text(
        "import os, pathlib, time\npathlib.Path('compiles').write_text(str(os.getpid()))\ntime.sleep(60)\n"
    )
    with at_work(newcomer, *REPRO, shell) as process:
        while not (compiles := newcomer.path / "compiles").exists() or not compiles.read_text():
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    wait_until(partial(has_ended, compiles.read_text()))


@pytest.mark.parametrize("file", [file.name for file in ROOT.glob("requirements*.txt")])
def test_every_requirement_is_pinned_and_has_its_hashes(file: str):
    requirements = (ROOT / file).read_text().replace("\\\n", "").splitlines()
    for requirement in requirements:
        assert re.fullmatch(r"[a-z0-9.-]+==[^ ]+( ; [^-]+?)?( +--hash=sha256:[0-9a-f]{64})+", requirement), requirement
