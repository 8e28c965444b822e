"""What a sweep says while it runs, and what it leaves: a ranking, a picture, a verdict."""

import math
import re
import statistics
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from rich.console import Console
from rich.live import Live
from rich.table import Table
from scipy import stats

from commands.sweep.plan import Choices, Interval, Plan
from commands.sweep.settings import Setting, Value, counted, described, distinct, experiment_name, key
from commands.sweep.trial import Numbers
from digits.results.drawing import QUIET, shortened

LEVEL = 0.95
MOST_SHOWN = 8  # trials in the table that is drawn while it runs
DPI = 120
STATES = ("done", "stopped", "failed", "running")
NAMES = {"val_accuracy": "validation accuracy", "val_loss": "validation loss"}


@dataclass
class Trial:
    """What is known of a setting that is being tried."""

    drawn: Setting
    setting: Setting
    state: str = "running"
    value: float = math.nan
    """Of the metric: the mean over the seeds that are done, or of the last epoch told."""
    epoch: int = 0
    seeds: int = 0
    why: str = ""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0


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


class Progress:
    """The trials as they go: a table on a terminal, elsewhere a line for each that ended."""

    def __init__(self, plan: Plan, numbers: dict[str, Numbers], earlier: list[Setting]) -> None:
        self.plan = plan
        self.numbers = dict(numbers)
        self.trials: dict[str, Trial] = {}
        for place, drawn in enumerate(earlier):
            self.trials[f"earlier-{place}"] = Trial(
                drawn, distinct(drawn, plan.baseline), "done", seeds=len(plan.seeds)
            )
        self._console = Console(file=sys.stdout)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, identity: str, drawn: Setting) -> None:
        """A trial begins, or begins anew where its node was lost."""
        self.trials[identity] = Trial(drawn, distinct(drawn, self.plan.baseline))
        self._show()

    def result(self, identity: str, value: float, epoch: int, seeds: int, why: str) -> None:
        """A trial told an epoch of its first seed, the mean over its seeds so far, or why it failed."""
        trial = self.trials[identity]
        trial.value, trial.epoch, trial.seeds, trial.why = value, epoch, seeds or trial.seeds, why
        self._show()

    def ended(self, identity: str, why: str = "") -> None:
        """A trial is over: done, stopped because others were better, or failed."""
        trial = self.trials[identity]
        trial.why = trial.why or why
        of_all = len(self.plan.seeds_of(trial.drawn))
        trial.state = "failed" if trial.why else "done" if trial.seeds == of_all else "stopped"
        trial.seconds = time.monotonic() - trial.began
        if not self._live:
            self._console.print(self._line(trial), markup=False, highlight=False, soft_wrap=True)
        self._show()

    def values(self, trial: Trial) -> list[float]:
        """Of the metric, by the seeds that are done."""
        names = [experiment_name(self.plan.name, trial.setting, seed) for seed in self.plan.seeds_of(trial.drawn)]
        return [self.numbers[name][self.plan.sweep.metric] for name in names if name in self.numbers]

    def best(self) -> list[str]:
        """The names that its trials gave the experiments of the best setting; none where no setting is done."""
        ranked = rank(self)[:1]
        return [experiment_name(self.plan.name, entry.setting, seed) for entry in ranked for seed in entry.seeds]

    def _count(self, state: str) -> int:
        return sum(trial.state == state for trial in self.trials.values())

    def _line(self, trial: Trial) -> str:
        over = sum(trial.state != "running" for trial in self.trials.values())
        return f"{over}/{self.plan.trials}  {trial.state}  {self._outcome(trial)}  {described(trial.setting)}"

    def _outcome(self, trial: Trial) -> str:
        if trial.state == "failed":
            return trial.why
        if trial.state == "done":
            return spread(self.values(trial), self.plan.sweep.metric)
        return f"{told(trial.value, self.plan.sweep.metric)} at epoch {trial.epoch}" if trial.epoch else "-"

    def summary(self) -> str:
        """Trials done, running, stopped, failed; the best so far; the time left."""
        counts = ", ".join(f"{self._count(state)} {state}" for state in STATES)
        ranked = rank(self)
        best = f"; best {spread(ranked[0].scores, self.plan.sweep.metric)}" if ranked else ""
        ended = [trial.seconds for trial in self.trials.values() if trial.seconds and trial.state != "failed"]
        left = self.plan.trials - sum(self._count(state) for state in STATES[:3])
        if not (ended and left > 0):
            return f"{counts} of {self.plan.trials}{best}"
        seconds = left * statistics.fmean(ended) / max(self._count("running"), 1)
        return f"{counts} of {self.plan.trials}{best}; about {_duration(seconds)} left"

    def _show(self) -> None:
        if not self._live:
            return
        table = Table(title=self.summary(), title_justify="left", box=None, pad_edge=False, expand=True)
        table.add_column("setting", no_wrap=True, ratio=2)
        table.add_column("state", no_wrap=True, width=max(map(len, STATES)))
        table.add_column(NAMES[self.plan.sweep.metric], no_wrap=True, ratio=1, min_width=19)
        table.add_column("seeds", no_wrap=True, width=5)
        running = [trial for trial in self.trials.values() if trial.state == "running"]
        over = sorted((trial for trial in self.trials.values() if trial.state != "running"), key=self._goodness)
        for trial in [*over[:MOST_SHOWN], *running[:MOST_SHOWN]]:
            table.add_row(described(trial.setting), trial.state, shortened(self._outcome(trial), 60), str(trial.seeds))
        self._live.update(table, refresh=True)

    def _goodness(self, trial: Trial) -> tuple[int, float]:
        values = self.values(trial)
        sign = -1 if self.plan.mode == "max" else 1
        return STATES.index(trial.state), sign * statistics.fmean(values) if values else 0


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class Ranked:
    """A setting that was trained with all its seeds: the seeds, and the metric with each."""

    drawn: Setting
    setting: Setting
    seeds: tuple[int, ...]
    scores: list[float]


