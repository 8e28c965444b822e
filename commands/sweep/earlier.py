"""What a sweep finds done at a commit: its own experiments, and those that somebody ran by hand."""

import contextlib
import functools
import json
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.repo.experiments.refs import ExpRefInfo
from dvc.scm import Git

from commands.sweep.clone import rows_of
from commands.sweep.settings import (
    Baseline,
    Numbers,
    Setting,
    by_full_name,
    distinct,
    experiment_name,
    read_message,
)
from digits.foundation.yaml import parse_yaml
from digits.results.revisions import folder_in_git


@dataclass(frozen=True)
class Earlier:
    """The experiments of a commit that tell what a trial tells, whoever ran them.

    Attributes:
        numbers: by the names that the sweep's trials would give them.
        histories: the rows of plots/history.csv, by the same.
        names: that they have, by the same.
        settings: of which they are.
    """

    numbers: dict[str, Numbers] = field(default_factory=dict)
    histories: dict[str, list[Numbers]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    settings: list[Setting] = field(default_factory=list)


def find(at: str, sweep: str, baseline: Baseline, metric: str) -> Earlier:
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
                found.numbers[trial], found.histories[trial], found.names[trial] = numbers, _history(project), name
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


def _history(tree: Any) -> list[Numbers]:
    """The epochs of the experiment of a Git tree, as far as it has them."""
    with contextlib.suppress(KeyError, ValueError):
        return rows_of((tree / "plots/history.csv").data.decode())
    return []


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
