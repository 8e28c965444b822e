"""A sweep's file, read once into a plan that is known to be possible, before anything starts."""

import difflib
import itertools
import math
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from dvc.utils.hydra import to_hydra_overrides
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution
from pydantic import BeforeValidator, Field, ValidationError

from commands.sweep.settings import NEVER_RUN, Baseline, Setting, Value, by_full_name, distinct
from commands.sweep.space import ends, points, read_domain
from digits.foundation import parameters
from digits.foundation.command import Refusal
from digits.foundation.parameters import Parameters, Section, Seed, sentence
from digits.foundation.yaml import parse_yaml

MOST_POINTS = 100_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


class Resources(Section):
    """What a trial takes of a node."""

    cpus: int | None = Field(default=None, ge=1, le=1024)
    """Cores; as many as `threads` where nothing is said."""
    memory_gb: float | None = Field(default=None, gt=0, le=10_000)
    """Gigabytes, where nodes are short of them."""


def _seeds_once(seeds: object) -> object:
    if isinstance(seeds, list):
        for place, seed in enumerate(seeds):
            if seed in seeds[:place]:
                raise ValueError(f"names {reprlib.repr(seed)} twice, expected different seeds")
    return seeds


class Sweep(Section):
    """A sweep's file as it stands."""

    space: Annotated[dict[str, Annotated[Any, BeforeValidator(read_domain)]], Field(min_length=1)]
    search: Literal["grid", "random", "tpe"]
    trials: int | None = Field(default=None, ge=1, le=MOST_POINTS)
    """Settings to try; a grid tries all."""
    seeds: Annotated[list[Seed], BeforeValidator(_seeds_once), Field(min_length=1)] | None = None
    """That every setting is trained with; the one of params.yaml where nothing is said."""
    metric: Literal["val_accuracy", "val_cross_entropy"] = "val_accuracy"
    stop: Literal["asha"] | None = None
    resources: Resources = Resources()


@dataclass(frozen=True)
class Plan:
    """A sweep that has been checked against params.yaml.

    Attributes:
        name: of the file, and of all that comes of it.
        settings: all of them where `search` is grid, else None.
        trials: how many settings are tried.
        cpus: that a trial takes.
    """

    name: str
    path: Path
    sweep: Sweep
    baseline: Baseline
    seeds: tuple[int, ...]
    settings: tuple[Setting, ...] | None
    trials: int
    cpus: int

    @property
    def mode(self) -> Literal["max", "min"]:
        """Whether more of the metric is better, or less."""
        return "max" if self.sweep.metric == "val_accuracy" else "min"

    def seeds_of(self, drawn: Setting) -> tuple[int, ...]:
        """The seeds to train what was drawn with."""
        return (int(drawn["seed"]),) if "seed" in drawn else self.seeds


def read_plan(path: Path) -> Plan:
    """Read a sweep's file and check it, and all that it can come to, against params.yaml.

    Raises:
        Refusal: names the file, the key, what stands there and what was expected.
    """
    if not path.is_file():
        raise Refusal(f"{path} is no file, expected a sweep's, as sweeps/NAME.yaml")
    if path.suffix != ".yaml" or not NAME.fullmatch(path.stem):
        raise Refusal(f"{path} gives its experiments their names, expected up to 60 letters, digits, _ and -")
    content = parse_yaml(path.read_bytes(), path)
    if not isinstance(content, dict):
        raise Refusal(f"{path} holds {'nothing' if content is None else reprlib.repr(content)}, expected a sweep")
    try:
        sweep = Sweep.model_validate(content)
    except ValidationError as error:
        raise Refusal(f"{path}: {_of_domain(sentence(error))}") from error
    try:
        return _planned(path, sweep)
    except ValueError as error:
        raise Refusal(f"{path}: {error}") from error


def _of_domain(said: str) -> str:
    """`space.NAME: is empty` without the colon that a sentence of params.yaml has."""
    return re.sub(r"^((?:space|seeds)[^:]*): (is|names) ", r"\1 \2 ", said)


def _planned(path: Path, sweep: Sweep) -> Plan:
    raw = parse_yaml(parameters.PATH.read_bytes(), parameters.PATH)
    base = parameters.read_parameters()
    if "seed" in sweep.space and sweep.seeds is not None:
        raise ValueError("seeds stands beside space.seed, expected one of the two")
    given = by_full_name(raw)
    stand_ins = {base.for_own.instead_of: base.for_own.take} if base.for_own else {}
    _check_names(sweep.space, raw, given, stand_ins)
    _check_values(sweep.space, raw, given)
    baseline = Baseline(
        {name: given[name] for name in ("network", "fetch.dataset", "seed", *sweep.space)},
        {name: entry["of"] for name, entry in raw["datasets"].items() if isinstance(entry, dict) and "of" in entry},
        stand_ins,
    )
    settings = tuple(_grid(sweep, baseline)) if sweep.search == "grid" else None
    return Plan(
        name=path.stem, path=path, sweep=sweep, baseline=baseline, seeds=tuple(sweep.seeds or [base.seed]),
        settings=settings, trials=_trials(sweep) if settings is None else len(settings),
        cpus=sweep.resources.cpus or max(map(int, _values(sweep.space, "threads") or [base.threads])),
    )  # fmt: skip


