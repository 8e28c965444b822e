"""The picture of a sweep: each parameter against the metric, and every setting as a line.

Optuna draws such charts too, but each as a figure of its own, and of one value a trial: nothing of its seeds.
"""

import math
import re
import statistics

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter
from optuna.distributions import BaseDistribution, CategoricalDistribution

from commands.sweep.findings import NAMES, Findings, Ranked, told
from commands.sweep.plan import Plan
from commands.sweep.settings import Value, in_whole
from commands.sweep.space import ends
from digits.results.drawing import QUIET, shortened

DPI = 120


def draw(findings: Findings) -> Figure:
    """Draw each parameter against the metric, and every setting as a line through its parameters to the metric."""
    plan, ranked = findings.plan, findings.rank()
    names = [name for name, domain in plan.sweep.space.items() if name != "seed" and len(ends(domain)) > 1]
    columns = min(max(len(names), 1), 3)
    rows = max(math.ceil(len(names) / columns), 1)
    figure = plt.figure(figsize=(10, 3 * rows + 4))
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[3] * rows + [4])
    for place, name in enumerate(names):
        _draw_parameter(figure.add_subplot(grid[place // columns, place % columns]), name, plan, ranked)
    _draw_lines(figure.add_subplot(grid[rows, :]), names, plan, ranked)
    seeds = max((len(entry.scores) for entry in ranked), default=0)
    others = len(findings.of("stopped", "failed"))
    figure.suptitle(
        f"{plan.name}: the {len(ranked)} settings that were trained with {seeds} seed{'s' if seeds != 1 else ''}"
        + (f"; {others} more were stopped early or failed" if others else "")
    )
    return figure


def _draw_parameter(axis: Axes, name: str, plan: Plan, ranked: list[Ranked]) -> None:
    domain = plan.sweep.space[name]
    kept = [(whole[name], entry) for entry in ranked if name in (whole := in_whole(entry.setting, plan.baseline))]
    choices = isinstance(domain, CategoricalDistribution)
    places = [_place(domain, value) if choices else value for value, _ in kept]
    deviations = [statistics.stdev(entry.scores.values()) if len(entry.scores) > 1 else 0 for _, entry in kept]
    means = [entry.mean for _, entry in kept]
    axis.errorbar(places, means, deviations, fmt="o", ms=4, lw=1, color="#1f6aa5", ecolor="#9fb3c8")
    if choices:
        words = [shortened(str(value), 14) for value in domain.choices]
        axis.set_xticks(range(len(words)), words)
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
    axis.set_xlabel(shortened(_short(name), 40), parse_math=False)
    axis.set_ylabel(NAMES[plan.sweep.metric])


def _draw_lines(axis: Axes, names: list[str], plan: Plan, ranked: list[Ranked]) -> None:
    means = [entry.mean for entry in ranked]
    low, high = min(means, default=0), max(means, default=1)
    for entry in reversed(ranked):
        good = (entry.mean - low) / (high - low or 1)
        whole = in_whole(entry.setting, plan.baseline)
        heights = [_share(plan.sweep.space[name], whole[name]) if name in whole else math.nan for name in names]
        color = plt.get_cmap("viridis_r")(good if plan.mode == "max" else 1 - good)
        axis.plot(range(len(names) + 1), [*heights, good], color=color, lw=1.2, marker="o", ms=3)
    for place, name in enumerate(names):
        domain = plan.sweep.space[name]
        axis.axvline(place, color=QUIET, lw=0.8)
        for value in ends(domain):
            words = shortened(f"{value}", 12)
            axis.text(place + 0.02, _share(domain, value), words, fontsize=7, va="center", parse_math=False)
    axis.axvline(len(names), color=QUIET, lw=0.8)
    for height, value in ((0, low), (1, high)):
        axis.text(len(names) + 0.02, height, told(value, plan.sweep.metric), fontsize=7, va="center")
    labels = [_in_lines(_short(name)) for name in names]
    axis.set_xticks(range(len(names) + 1), [*labels, _in_lines(NAMES[plan.sweep.metric])], fontsize=8)
    axis.set_yticks([])
    axis.set_ylim(-0.05, 1.05)
    axis.spines[["left", "bottom"]].set_visible(False)


def _short(name: str) -> str:
    return ".".join(name.split(".")[2:] if name.startswith(("networks.", "datasets.")) else [name])


def _in_lines(name: str) -> str:
    """A name, cut at its dots and spaces, as narrow as a column of the picture."""
    return "\n".join(shortened(part, 16) for part in re.split(r"[. ]", name))


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
