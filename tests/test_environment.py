"""A stage's result depends on what dvc.yaml names: not on the environment, the home folder or who watches."""

from pathlib import Path

import pytest

from tests.conftest import Repository, stages_run
from tests.hostile import furnish


def assert_same_bytes(repository: Repository, printed: str) -> None:
    """All six stages ran, and left what had been there."""
    assert len(stages_run(printed)) == 7
    assert repository.run("git", "status", "--short") == ""


def test_nothing_around_a_forced_run_changes_a_byte(disturbed: Path, finished: Repository):
    """All at once, as each has a run of its own in `make test-all`, which tells what it was."""
    printed = (disturbed / "printed.txt").read_text()
    assert "\x08" in printed  # a progress bar goes back to redraw itself
    assert_same_bytes(Repository(disturbed / "with a space", finished.home), printed)


def test_a_clone_that_is_to_have_windows_line_ends_has_the_same_bytes(fresh: Repository, tmp_path: Path):
    of_windows = "image,dataset,was,is,why\r\n"  # as a spreadsheet writes it
    fresh.run("git", "clone", "--quiet", str(fresh.path), str(tmp_path / "theirs"))
    theirs, clone = (Repository(tmp_path / name, fresh.home) for name in ("theirs", "clone"))
    (theirs.path / "data/corrections.csv").write_text(of_windows, newline="")
    theirs.commit("Edit the corrections in a spreadsheet")
    fresh.run("git", "clone", "--quiet", "-c", "core.autocrlf=true", str(theirs.path), str(clone.path))
    crlf = [line.split()[-1] for line in clone.run("git", "ls-files", "--eol").splitlines() if "w/crlf" in line]
    assert crlf == ["data/corrections.csv"]
    assert (clone.path / crlf[0]).read_bytes().decode() == of_windows


@pytest.mark.torture
def test_a_forced_run_in_place_gives_the_same_bytes(repository: Repository):
    assert_same_bytes(repository, repository.dvc("repro", "--force", cold=True))


@pytest.mark.torture
def test_a_hostile_environment_and_home_change_no_byte(repository: Repository, tmp_path: Path):
    repository.environment |= furnish(tmp_path / "home")
    assert_same_bytes(repository, repository.dvc("repro", "--force", cold=True))


@pytest.mark.torture
def test_a_terminal_that_watches_changes_no_byte(repository: Repository):
    printed = repository.run_on_a_terminal("dvc", "repro", "--force")
    assert "\x08" in printed
    assert_same_bytes(repository, printed)
