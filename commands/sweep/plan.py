"""A sweep's file, read once into a plan that is known to be possible, before anything starts."""

import copy
import difflib
import itertools
import math
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from commands.sweep.settings import DIGITS, NEVER_RUN, Baseline, Setting, Value, distinct
from digits.foundation import parameters
from digits.foundation.command import Refusal
from digits.foundation.parameters import Parameters, Section, Seed, sentence
from digits.foundation.yaml import parse_yaml

MOST_POINTS = 100_000
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True)
class Choices:
    """A parameter that takes one of these values."""

    options: tuple[Value, ...]

    def ends(self) -> tuple[Value, ...]:
        """The values that stand for all."""
        return self.options

    def points(self) -> tuple[Value, ...] | None:
        """Every value, or None where there is no end to them."""
        return self.options


@dataclass(frozen=True)
class Interval:
    """A parameter between two ends, both of them included; a step makes whole numbers of it."""

    low: float
    high: float
    step: int | None
    logarithmic: bool

    def ends(self) -> tuple[Value, ...]:
        """The values that stand for all."""
        return (self.low, self.high)

    def points(self) -> tuple[Value, ...] | None:
        """Every value, or None where there is no end to them."""
        return None if self.step is None else tuple(range(int(self.low), int(self.high) + 1, self.step))

    def rounded(self, value: float) -> Value:
        """A drawn value in as many digits as are told."""
        if self.step is not None:
            return int(value)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


Domain = Choices | Interval
KINDS = ("range", "uniform", "logarithmic")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _domain(found: object) -> Domain:
    match found:
        case []:
            raise ValueError("is empty, expected values to choose from")
        case [*values]:
            return _choices(values)
        case dict() if len(found) == 1:
            ((kind, ends),) = found.items()
            if kind not in KINDS:
                raise ValueError(
                    f"{reprlib.repr(kind)} is an unknown kind, expected one of {', '.join(KINDS)}, or a list"
                )
            return _interval(kind, ends)
    raise ValueError(
        f"is {reprlib.repr(found)}, expected a list of values, {{range: [LOW, HIGH, STEP]}}, {{uniform: [LOW, HIGH]}} "
        "or {logarithmic: [LOW, HIGH]}"
    )


def _choices(values: list[object]) -> Choices:
    checked: list[Value] = []
    for value in values:
        if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"names {reprlib.repr(value)}, expected a number, a word, true or false")
        if any(value == other and type(value) is type(other) for other in checked):
            raise ValueError(f"names {value!r} twice")
        checked.append(value)
    return Choices(tuple(checked))


def _interval(kind: str, ends: object) -> Interval:
    lengths = (2, 3) if kind == "range" else (2,)
    if not isinstance(ends, list) or len(ends) not in lengths or not all(map(_is_number, ends)):
        raise ValueError(
            f"{kind} is {reprlib.repr(ends)}, expected [LOW, HIGH{', STEP' if kind == 'range' else ''}], all numbers"
        )
    whole = all(isinstance(end, int) for end in ends)
    if kind == "range" and (not whole or (len(ends) == 3 and ends[2] < 1)):
        raise ValueError(f"range is {ends}, expected whole numbers and a step from 1 up")
    low, high, *step = ends
    if not low < high:
        raise ValueError(f"{kind} is {ends}, expected the lower end first and a higher one")
    if kind == "logarithmic" and low <= 0:
        raise ValueError(f"logarithmic is {ends}, expected ends above 0")
    return Interval(low, high, (step or [1])[0] if whole else None, kind == "logarithmic")


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

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True, strict=True)

    space: Annotated[dict[str, Annotated[Choices | Interval, BeforeValidator(_domain)]], Field(min_length=1)]
    search: Literal["grid", "random", "tpe"]
    trials: int | None = Field(default=None, ge=1, le=MOST_POINTS)
    """Settings to try; a grid tries all."""
    seeds: Annotated[list[Seed], BeforeValidator(_seeds_once), Field(min_length=1)] | None = None
    """That every setting is trained with; the one of params.yaml where nothing is said."""
    metric: Literal["val_accuracy", "val_loss"] = "val_accuracy"
    stop: Literal["asha"] | None = None
    resources: Resources = Resources()


@dataclass(frozen=True)
class Plan:
    """A sweep that has been checked against params.yaml.

    Attributes:
        name: of the file, and of all that comes of it.
        settings: all of them where `search` is grid, else None.
        trials: how many settings are tried.
        epochs: the most that any setting trains.
        cpus: that a trial takes.
    """

    name: str
    path: Path
    sweep: Sweep
    baseline: Baseline
    seeds: tuple[int, ...]
    settings: tuple[Setting, ...] | None
    trials: int
    epochs: int
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
    _check_names(sweep.space, raw)
    _check_values(sweep.space, raw)
    always = ("network", "fetch.dataset", "seed")
    baseline = Baseline(
        {name: _value(raw, name) for name in (*always, *sweep.space)},
        {name: entry["of"] for name, entry in raw["datasets"].items() if isinstance(entry, dict) and "of" in entry},
    )
    settings: tuple[Setting, ...] | None = None
    if sweep.search == "grid":
        settings = tuple(_grid(sweep, baseline))
        trials = len(settings)
        if sweep.trials is not None:
            raise ValueError(f"trials is {sweep.trials}, expected none with search: grid, which tries every setting")
    else:
        trials = _trials(sweep, sweep.trials)
    return Plan(
        name=path.stem, path=path, sweep=sweep, baseline=baseline, seeds=tuple(sweep.seeds or [base.seed]),
        settings=settings, trials=trials, epochs=_most_epochs(sweep.space, raw),
        cpus=sweep.resources.cpus or max(map(int, _values(sweep.space, "threads") or [base.threads])),
    )  # fmt: skip


