"""The repository of the person who asks: what of it goes out to the nodes, what comes back, what is there already."""

import contextlib
import functools
import itertools
import json
import operator
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.experiments.refs import ExpRefInfo
from dvc.scm import Git
from scmrepo.exceptions import SCMError

from commands.sweep.settings import (
    Baseline,
    Numbers,
    Setting,
    by_full_name,
    distinct,
    experiment_name,
    read_message,
)
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


def commit() -> str:
    """The commit that trials start from, as 40 hexadecimal digits.

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
            f"{', '.join(changed[:3])}{more} differ from the last commit, and trials would not see it: "
            "`git commit` or `git stash` first, then `dvc checkout`"
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
        commit()


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


@dataclass(frozen=True)
class Earlier:
    """The experiments of a commit that tell what a trial tells, whoever ran them.

    Attributes:
        numbers: by the names that the sweep's trials would give them.
        names: that they have, by the same.
        settings: of which they are.
    """

    numbers: dict[str, Numbers] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)


def earlier(at: str, sweep: str, baseline: Baseline, metric: str) -> Earlier:
    """What a sweep finds done at a commit."""
    found = Earlier()
    with contextlib.closing(Git()) as scm:
        repository = scm.pygit2.repo
        folder = folder_in_git().parts
        here = by_full_name(
            parse_yaml((_within(repository[at].tree, folder) / "params.yaml").data, Path("params.yaml"))
        )
        for reference in sorted(scm.iter_refs(base=str(ExpRefInfo(at)))):
            experiment, name = repository[scm.get_ref(reference)], ExpRefInfo.from_ref(reference).name
            project = _within(experiment.tree, folder)
            of = read_message(experiment.message, name) or _read_setting(here, project, name)
            numbers = _numbers(project)
            if not of or metric not in numbers or "accuracy" not in numbers:
                continue
            setting = distinct(of[0], baseline)
            trial = experiment_name(sweep, setting, of[1])
            if found.names.get(trial) != trial:
                found.numbers[trial], found.names[trial] = numbers, name
                if setting not in found.settings:
                    found.settings.append(setting)
    return found


def _within(tree: Any, folder: tuple[str, ...]) -> Any:
    """The part of a Git tree that the project is."""
    return functools.reduce(operator.truediv, folder, tree)


def _numbers(tree: Any) -> Numbers:
    """What the experiment of a Git tree measured, as far as it did."""
    found: Numbers = {}
    wanted = {"train": ("val_accuracy", "val_cross_entropy"), "test": ("accuracy",), "data": ("validation",)}
    for file, names in wanted.items():
        with contextlib.suppress(KeyError):
            numbers = json.loads((tree / "metrics" / f"{file}.json").data)
            found |= {name: numbers[name] for name in names if isinstance(numbers.get(name), int | float)}
    return found


def _read_setting(here: dict[str, Any], tree: Any, name: str) -> tuple[Setting, int] | None:
    """The setting and the seed of an experiment that somebody ran by hand, if its network is of its params.yaml."""
    params, lock = (parse_yaml((tree / file).data, Path(f"{file} of {name}")) for file in ("params.yaml", "dvc.lock"))
    there = by_full_name(params)
    if there.keys() != here.keys() or not _trained_so(lock, params):
        return None
    changed = {name: value for name, value in there.items() if (value, type(value)) != (here[name], type(here[name]))}
    return changed, int(there["seed"])


def _trained_so(lock: Any, params: Any) -> bool:
    """Whether the network that was measured is the one that was trained, and as params.yaml has it."""
    try:
        train, evaluate = lock["stages"]["train"], lock["stages"]["evaluate"]
        trained = {out["path"]: out["md5"] for out in train["outs"]}["models/model.keras"]
        measured = {dep["path"]: dep["md5"] for dep in evaluate["deps"]}["models/model.keras"]
        noted, network = train["params"]["params.yaml"], params["network"]
        stand_in = params["for_own"]["take"]
        return bool(
            trained == measured
            and noted["network"] == network
            and noted["seed"] == params["seed"]
            and noted["for_own"] == params["for_own"]
            and all(noted[f"networks.{name}"] == params["networks"][name] for name in (network, stand_in))
        )
    except (KeyError, TypeError):
        return False