def _check_names(
    space: dict[str, BaseDistribution], raw: dict[str, Any], given: Setting, stand_ins: dict[str, str]
) -> None:
    networks, datasets = _chosen(space, raw)
    if any((raw["datasets"].get(name) or {}).get("kind") == "folder" for name in datasets):
        networks |= {stand_ins[name] for name in networks if name in stand_ins}
    for name in space:
        section, *rest = name.split(".")
        if name not in given:
            close = difflib.get_close_matches(name, given, 1)
            expected = f", expected for instance {close[0]}" if close else "; what is searched over has to stand there"
            raise ValueError(f"space.{name} is no parameter of params.yaml{expected}")
        if section in NEVER_RUN:
            raise ValueError(f"space.{name} changes no trial, expected a parameter of the data or the training")
        for kind, chosen, by in (("networks", networks, "network"), ("datasets", datasets, "fetch.dataset")):
            if section == kind and rest[0] not in chosen:
                raise ValueError(
                    f"space.{name} changes nothing, as {by} is {' or '.join(sorted(chosen))}; "
                    f"give space.{by} a list with {rest[0]} in it"
                )
        try:
            to_hydra_overrides([f"{name}=0"])
        except OverrideParseException as error:
            raise ValueError(
                f"space.{name} cannot be set by `dvc exp run -S`, expected a name of letters a to z, digits, _ and -"
            ) from error


def _chosen(space: dict[str, BaseDistribution], raw: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The networks and the datasets that a setting can come to."""
    networks = {str(name) for name in _values(space, "network") or [raw["network"]]}
    datasets = {str(name) for name in _values(space, "fetch.dataset") or [raw["fetch"]["dataset"]]}
    joined = {part for name in datasets for part in (raw["datasets"].get(name) or {}).get("of", [])}
    return networks, datasets | joined


def _values(space: dict[str, BaseDistribution], name: str) -> tuple[Value, ...]:
    return ends(space[name]) if name in space else ()


def _check_values(space: dict[str, BaseDistribution], raw: dict[str, Any], given: Setting) -> None:
    """Try each value at its place, everything else as in params.yaml, and a part of a network in that network."""
    for name, domain in space.items():
        section, *rest = name.split(".")
        for value in ends(domain):
            if section == "networks" and not _alike(value, given[name]):  # Keras's arguments are of no known kind
                raise ValueError(
                    f"space.{name}: {value!r} stands where params.yaml has {given[name]!r}, expected its like"
                )
            changed = OmegaConf.create(raw)
            if section == "networks":
                changed.network = rest[0]
            elif section == "datasets":
                changed.fetch.dataset = rest[0]
            OmegaConf.update(changed, name, value)
            try:
                checked = Parameters.model_validate(OmegaConf.to_container(changed))
            except ValidationError as error:
                raise ValueError(f"space.{name}: {sentence(error)}") from error
            if checked.prepare.validation.hold_out == 0:
                raise ValueError(
                    "prepare.validation.hold_out is 0: trials are chosen by validation images, expected some"
                )


def _alike(value: Value, stands: object) -> bool:
    def kind(of: object) -> object:
        return bool if isinstance(of, bool) else str if isinstance(of, str) else float

    return kind(value) is kind(stands) or stands in ("classes", None)


def _grid(sweep: Sweep, baseline: Baseline) -> Iterator[Setting]:
    """Every setting once; two that differ in what does not matter to them are one."""
    if sweep.trials is not None:
        raise ValueError(f"trials is {sweep.trials}, expected none with search: grid, which tries every setting")
    axes = {name: points(domain) for name, domain in sweep.space.items()}
    for name, axis in axes.items():
        if axis is None:
            raise ValueError(f"space.{name} has no end of values, expected a list or a range in a grid")
    count = _count(sweep)
    if count > MOST_POINTS:
        raise ValueError(f"the grid has {count:,} points, expected up to {MOST_POINTS:,}; search: random takes some")
    seen = set()
    for values in itertools.product(*(axis or () for axis in axes.values())):
        drawn = dict(zip(axes, values, strict=True))
        trained = tuple(distinct(drawn, baseline).items()), drawn.get("seed")
        if trained not in seen:
            seen.add(trained)
            yield drawn


def _count(sweep: Sweep) -> float:
    axes = map(points, sweep.space.values())
    return math.prod(math.inf if axis is None else len(axis) for axis in axes)


def _trials(sweep: Sweep) -> int:
    if sweep.trials is None:
        raise ValueError(f"trials is missing, expected how many settings search: {sweep.search} is to try")
    count = _count(sweep)
    if count < sweep.trials:
        raise ValueError(f"trials is {sweep.trials:,}, the space has {count:,} settings: search: grid tries them all")
    return sweep.trials
