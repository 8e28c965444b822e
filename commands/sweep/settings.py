"""What a trial tries, and what it is called wherever it ran.

Ray carries this module to the nodes, so it imports nothing of this repository.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import flatten_dict  # type: ignore[import-untyped] # DVC's, for the same names

Value = bool | int | float | str
Setting = dict[str, Value]
"""Parameters of params.yaml by their full names, without `seed`: only such as differ from params.yaml and matter."""

Numbers = dict[str, float]
"""What an experiment measured: `val_accuracy`, `val_cross_entropy`, of so many `validation` images; test `accuracy`."""

NEVER_RUN = ("plot",)  # sections whose stages are no part of a trial
DIGITS = 4  # of a number drawn from an interval: it is read, typed and told apart


@dataclass(frozen=True)
class Baseline:
    """What params.yaml says at the commit that all trials start from.

    Attributes:
        given: the parameters in the space, and of `network`, `fetch.dataset` and `seed`.
        joins: of the datasets that join others, the names of those.
        stand_ins: of a network that another may stand in for (`for_own`), the name of that.
    """

    given: Setting
    joins: dict[str, list[str]]
    stand_ins: dict[str, str] = field(default_factory=dict)


def by_full_name(parameters: Any) -> dict[str, Any]:
    """What params.yaml holds, `networks.mlp.layers.1.Dense.units` and its like."""
    flat: dict[str, Any] = flatten_dict.flatten(parameters, reducer="dot", enumerate_types=(list,))
    return flat


def distinct(drawn: Setting, baseline: Baseline) -> Setting:
    """What of the drawn parameters makes a difference to this commit: the same for any two that train the same.

    A parameter of a network or a dataset that is not the chosen one makes none.
    """

    def as_it_is(name: str) -> bool:
        here = baseline.given.get(name)
        return drawn[name] == here and isinstance(drawn[name], bool) == isinstance(here, bool)

    whole = baseline.given | drawn
    return {
        name: drawn[name]
        for name in sorted(drawn)
        if name != "seed" and counted(name, whole, baseline) and not as_it_is(name)
    }


def counted(name: str, whole: Setting, baseline: Baseline) -> bool:
    """Whether a parameter is of a network or a dataset that `whole` chooses, or of neither kind."""
    section, *rest = name.split(".")
    dataset, network = str(whole["fetch.dataset"]), str(whole["network"])
    networks = [network, baseline.stand_ins.get(network, network)]
    chosen = {"networks": networks, "datasets": [dataset, *baseline.joins.get(dataset, [])]}
    return section not in NEVER_RUN and (section not in chosen or rest[0] in chosen[section])


def in_whole(setting: Setting, baseline: Baseline) -> Setting:
    """The parameters that make a difference to a setting, those of params.yaml included."""
    whole = baseline.given | setting
    return {name: value for name, value in whole.items() if counted(name, whole, baseline)}


def key(setting: Setting) -> str:
    """Eight hexadecimal digits that stand for a setting."""
    return hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:8]


def experiment_name(sweep: str, setting: Setting, seed: int) -> str:
    """What the experiment of a setting and a seed is called."""
    return f"{sweep}-{key(setting)}-seed-{seed}"


def options(setting: Setting, seed: int) -> list[str]:
    """The setting and the seed as options of `dvc exp run`, and as the message that the experiment keeps."""
    values = {**setting, "seed": seed}
    changes = [word for name, value in values.items() for word in ("-S", f"{name}={_typed(value)}")]
    return ["--message", json.dumps(values), *changes]


def read_message(message: str, name: str) -> tuple[Setting, int] | None:
    """The setting and the seed of an experiment, from the message that it keeps; None if it is no trial's."""
    try:
        setting = json.loads(message)
        seed = setting.pop("seed")
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
    return (setting, seed) if name.endswith(experiment_name("", setting, seed)) else None


def _typed(value: Value) -> str:
    """A value as Hydra's grammar of -S reads it back."""
    if isinstance(value, str):
        return "'{}'".format(value.replace("\\", "\\\\").replace("'", "\\'"))
    return json.dumps(value)


def described(setting: Setting) -> str:
    """A setting in a line, for people: the end of each name will do, a layer's with its number."""
    return ", ".join(f"{_short(name)} {_typed(value).strip(chr(39))}" for name, value in setting.items()) or "as it is"


def _short(name: str) -> str:
    return name.split(".layers.")[-1] if ".layers." in name else name.split(".")[-1]
