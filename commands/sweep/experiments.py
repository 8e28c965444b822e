"""The repository of the person who asks: what of it goes out to the nodes, what comes back, what is there already."""

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from commands.sweep.settings import Baseline, Setting, distinct, experiment_name, read_message
from commands.sweep.trial import Numbers
from digits.foundation.command import Refusal
from digits.foundation.yaml import parse_yaml

UNTRACKED_MATTERS = ("data", "digits", "stages")
RESULTS = "sweeps"


def git(*words: str, given: bytes | None = None) -> bytes:
    """What Git printed, asked in this repository.

    Raises:
        Refusal: it failed; says why.
    """
    done = subprocess.run(["git", *words], input=given, capture_output=True, check=False)
    if done.returncode:
        raise Refusal(f"git {words[0]}: {' '.join(done.stderr.decode(errors='replace').split())}")
    return done.stdout


def commit() -> str:
    """The commit that trials start from, as 40 hexadecimal digits.

    Raises:
        Refusal: there is none, or the workspace holds changes that no trial would see.
    """
    found = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "HEAD"], capture_output=True, check=False)
    if found.returncode:
        raise Refusal(
            "this repository has no commit, and trials start from one: `git add` and `git commit` what is here"
        )
    changed = [
        line[3:]
        for line in git("status", "--porcelain", "--untracked-files=all").decode().splitlines()
        if not line[3:].startswith(f"{RESULTS}/") and (line[:2] != "??" or line[3:].split("/")[0] in UNTRACKED_MATTERS)
    ]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise Refusal(
            f"{', '.join(changed[:3])}{more} differ from the last commit, and trials would not see it: "
            "`git commit` or `git stash` first, then `dvc checkout`"
        )
    return found.stdout.decode().strip()


def identity() -> dict[str, str]:
    """The author of the experiments, as environment variables of Git.

    Raises:
        Refusal: Git does not know the person's name.
    """
    said = subprocess.run(["git", "var", "GIT_AUTHOR_IDENT"], capture_output=True, text=True, check=False)
    who = re.match(r"(?P<NAME>.*) <(?P<EMAIL>.*)> ", said.stdout)
    if said.returncode or not who:
        raise Refusal("Git does not know your name, which experiments carry: `git config user.name`, `user.email`")
    return {f"GIT_{role}_{what}": who[what] for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def bundle() -> bytes:
    """HEAD with its history, as a Git bundle."""
    return git("bundle", "create", "--quiet", "-", "HEAD")


def first_commit() -> str:
    """Twelve digits that name this repository in all its clones."""
    return git("rev-list", "--max-parents=0", "HEAD").decode().split()[-1][:12]


def receive(at: str, name: str, content: bytes) -> None:
    """Take an experiment of the commit `at` in from its bundle, whole or not at all."""
    reference = f"refs/exps/{at[:2]}/{at[2:]}/{name}"
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
    with Repo() as repo:
        name = repo.config["core"].get("remote")
        settings = dict(repo.config["remote"].get(name, {})) if name else {}
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in settings.items()}


def push_data() -> None:
    """Bring what trials read to the remote.

    Raises:
        Refusal: the remote does not answer.
    """
    try:
        with Repo() as repo:
            repo.push(targets=["prepare"])
    except (DvcException, OSError, ValueError) as error:
        raise Refusal(f"what trials read cannot be pushed to the remote: {' '.join(str(error).split())}") from error


def fetch_networks(revisions: list[str]) -> None:
    """Bring the networks of experiments from the remote into the cache, so that they can be applied.

    Raises:
        Refusal: the remote does not give them.
    """
    try:
        with Repo() as repo:
            repo.fetch(targets=["train"], revs=revisions)
    except (DvcException, OSError, ValueError) as error:
        raise Refusal(f"the best networks cannot be fetched from the remote: {' '.join(str(error).split())}") from error


@dataclass(frozen=True)
class Earlier:
    """The experiments of a commit that tell what a trial tells, whoever ran them.

    Attributes:
        numbers: by the names that the sweep's trials would give them.
        names: that they have, by the same.
        settings: of which they are.
    """

    numbers: dict[str, Numbers]
    names: dict[str, str]
    settings: list[Setting]