def rank(progress: Progress) -> list[Ranked]:
    """The settings that are done, the best first; two draws of one setting are one."""
    plan = progress.plan
    found: dict[str, Ranked] = {}
    for trial in progress.trials.values():
        if trial.state == "done":
            seeds = plan.seeds_of(trial.drawn)
            entry = found.setdefault(key(trial.setting), Ranked(trial.drawn, trial.setting, (), []))
            new = tuple(seed for seed in seeds if seed not in entry.seeds)
            names = [experiment_name(plan.name, trial.setting, seed) for seed in new]
            scores = [progress.numbers[name][plan.sweep.metric] for name in names]
            found[key(trial.setting)] = Ranked(entry.drawn, entry.setting, entry.seeds + new, entry.scores + scores)
    sign = -1 if plan.mode == "max" else 1
    return sorted(found.values(), key=lambda ranked: (sign * statistics.fmean(ranked.scores), key(ranked.setting)))


def table(progress: Progress) -> pd.DataFrame:
    """A row a setting: its rank, its state, its parameters, its mean, standard deviation and each seed's."""
    plan, ranked = progress.plan, rank(progress)
    seeds = sorted({seed for trial in progress.trials.values() for seed in plan.seeds_of(trial.drawn)})
    rows = []
    for place, entry in enumerate(ranked, 1):
        of_seeds = dict(zip(entry.seeds, entry.scores, strict=True))
        rows.append(_row(plan, entry.setting, {"rank": place, "state": "done"}, of_seeds, seeds, ""))
    others = [trial for trial in progress.trials.values() if trial.state in ("stopped", "failed")]
    for trial in sorted(others, key=lambda trial: (STATES.index(trial.state), key(trial.setting))):
        note = trial.why or f"stopped at epoch {trial.epoch} with {told(trial.value, plan.sweep.metric)}"
        of_seeds = dict(zip(plan.seeds_of(trial.drawn), progress.values(trial), strict=False))
        rows.append(_row(plan, trial.setting, {"rank": "", "state": trial.state}, of_seeds, seeds, note))
    return pd.DataFrame(rows)


