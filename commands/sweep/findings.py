"""What a sweep has found so far: its trials, the numbers of their experiments, and which settings are the best."""

import math
import statistics
from dataclasses import dataclass, field
from typing import Literal

from commands.sweep.plan import Plan
from commands.sweep.settings import Numbers, Setting, experiment_name, key

NAMES = {"val_accuracy": "validation accuracy", "val_cross_entropy": "validation cross-entropy"}


@dataclass
class Tried:
    """What is known of a setting that is being tried.

    Attributes:
        value: of the metric: the mean over the seeds that are done, or of the last epoch told.
        epoch: the last one told.
        why: it failed.
    """

    drawn: Setting
    setting: Setting
    state: Literal["done", "stopped", "failed", "running"] = "running"
    value: float = math.nan
    epoch: int = 0
    why: str = ""


@dataclass(frozen=True)
class Ranked:
    """A setting that was trained with all its seeds, and the metric with each."""

    setting: Setting
    scores: dict[int, float]

    @property
    def mean(self) -> float:
        """Of the metric, over the seeds."""
        return statistics.fmean(self.scores.values())


@dataclass
class Findings:
    """The trials of a sweep, by Tune's names for them, and the numbers of experiments, by theirs."""

    plan: Plan
    numbers: dict[str, Numbers]
    trials: dict[str, Tried] = field(default_factory=dict)

    def of(self, *states: str) -> list[Tried]:
        """The trials that are in one of these states."""
        return [trial for trial in self.trials.values() if trial.state in states]

    def scores(self, trial: Tried) -> dict[int, float]:
        """The metric by the seeds that are done."""
        names = {seed: self.experiment(trial.setting, seed) for seed in self.plan.seeds_of(trial.drawn)}
        return {
            seed: self.numbers[name][self.plan.sweep.metric] for seed, name in names.items() if name in self.numbers
        }

    def experiment(self, setting: Setting, seed: int) -> str:
        """What a trial calls the experiment of a setting and a seed."""
        return experiment_name(self.plan.name, setting, seed)

    def rank(self) -> list[Ranked]:
        """The settings that are done, the best first; two draws of one setting are one."""
        found: dict[str, Ranked] = {}
        for trial in self.of("done"):
            found.setdefault(key(trial.setting), Ranked(trial.setting, {})).scores.update(self.scores(trial))
        sign = -1 if self.plan.mode == "max" else 1
        return sorted(found.values(), key=lambda ranked: (sign * ranked.mean, key(ranked.setting)))

    def best(self) -> list[str]:
        """The names that its trials gave the experiments of the best setting; none where no setting is done."""
        return [self.experiment(ranked.setting, seed) for ranked in self.rank()[:1] for seed in ranked.scores]


def told(value: float, metric: str) -> str:
    """A value of the metric as people read it."""
    if math.isnan(value):
        return "-"
    return f"{value:.2%}" if metric == "val_accuracy" else f"{value:.4f}"


def spread(values: list[float], metric: str) -> str:
    """Mean and standard deviation over the seeds, as people read them; the latter where there are several."""
    if len(values) < 2:
        return told(statistics.fmean(values), metric)
    return f"{told(statistics.fmean(values), metric)} \u00b1 {told(statistics.stdev(values), metric).rstrip('%')}"
