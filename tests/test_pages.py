"""What README.md and docs/ tell a reader to type does what they say: typed in order, in one clone.

On real MNIST, of which they speak. The README's first chapters are typed in `make test-all` too, but on the embedded
digits, where nothing comes as they show it.
"""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.tables import PAGES, filled
from tests.conftest import ROOT, Repository
from tests.hand import write_hand

CLASSROOM = "classroom.md"
ELSEWHERE = {"make test", "make test-all", "make lint", "make bench", "make torture", "make bench QUICK=1", "make draw"}
"""What a test of the tests cannot run, or what takes long and is run before a release."""

OPTIONAL = {"draw.md": "uvicorn", "export.md": "onnxruntime"}
"""By page, what `make draw` and `make export-installed` install, without which it is left out."""


def blocks(text: str) -> list[tuple[str, str]]:
    """The console and Python blocks of a page, in order: their language and their text."""
    found = re.findall(r"^( *)```(console|python)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [(language, block.removeprefix(indent).replace(f"\n{indent}", "\n")) for indent, language, block in found]


def typed(block: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that are shown below it."""
    commands: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            commands.append((line.removeprefix("$ "), []))
        else:
            commands[-1][1].append(line.rstrip())
    return commands


def missing(shown: list[str], printed: str) -> list[str]:
    """The shown lines that did not come in their order; spaces count once, and `...` stands for any lines."""
    came = iter([" ".join(line.split()) for line in printed.splitlines()])
    return [line for line in shown if line and line != "..." and " ".join(line.split()) not in came]


@pytest.fixture(scope="module")
def reader(fresh: Repository, mnist_mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A fresh clone with the installed environment, and MNIST at hand."""
    repository = furnished(fresh.copy(tmp_path_factory.mktemp("reader") / "clone"))
    repository.environment["MNIST_MIRROR"] = str(mnist_mirror)
    return repository


def furnished(repository: Repository) -> Repository:
    """A clone with what a reader has: the installed environment, and pictures beside it."""
    (repository.path / ".venv").symlink_to(sys.prefix)
    write_hand(repository.path.parent / "my-digits", 30)
    write_hand(repository.path.parent / "more-digits", 5, first=30)
    repository.environment = repository.warm_environment  # for 60 commands that would import TensorFlow each
    return repository


@pytest.mark.slow
def test_the_readmes_commands_work_for_other_digits(two_commits: Repository, tmp_path: Path):
    repository = furnished(two_commits.copy(tmp_path / "clone"))
    repository.replace("params.yaml", "    of:\n    - mnist\n", "    of:\n    - digits\n")
    repository.dvc("repro")
    repository.commit("Join what is here")
    type_in(repository, ROOT / "README.md", until="\n## Correct what is wrong\n", compared=False)


@pytest.mark.torture
def test_what_the_pages_say_is_typed_comes_as_they_show_it(reader: Repository):
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        if page.name != CLASSROOM and find_spec(OPTIONAL.get(page.name, "dvc")):
            type_in(reader, page)


@pytest.mark.torture
def test_what_a_class_is_told_to_type_works(finished: Repository, tmp_path: Path):
    """On the embedded digits: its exercises show no figures, and train many networks."""
    finished.copy(tmp_path / "other")
    repository = finished.copy(tmp_path / "clone")
    (repository.path / ".venv").symlink_to(sys.prefix)
    repository.environment = repository.warm_environment
    type_in(repository, ROOT / "docs" / CLASSROOM)


def type_in(reader: Repository, page: Path, until: str = "", compared: bool = True) -> None:
    """Type what a page shows, up to a text that it has; with `compared`, all that it shows has to come."""
    text = page.read_text()
    with ExitStack() as at_work:
        for language, block in blocks(text[: text.index(until)] if until else text):
            if language == "python":
                reader.run("python", "-c", block)
                continue
            for command, shown in typed(block):
                words = " ".join(shlex.split(command, comments=True))
                if words in ELSEWHERE:
                    continue
                if words.endswith("&"):
                    at_work.enter_context(begun(reader, command.rstrip("& ")))
                    continue
                if words.startswith("dvc queue start"):
                    command = f"{words} >/dev/null 2>&1"  # its workers would keep a pipe open for long
                elif words.startswith("make "):
                    command = f"make --old-file .venv/installed {command.removeprefix('make ')}"
                printed = reader.run("bash", "-c", command)
                if words.startswith("dvc queue start"):
                    wait_for_the_queue(reader)
                assert not compared or missing(shown, printed) == [], f"{page.name}: {command} printed\n{printed}"


@contextmanager
def begun(repository: Repository, command: str) -> Iterator[None]:
    """What is typed with & at its end: it has begun when it has said a line, and ends with the page."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"], cwd=repository.path, env=repository.environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            assert process.stdout.readline(), f"{command} said nothing"
            yield
        finally:
            process.terminate()


def wait_for_the_queue(repository: Repository) -> None:
    """Wait until all its experiments are done, as is told before DVC asks its workers, which may fail (dvc-task#73)."""
    deadline = time.monotonic() + 280
    while re.search("Running|Queued", status := queue_status(repository)) and time.monotonic() < deadline:
        time.sleep(1)
    repository.dvc("queue", "stop", "--kill")
    assert "Success" in status, status
    assert "Failed" not in status, status


def queue_status(repository: Repository) -> str:
    return repository.run("bash", "-c", "dvc queue status || [ $? = 255 ]")


def test_lines_that_did_not_come_are_found():
    assert missing(["one  two", "...", "four"], "zero\n one two\nthree\nfour\n") == []
    assert missing(["two", "one"], "one\ntwo\n") == ["one"]
    assert typed("$ a # b\nc\n\n$ d\n") == [("a # b", ["c", ""]), ("d", [])]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_that_the_measurements_make(page: Path):
    assert page.read_text() == filled(page.read_text()), "python -m benchmarks.tables"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 160