def _row(
    plan: Plan, setting: Setting, state: dict[str, object], values: dict[int, float], seeds: list[int], note: str
) -> dict[str, object]:
    whole = _whole(setting, plan)
    shown = {name: whole.get(name, "") for name in plan.sweep.space if name != "seed"}
    numbers = list(values.values())
    mean = round(statistics.fmean(numbers), 6) if numbers else ""
    deviation = round(statistics.stdev(numbers), 6) if len(numbers) > 1 else ""
    of_seeds = {f"seed {seed}": values.get(seed, "") for seed in seeds}
    return {
        **state, "setting": key(setting), **shown, f"{plan.sweep.metric} (mean)": mean,
        "standard deviation": deviation, **of_seeds, "note": note,
    }  # fmt: skip


def verdict(ranked: list[Ranked], plan: Plan) -> str:
    """Whether the best is better than the second, by the interval of their difference over the seeds they share.

    Student's interval of the mean difference, paired by seed. It does not know that the best was chosen among many.
    """
    if len(ranked) < 2:
        return "There is no second to compare it with."
    best, second = ranked[:2]
    seconds = dict(zip(second.seeds, second.scores, strict=True))
    pairs = [(one, seconds[seed]) for seed, one in zip(best.seeds, best.scores, strict=True) if seed in seconds]
    if len(pairs) < 2:
        return "One seed each does not tell whether the best is better than the second: give the sweep several `seeds`."
    apart = np.array([one - other for one, other in pairs]) * (1 if plan.mode == "max" else -1)
    low, high = difference_interval(apart)
    scale, unit = (100, " points") if plan.sweep.metric == "val_accuracy" else (1, "")
    said = "The best is better than the second" if low > 0 else "No evidence that the best is better than the second"
    return (
        f"{said}: apart by {scale * apart.mean():.3f}{unit}, "
        f"95% interval {scale * low:.3f} to {scale * high:.3f} over {len(pairs)} seeds."
    )


def difference_interval(apart: np.ndarray) -> tuple[float, float]:
    """Student's 95% interval of the mean of differences, shape (n,), n from 2 up."""
    half = stats.t.ppf((1 + LEVEL) / 2, len(apart) - 1) * apart.std(ddof=1) / math.sqrt(len(apart))
    return float(apart.mean() - half), float(apart.mean() + half)


def conclusion(progress: Progress) -> str:
    """What to know at the end: the best, whether it is better than the second, and its test accuracy."""
    plan, ranked = progress.plan, rank(progress)
    best = ranked[0]
    tests = [progress.numbers[name]["accuracy"] for name in progress.best()]
    seeds = f"{len(best.seeds)} seed{'s' if len(best.seeds) > 1 else ''}"
    each = " ".join(f"{value:.2%}" for value in tests)
    score = f"{NAMES[plan.sweep.metric]} {spread(best.scores, plan.sweep.metric)}, {seeds}"
    return "\n".join([
        f"best: {described(best.setting)}: {score}",
        verdict(ranked, plan),
        f"test accuracy of the best: {spread(tests, 'val_accuracy')} ({each})",
    ])  # fmt: skip


