"""A finished repository in which one stage at a time is made to run as if it never had."""

import hashlib
import json
import shutil

from digits.foundation.command import Refusal
from digits.foundation.yaml import parse_yaml
from tests.conftest import Repository

STAGES = ["fetch", "gather", "prepare", "train", "evaluate", "plot", "page"]
NO_OUTPUTS = (".git", ".dvc/tmp", ".dvc/cache")


def state(repository: Repository) -> dict[str, str]:
    """The SHA-256 of every file in the working tree, by path: what a run leaves, and nothing beside it."""
    return {
        str(path.relative_to(repository.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(repository.path.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and not str(path.relative_to(repository.path)).startswith(NO_OUTPUTS)
    }


def outputs(repository: Repository, stage: str) -> list[dict[str, str]]:
    """The stage's outputs, as dvc.lock has them: `path` and `md5`."""
    return parse_yaml((repository.path / "dvc.lock").read_bytes(), repository.path)["stages"][stage]["outs"]


def forget(repository: Repository, stage: str) -> None:
    """Take the stage's outputs out of the working tree and DVC's cache, and every run out of its run cache."""
    cache = repository.path / ".dvc/cache"
    shutil.rmtree(cache / "runs", ignore_errors=True)
    for output in outputs(repository, stage):
        path = repository.path / output["path"]
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        hashes = [output["md5"]]
        kept = cache / "files/md5" / output["md5"][:2] / output["md5"][2:]
        if output["md5"].endswith(".dir") and kept.exists():
            hashes += [entry["md5"] for entry in json.loads(kept.read_text())]
        for md5 in hashes:
            (cache / "files/md5" / md5[:2] / md5[2:]).unlink(missing_ok=True)


def assert_cache_is_whole(repository: Repository) -> None:
    """Every object in DVC's cache is what its name says, but for what DVC began under a hidden name on a full disk."""
    for path in (repository.path / ".dvc/cache/files/md5").glob("*/[!.]*"):
        expected = (path.parent.name + path.name).removesuffix(".dir")
        assert hashlib.md5(path.read_bytes()).hexdigest() == expected, path


def mend(repository: Repository) -> None:
    """Do what docs/what-it-survives.md says where DVC was stopped while it wrote a file of its own, which it names."""
    for file, said, *command in (
        (".dvc/tmp/rwlock", "Unable to read RWLock-file", "rm", ".dvc/tmp/rwlock"),
        ("dvc.lock", "'./dvc.lock' validation failed", "git", "checkout", "dvc.lock"),
    ):
        path = repository.path / file
        try:
            whole = not path.exists() or isinstance(parse_yaml(path.read_bytes(), path), dict)
        except Refusal:
            whole = False
        if not whole:
            assert said in repository.dvc("repro", fails=True)
            repository.run(*command)


def assert_recovers(repository: Repository, undisturbed: dict[str, str]) -> None:
    """The next `dvc repro` ends in exactly the state of an undisturbed run."""
    mend(repository)
    printed = repository.dvc("repro")
    found = state(repository)
    assert found == undisturbed, (
        f"{[path for path in found | undisturbed if found.get(path) != undisturbed.get(path)]}\n{printed}"
    )
    assert repository.run("git", "status", "--short") == ""
    assert_cache_is_whole(repository)
