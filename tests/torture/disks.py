"""A full and a read-only disk, in every stage: a sentence, a failure, and the next run is right. Needs root."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Repository
from tests.torture.stages import STAGES, assert_recovers, forget, state

ROOM = 50 * 2**20  # bytes, over what the repository takes


@pytest.fixture(scope="module")
def disk(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small disk of its own."""
    path = tmp_path_factory.mktemp("disk")
    taken = sum(file.stat().st_blocks * 512 for file in finished.path.rglob("*") if file.is_file())
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={2 * taken + ROOM}", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="module")
def repository(finished: Repository, disk: Path) -> Repository:
    """A repository on the small disk; each test leaves it as it was."""
    return finished.copy(disk / "repository")


@pytest.fixture(scope="module")
def undisturbed(finished: Repository) -> dict[str, str]:
    return state(finished)


def fill(disk: Path, but: int) -> Path:
    """Fill the disk with a file, but for so many bytes."""
    ballast = disk / "ballast"
    free = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_bsize - but)
    return ballast


def refuses(repository: Repository, stage: str, reason: str) -> None:
    """The stage by itself fails with one sentence, which names a file and the reason."""
    ended = subprocess.run(
        ["python", "-m", f"stages.{stage}"],
        cwd=repository.path, env=repository.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1, ended
    assert ended.stderr.startswith("error: "), ended.stderr
    assert ended.stderr.endswith(f"{reason}\n"), ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert not list(repository.path.rglob("*.partial*"))


@pytest.mark.parametrize("but", [0, 1 << 13])
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(disk: Path, repository: Repository, undisturbed: dict[str, str], stage: str, but: int):
    forget(repository, stage)
    for name in ("data/raw", "data/prepared", "models", "metrics", "plots"):
        (repository.path / name).mkdir(exist_ok=True)  # which takes no room
    ballast = fill(disk, but)
    try:
        if but == 0:
            refuses(repository, stage, "No space left on device")
        fits = stage == "gather" and but > 0  # but not twice: DVC, which cannot cache it, says so and ends with 0
        printed = repository.dvc("repro", "--force", "--single-item", stage, fails=not fits)
        assert "Traceback" not in printed
        assert not fits or "No space left on device" in printed
    finally:
        ballast.unlink()
    assert_recovers(repository, undisturbed)


@pytest.mark.parametrize("stage", STAGES)
def test_a_read_only_disk(disk: Path, repository: Repository, undisturbed: dict[str, str], stage: str):
    forget(repository, stage)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        refuses(repository, stage, "Read-only file system")
        assert "Traceback" not in repository.dvc("repro", "--force", "--single-item", stage, fails=True)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert_recovers(repository, undisturbed)
