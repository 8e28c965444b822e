"""The repository of the person who asks: what of it goes out to the nodes, and what comes back."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.experiments.refs import ExpRefInfo
from dvc.scm import Git
from scmrepo.exceptions import SCMError

from commands.sweep.settings import by_full_name
from digits.data.measured import DATA
from digits.foundation.command import Refusal
from digits.foundation.yaml import parse_yaml
from digits.results.revisions import folder_in_git, what_dvc_keeps

UNTRACKED_MATTERS = ("data", "digits", "stages")
RESULTS = "sweeps"
AGAIN = 30  # seconds that nobody is left without a word


def git(*words: str) -> bytes:
    """What Git printed, asked in this repository; a refusal where it failed."""
    # at its root: `bundle create -` makes a file of that name in any other folder (Git 2.39)
    root = Path(*[".."] * len(folder_in_git().parts))
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False)
    if done.returncode:
        raise Refusal(f"git {words[0]}: {' '.join(done.stderr.decode(errors='replace').split())}")
    return done.stdout


def commit(otherwise: str = "`git commit` or `git stash` first, then `dvc checkout`") -> str:
    """The commit that trials start from, as 40 hexadecimal digits.

    Args:
        otherwise: what to do where the workspace differs from it.

    Raises:
        Refusal: there is none, or the workspace holds changes that no trial would see.
    """
    with contextlib.closing(Git()) as scm:
        if scm.no_commits:
            raise Refusal(
                "this repository has no commit, and trials start from one: `git add` and `git commit` what is here"
            )
        if git("rev-parse", "--is-shallow-repository").strip() == b"true":
            raise Refusal(
                "this clone is shallow, and Git refuses to clone it, as trials do: `git fetch --unshallow` first"
            )
        staged, unstaged, untracked = scm.status()
        found = scm.get_rev()
    here = folder_in_git()
    tracked, new = (
        [Path(path).relative_to(here) for path in paths if here in Path(path).parents]
        for paths in (dict.fromkeys([*itertools.chain(*staged.values()), *unstaged]), untracked)
    )
    matter = [*tracked, *(path for path in new if path.parts[0] in UNTRACKED_MATTERS)]
    changed = [str(path) for path in matter if path.parts[0] != RESULTS]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise Refusal(
            f"{', '.join(changed[:3])}{more} differ from the last commit, and trials would not see it: {otherwise}"
        )
    return str(found)


def identity() -> dict[str, str]:
    """The author of the experiments, as environment variables of Git; a refusal where Git does not know the name."""
    try:
        with contextlib.closing(Git()) as scm:
            who = scm.pygit2.author
    except SCMError as error:
        raise Refusal(
            "Git does not know your name, which experiments carry: `git config user.name`, `user.email`"
        ) from error
    names = {"NAME": who.name, "EMAIL": who.email}
    return {f"GIT_{role}_{what}": names[what] for role in ("AUTHOR", "COMMITTER") for what in names}


def bundle() -> bytes:
    """HEAD with its history, as a Git bundle."""
    return git("bundle", "create", "--quiet", "-", "HEAD")


def first_commit() -> str:
    """Twelve digits that name this repository in all its clones."""
    return git("rev-list", "--max-parents=0", "HEAD").decode().split()[-1][:12]


def receive(at: str, name: str, content: bytes) -> None:
    """Take an experiment of the commit `at` in from its bundle, whole or not at all."""
    reference = ExpRefInfo(at, name)
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        git("fetch", "--quiet", "--no-write-fetch-head", "--no-auto-gc", file.name, f"+{reference}:{reference}")


def cache() -> str:
    """The folder of DVC's cache."""
    with Repo() as repo:
        return str(Path(repo.cache.local.path).parent.parent)


def remote() -> dict[str, str]:
    """The settings of DVC's default remote, by their names in a configuration file; none where there is no remote."""
    with what_dvc_keeps(), Repo() as repo:
        name = repo.config["core"].get("remote")
        settings = dict(repo.config["remote"].get(name, {})) if name else {}
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in settings.items()}


def bring_data(varied: Iterable[str]) -> None:
    """See to it that the cache holds what trials begin from: from the remote, or else by the stages that make it.

    Args:
        varied: the parameters that trials vary. Where they choose among datasets, each trial brings its own.

    Raises:
        Refusal: it cannot be had, or the stages make something else of it than the last commit has.
    """
    sections = {name.split(".")[0] for name in varied}
    if sections & {"fetch", "datasets"}:
        return
    targets = ["fetch", "gather", "prepare"] if "prepare" in sections else ["prepare"]
    if not _missing(targets):
        return
    with contextlib.suppress(DvcException, OSError), Repo() as repo, said_again("waiting for what DVC fetches"):
        repo.fetch(targets=targets)
    if missing := _missing(targets):
        print(f"{missing} is neither in the cache nor on a remote: dvc repro {' '.join(targets)}", flush=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        command = [sys.executable, "-m", "dvc", "repro", *targets]
        if subprocess.run(command, env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL, check=False).returncode:
            raise Refusal(f"{missing}, from which trials begin, is not here and cannot be made: above is why")
        commit("this is what the last commit's parameters come to, so `git commit --all` first")


def check_validation(varied: Iterable[str]) -> None:
    """Refuse to begin where no image validates, by which trials are chosen, if the last commit tells.

    Args:
        varied: the parameters that trials vary; what they vary of the data is found by each.
    """
    if {name.split(".")[0] for name in varied} & {"fetch", "datasets", "prepare"}:
        return
    lock, params = (parse_yaml(Path(file).read_bytes(), Path(file)) for file in ("dvc.lock", "params.yaml"))
    prepared, here = by_full_name(lock["stages"]["prepare"]["params"]["params.yaml"]), by_full_name(params)
    as_committed = all(here.get(name) == value for name, value in prepared.items())
    if as_committed and not json.loads(DATA.read_bytes())["validation"]:
        raise Refusal(
            f"prepare.validation.hold_out is {here['prepare.validation.hold_out']}, which comes to no image by {DATA}: "
            "trials are chosen by validation images, expected some"
        )


def _missing(targets: list[str]) -> str:
    """The first output of these stages that is not in the cache; empty where none is missing."""
    with Repo() as repo:
        outs = [out for target in targets for stage in repo.stage.collect(target) for out in stage.outs]
        return next((str(out) for out in outs if out.use_cache and out.changed_cache()), "")


@contextlib.contextmanager
def said_again(what: str) -> Iterator[None]:
    """Say what the block waits for, each AGAIN seconds: a remote that is away keeps DVC silent for minutes."""
    over, began = threading.Event(), time.monotonic()

    def say() -> None:
        while not over.wait(AGAIN):
            print(f"{what}, {time.monotonic() - began:.0f} s so far", flush=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def through_the_remote(what_else: str) -> Iterator[Any]:
    """DVC's repository, to push to its remote or fetch from there; where that fails, a refusal says `what_else`."""
    try:
        with Repo() as repo, said_again("waiting for the remote"):
            yield repo
    except (DvcException, OSError, ValueError) as error:
        raise Refusal(f"{what_else}: {' '.join(str(error).split())}") from error