def draw(progress: Progress) -> Figure:
    """Draw each parameter against the metric, and every setting as a line through its parameters to the metric."""
    plan, ranked = progress.plan, rank(progress)
    names = [name for name, domain in plan.sweep.space.items() if name != "seed" and len(domain.ends()) > 1]
    columns = min(max(len(names), 1), 3)
    rows = max(math.ceil(len(names) / columns), 1)
    figure = plt.figure(figsize=(10, 3 * rows + 4))
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[3] * rows + [4])
    for place, name in enumerate(names):
        _draw_parameter(figure.add_subplot(grid[place // columns, place % columns]), name, plan, ranked)
    _draw_lines(figure.add_subplot(grid[rows, :]), names, plan, ranked)
    seeds = max((len(entry.seeds) for entry in ranked), default=0)
    others = sum(trial.state in ("stopped", "failed") for trial in progress.trials.values())
    figure.suptitle(
        f"{plan.name}: the {len(ranked)} settings that were trained with {seeds} seed{'s' if seeds != 1 else ''}"
        + (f"; {others} more were stopped early or failed" if others else "")
    )
    return figure


def _whole(setting: Setting, plan: Plan) -> Setting:
    """The parameters that make a difference to a setting, those of params.yaml included."""
    whole = plan.baseline.given | setting
    return {name: value for name, value in whole.items() if counted(name, whole, plan.baseline)}


def _draw_parameter(axis: Axes, name: str, plan: Plan, ranked: list[Ranked]) -> None:
    domain = plan.sweep.space[name]
    kept = [(whole[name], entry.scores) for entry in ranked if name in (whole := _whole(entry.setting, plan))]
    places = [_place(domain, value) if isinstance(domain, Choices) else value for value, _ in kept]
    means = [statistics.fmean(scores) for _, scores in kept]
    deviations = [statistics.stdev(scores) if len(scores) > 1 else 0 for _, scores in kept]
    axis.errorbar(places, means, deviations, fmt="o", ms=4, lw=1, color="#1f6aa5", ecolor="#9fb3c8")
    if isinstance(domain, Choices):
        words = [shortened(str(value), 14) for value in domain.options]
        axis.set_xticks(range(len(words)), words)
        axis.set_xlim(-0.5, len(words) - 0.5)
    else:
        if domain.logarithmic:
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
        between = math.sqrt(domain.low * domain.high) if domain.logarithmic else (domain.low + domain.high) / 2
        ticks = [domain.low, between, domain.high]
        axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    if plan.sweep.metric == "val_accuracy":
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_xlabel(shortened(_short(name), 40), parse_math=False)
    axis.set_ylabel(NAMES[plan.sweep.metric])


def _short(name: str) -> str:
    return ".".join(name.split(".")[2:] if name.startswith(("networks.", "datasets.")) else [name])


def _place(domain: Choices | Interval, value: Value) -> float:
    """Where a value lies between the ends: 0 to 1, or the place among the choices."""
    if isinstance(domain, Choices):
        return next((float(place) for place, choice in enumerate(domain.options) if choice == value), math.nan)
    low, high, at = domain.low, domain.high, float(value)
    if domain.logarithmic:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)


def _draw_lines(axis: Axes, names: list[str], plan: Plan, ranked: list[Ranked]) -> None:
    means = [statistics.fmean(entry.scores) for entry in ranked]
    low, high = min(means, default=0), max(means, default=1)
    for entry, mean in reversed(list(zip(ranked, means, strict=True))):
        good = (mean - low) / (high - low or 1)
        whole = _whole(entry.setting, plan)
        heights = [_share(plan.sweep.space[name], whole[name]) if name in whole else math.nan for name in names]
        color = plt.get_cmap("viridis_r")(good if plan.mode == "max" else 1 - good)
        axis.plot(range(len(names) + 1), [*heights, good], color=color, lw=1.2, marker="o", ms=3)
    for place, name in enumerate(names):
        domain = plan.sweep.space[name]
        axis.axvline(place, color=QUIET, lw=0.8)
        marks = dict(zip(_shares(domain), domain.ends(), strict=True))
        for height, value in marks.items():
            axis.text(place + 0.02, height, shortened(f"{value}", 12), fontsize=7, va="center", parse_math=False)
    axis.axvline(len(names), color=QUIET, lw=0.8)
    for height, value in ((0, low), (1, high)):
        axis.text(len(names) + 0.02, height, told(value, plan.sweep.metric), fontsize=7, va="center")
    labels = [_in_lines(_short(name)) for name in names]
    axis.set_xticks(range(len(names) + 1), [*labels, _in_lines(NAMES[plan.sweep.metric])], fontsize=8)
    axis.set_yticks([])
    axis.set_ylim(-0.05, 1.05)
    axis.spines[["left", "bottom"]].set_visible(False)


def _in_lines(name: str) -> str:
    """A name, cut at its dots and spaces, as narrow as a column of the picture."""
    return "\n".join(shortened(part, 16) for part in re.split(r"[. ]", name))


def _share(domain: Choices | Interval, value: Value) -> float:
    place = _place(domain, value)
    return place / max(len(domain.options) - 1, 1) if isinstance(domain, Choices) else place


def _shares(domain: Choices | Interval) -> list[float]:
    return [_share(domain, value) for value in domain.ends()]