def earlier(at: str, sweep: str, baseline: Baseline, metric: str) -> Earlier:
    """What a sweep finds done at a commit."""
    found = Earlier({}, {}, [])
    for setting, seed, name, numbers in _known(at, baseline):
        trial = experiment_name(sweep, setting, seed)
        if metric in numbers and "accuracy" in numbers and found.names.get(trial) != trial:
            found.numbers[trial], found.names[trial] = numbers, name
            if setting not in found.settings:
                found.settings.append(setting)
    return found


def _known(at: str, baseline: Baseline) -> Iterator[tuple[Setting, int, str, Numbers]]:
    """The experiments of a commit.

    Yields:
        The setting, the seed, the experiment's name, its numbers.
    """
    prefix = f"refs/exps/{at[:2]}/{at[2:]}/"
    listed = git("for-each-ref", "--format=%(refname) %(subject)", prefix).decode().replace(prefix, "").splitlines()
    messages = dict(line.split(" ", 1) for line in listed)
    files = ("metrics/train.json", "metrics/test.json", "params.yaml", "dvc.lock")
    asked = "".join(f"{prefix}{name}:{file}\n" for name in messages for file in files)
    contents = list(_contents(git("cat-file", "--batch", given=asked.encode())))
    here = parse_yaml(git("show", f"{at}:params.yaml"), Path("params.yaml")) if messages else {}
    for place, (name, message) in enumerate(messages.items()):
        train, test, params, lock = contents[4 * place : 4 * place + 4]
        if train is None or test is None or params is None or lock is None:
            continue
        of = read_message(message, name) or _read_setting(here, params, lock, name)
        if of:
            numbers = {**_pick(train, ("val_accuracy", "val_loss")), **_pick(test, ("accuracy",))}
            yield distinct(of[0], baseline), of[1], name, numbers


def _read_setting(here: Any, params: bytes, lock: bytes, name: str) -> tuple[Setting, int] | None:
    """The setting and the seed of an experiment that somebody ran by hand."""
    there = parse_yaml(params, Path(f"params.yaml of {name}"))
    changes = _changes(here, there)
    if changes is None or not _whole(parse_yaml(lock, Path(f"dvc.lock of {name}")), there):
        return None
    return changes, int(there["seed"])


def _contents(answer: bytes) -> Iterator[bytes | None]:
    place = 0
    while place < len(answer):
        end = answer.index(b"\n", place)
        *_, kind = answer[place:end].split(b" ")
        if kind == b"missing":
            place = end + 1
            yield None
        else:
            size = int(kind)
            yield answer[end + 1 : end + 1 + size]
            place = end + 2 + size


def _pick(content: bytes, wanted: tuple[str, ...]) -> Numbers:
    numbers = json.loads(content)
    return {name: numbers[name] for name in wanted if isinstance(numbers.get(name), int | float)}


def _changes(here: Any, there: Any, name: str = "") -> Setting | None:
    """What stands otherwise there, by full names; None if something is there or here alone."""
    if isinstance(here, dict) and isinstance(there, dict) and here.keys() == there.keys():
        pairs = [(f"{name}.{key}" if name else key, here[key], there[key]) for key in here]
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        pairs = [(f"{name}.{place}", *both) for place, both in enumerate(zip(here, there, strict=True))]
    elif isinstance(there, dict | list) or isinstance(here, dict | list):
        return None
    else:
        return {name: there} if here != there or type(here) is not type(there) else {}
    changes: Setting = {}
    for whole, one, other in pairs:
        inner = _changes(one, other, whole)
        if inner is None:
            return None
        changes |= inner
    return changes


def _whole(lock: Any, params: Any) -> bool:
    """Whether the network that was measured is the one that was trained, and as params.yaml has it."""
    try:
        train, evaluate = lock["stages"]["train"], lock["stages"]["evaluate"]
        trained = {out["path"]: out["md5"] for out in train["outs"]}["models/model.keras"]
        measured = {dep["path"]: dep["md5"] for dep in evaluate["deps"]}["models/model.keras"]
        noted, network = train["params"]["params.yaml"], params["network"]
        return bool(
            trained == measured
            and noted["network"] == network
            and noted["seed"] == params["seed"]
            and noted[f"networks.{network}"] == params["networks"][network]
        )
    except (KeyError, TypeError):
        return False