def _check_names(space: dict[str, Domain], raw: dict[str, Any]) -> None:
    leaves = [name for name, _ in _leaves(raw)]
    networks, datasets = _chosen(space, raw)
    for name in space:
        section, *rest = name.split(".")
        if name not in leaves:
            close = difflib.get_close_matches(name, leaves, 1)
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


def _chosen(space: dict[str, Domain], raw: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The networks and the datasets that a setting can come to."""
    networks = {str(name) for name in _values(space, "network") or [raw["network"]]}
    datasets = {str(name) for name in _values(space, "fetch.dataset") or [raw["fetch"]["dataset"]]}
    joined = {part for name in datasets for part in (raw["datasets"].get(name) or {}).get("of", [])}
    return networks, datasets | joined


def _values(space: dict[str, Domain], name: str) -> tuple[Value, ...]:
    return space[name].ends() if name in space else ()


def _check_values(space: dict[str, Domain], raw: dict[str, Any]) -> None:
    """Try each value at its place, everything else as in params.yaml, and a part of a network in that network."""
    for name, domain in space.items():
        stands = _value(raw, name)
        section, *rest = name.split(".")
        for value in domain.ends():
            changed = copy.deepcopy(raw)
            if section == "networks":
                changed["network"] = rest[0]
            elif section == "datasets":
                changed["fetch"]["dataset"] = rest[0]
            _set(changed, name, value)
            if not _alike(value, stands):
                raise ValueError(f"space.{name}: {value!r} stands where params.yaml has {stands!r}, expected its like")
            try:
                checked = Parameters.model_validate(changed)
            except ValidationError as error:
                raise ValueError(f"space.{name}: {sentence(error)}") from error
            if checked.prepare.validation.size == 0:
                raise ValueError("prepare.validation.size is 0: trials are chosen by validation images, expected some")


def _alike(value: Value, stands: object) -> bool:
    def kind(of: object) -> object:
        return bool if isinstance(of, bool) else str if isinstance(of, str) else float

    return kind(value) is kind(stands) or stands in ("classes", None)


def _leaves(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    entries = content.items() if isinstance(content, dict) else enumerate(content)
    for part, inner in entries:
        whole = f"{name}.{part}" if name else str(part)
        if isinstance(inner, dict | list):
            yield from _leaves(inner, whole)
        else:
            yield whole, inner


def _value(raw: Any, name: str) -> Any:
    for part in name.split("."):
        raw = raw[int(part)] if isinstance(raw, list) else raw[part]
    return raw


def _set(raw: Any, name: str, value: Value) -> None:
    *parents, last = name.split(".")
    inner = _value(raw, ".".join(parents)) if parents else raw
    inner[int(last) if isinstance(inner, list) else last] = value


def _grid(sweep: Sweep, baseline: Baseline) -> Iterator[Setting]:
    """Every setting once; two that differ in what does not matter to them are one."""
    axes: dict[str, tuple[Value, ...]] = {}
    for name, domain in sweep.space.items():
        points = domain.points()
        if points is None:
            raise ValueError(f"space.{name} has no end of values, expected a list or a range in a grid")
        axes[name] = points
    count = math.prod(map(len, axes.values()))
    if count > MOST_POINTS:
        raise ValueError(f"the grid has {count:,} points, expected up to {MOST_POINTS:,}; search: random takes some")
    seen = set()
    for values in itertools.product(*axes.values()):
        drawn = dict(zip(axes, values, strict=True))
        trained = tuple(distinct(drawn, baseline).items()), drawn.get("seed")
        if trained not in seen:
            seen.add(trained)
            yield drawn


def _trials(sweep: Sweep, trials: int | None) -> int:
    if trials is None:
        raise ValueError(f"trials is missing, expected how many settings search: {sweep.search} is to try")
    axes = [domain.points() for domain in sweep.space.values()]
    points = math.prod(len(axis) if axis is not None else math.inf for axis in axes)
    if points < trials:
        raise ValueError(f"trials is {trials:,}, the space has {points:,} settings: search: grid tries them all")
    return trials


def _most_epochs(space: dict[str, Domain], raw: dict[str, Any]) -> int:
    networks, _ = _chosen(space, raw)
    epochs = [_values(space, f"networks.{name}.epochs") or (raw["networks"][name]["epochs"],) for name in networks]
    return max(int(value) for values in epochs for value in values)
