"""The picture of a sweep: each parameter against the metric, and every setting as a line.

Settings that were stopped early or failed are grey, and stand where they were tried: what they had reached by then says
nothing beside those that were trained to the end.

Optuna draws such charts too, but each as a figure of its own, and of one value a trial: nothing of its seeds.
"""

import math
import re
import statistics
import textwrap

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution

from commands.sweep.findings import NAMES, Findings, Ranked, told
from commands.sweep.plan import Plan
from commands.sweep.settings import Setting, Value, in_whole
from commands.sweep.space import ends
from digits.results.drawing import QUIET

DPI = 120
UNFINISHED = "#bbbbbb"
LETTERS = 18  # in a line of a column's names
ROOM = 36  # letters beside each other below a parameter's chart


def draw(findings: Findings) -> Figure:
    """Draw each parameter against the metric, and every setting as a line through its parameters to the metric."""
    plan, ranked = findings.plan, findings.rank()
    others = [in_whole(trial.setting, plan.baseline) for trial in findings.of("stopped", "failed")]
    names = [name for name, domain in plan.sweep.space.items() if name != "seed" and len(ends(domain)) > 1]
    columns = min(max(len(names), 1), 3)
    rows = max(math.ceil(len(names) / columns), 1)
    figure = plt.figure(figsize=(10, 3 * rows + 4))
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[3] * rows + [4])
    for place, name in enumerate(names):
        _draw_parameter(figure.add_subplot(grid[place // columns, place % columns]), name, plan, ranked, others)
    _draw_lines(figure.add_subplot(grid[rows, :]), names, plan, ranked, others)
    seeds = max((len(entry.scores) for entry in ranked), default=0)
    figure.suptitle(
        f"{plan.name}: the {len(ranked)} settings that were trained with {seeds} seed{'s' if seeds != 1 else ''}"
        + (f"; grey: {len(others)} that {'was' if len(others) == 1 else 'were'} stopped or failed" if others else "")
    )
    return figure


def _draw_parameter(axis: Axes, name: str, plan: Plan, ranked: list[Ranked], others: list[Setting]) -> None:
    domain = plan.sweep.space[name]
    kept = [(whole[name], entry) for entry in ranked if name in (whole := in_whole(entry.setting, plan.baseline))]
    choices = isinstance(domain, CategoricalDistribution)
    places = [_place(domain, value) if choices else value for value, _ in kept]
    deviations = [statistics.stdev(entry.scores.values()) if len(entry.scores) > 1 else 0 for _, entry in kept]
    means = np.array([entry.mean for _, entry in kept])
    best = 1 if plan.sweep.metric == "val_accuracy" else math.inf
    reach = np.minimum([deviations, deviations], [means, best - means])  # below 0 and beyond 100% there is nothing
    axis.errorbar(places, means, reach, fmt="o", ms=4, lw=1, color="#1f6aa5", ecolor="#9fb3c8", clip_on=False)
    axis.set_ylim(max(axis.get_ylim()[0], 0), min(axis.get_ylim()[1], best))
    unfinished = [_place(domain, whole[name]) if choices else whole[name] for whole in others if name in whole]
    for value in unfinished:
        foot = axis.get_xaxis_transform()
        axis.plot(value, 0, "o", ms=5, mfc="none", mec=UNFINISHED, transform=foot, clip_on=False)
    if choices:
        words = [_wrapped(str(value), LETTERS) for value in domain.choices]
        longest = max(len(line) for word in words for line in word.split("\n"))
        upright = longest * len(words) > ROOM
        axis.set_xticks(range(len(words)), words, rotation=90 if upright else 0, fontsize=8 if longest > 4 else None)
        axis.set_xlim(-0.5, len(words) - 0.5)
    else:
        if domain.log:
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
        between = math.sqrt(domain.low * domain.high) if domain.log else (domain.low + domain.high) / 2
        ticks = [domain.low, between, domain.high]
        axis.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    if plan.sweep.metric == "val_accuracy":
        axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_xlabel(_wrapped(_short(name), ROOM), parse_math=False)
    axis.set_ylabel(NAMES[plan.sweep.metric])


def _draw_lines(axis: Axes, names: list[str], plan: Plan, ranked: list[Ranked], others: list[Setting]) -> None:
    def heights(whole: Setting) -> list[float]:
        return [_share(plan.sweep.space[name], whole[name]) if name in whole else math.nan for name in names]

    means = [entry.mean for entry in ranked]
    low, high = min(means, default=0), max(means, default=1)
    for whole in others:
        axis.plot(range(len(names)), heights(whole), color=UNFINISHED, lw=0.8, marker="o", ms=2)
    for entry in reversed(ranked):
        good = (entry.mean - low) / (high - low) if low < high else 1.0
        color = plt.get_cmap("viridis_r")(good if plan.mode == "max" else 1 - good)
        line = [*heights(in_whole(entry.setting, plan.baseline)), good]
        axis.plot(range(len(names) + 1), line, color=color, lw=1.2, marker="o", ms=3)
    for place, name in enumerate(names):
        domain = plan.sweep.space[name]
        axis.axvline(place, color=QUIET, lw=0.8)
        for value in ends(domain):
            _beside(axis, place, _share(domain, value), _wrapped(str(value), LETTERS))
    axis.axvline(len(names), color=QUIET, lw=0.8)
    for value, height in sorted({low: 0, high: 1}.items()) if means else []:
        _beside(axis, len(names), height, told(value, plan.sweep.metric))
    labels = [_in_lines(_short(name)) for name in names]
    axis.set_xticks(range(len(names) + 1), [*labels, _in_lines(NAMES[plan.sweep.metric])], fontsize=8)
    axis.set_yticks([])
    axis.set_ylim(-0.05, 1.05)
    axis.spines[["left", "bottom"]].set_visible(False)


def _beside(axis: Axes, x: float, y: float, words: str) -> None:
    """Write to the right of a dot, and over what lies there."""
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.7}
    axis.annotate(
        words, (x, y), (5, 0), textcoords="offset points", va="center", fontsize=7, parse_math=False, bbox=box,
        annotation_clip=False,
    )  # fmt: skip


def _short(name: str) -> str:
    return ".".join(name.split(".")[2:] if name.startswith(("networks.", "datasets.")) else [name])


def _in_lines(name: str) -> str:
    """A name in lines that end at its dots and spaces, as narrow as a column of the picture."""
    return "\n".join(_wrapped(part, LETTERS) for part in re.split(r"[. ]", name))


def _wrapped(name: str, letters: int) -> str:
    """A name in lines of at most so many letters, which end after dots, dashes and spaces where they can."""
    lines = textwrap.wrap(name.replace(".", ". "), letters)
    return "\n".join(line.replace(". ", ".") for line in lines)


def _place(domain: BaseDistribution, value: Value) -> float:
    """Where a value lies between the ends: 0 to 1, or the place among the choices."""
    if isinstance(domain, CategoricalDistribution):
        return domain.choices.index(value) if value in domain.choices else math.nan
    low, high, at = domain.low, domain.high, float(value)
    if domain.log:
        low, high, at = math.log(low), math.log(high), math.log(at)
    return (at - low) / (high - low)


def _share(domain: BaseDistribution, value: Value) -> float:
    place = _place(domain, value)
    return place / max(len(domain.choices) - 1, 1) if isinstance(domain, CategoricalDistribution) else place
