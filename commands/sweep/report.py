"""What a sweep leaves at its end: a ranking of the settings, and whether the best is better than the second."""

import statistics

import numpy as np
import pandas as pd
from scipy import stats

from commands.sweep.findings import NAMES, Findings, Ranked, spread, told
from commands.sweep.settings import Setting, described, in_whole, key

LEVEL = 0.95
SAME = 2e-6  # what numbers differ by that differ by rounding alone: metrics/ has six digits of each


def ranking(findings: Findings) -> pd.DataFrame:
    """A row a setting: its rank, its state, its parameters, its mean, standard deviation and each seed's."""
    plan = findings.plan
    seeds = sorted({seed for tried in findings.trials.values() for seed in plan.seeds_of(tried.drawn)})

    def row(rank: object, state: str, setting: Setting, scores: dict[int, float], note: str) -> dict[str, object]:
        whole, values = in_whole(setting, plan.baseline), list(scores.values())
        return {
            "rank": rank, "state": state, "setting": key(setting),
            **{name: whole.get(name, "") for name in plan.sweep.space if name != "seed"},
            f"{plan.sweep.metric} (mean)": round(statistics.fmean(values), 6) if values else "",
            "standard deviation": round(statistics.stdev(values), 6) if len(values) > 1 else "",
            **{f"seed {seed}": scores.get(seed, "") for seed in seeds}, "note": note,
        }  # fmt: skip

    done = findings.rank()
    means = [entry.mean if plan.mode == "min" else -entry.mean for entry in done]
    places = [1 + sum(other < mean - SAME for other in means) for mean in means]  # equals share theirs
    rows = [row(place, "done", entry.setting, entry.scores, "") for place, entry in zip(places, done, strict=True)]
    for state in ("stopped", "failed"):
        for tried in sorted(findings.of(state), key=lambda tried: key(tried.setting)):
            note = tried.why or f"stopped at epoch {tried.epoch} with {told(tried.value, plan.sweep.metric)}"
            rows.append(row("", state, tried.setting, findings.scores(tried), note))
    return pd.DataFrame(rows)


def conclusion(findings: Findings) -> str:
    """What to know at the end: the best, whether it is better than the second, and its test accuracy."""
    metric, ranked = findings.plan.sweep.metric, findings.rank()
    best = ranked[0]
    tests = [findings.numbers[name]["accuracy"] for name in findings.best()]
    seeds = f"{len(best.scores)} seed{'s' if len(best.scores) > 1 else ''}"
    each = " ".join(f"{value:.2%}" for value in tests)
    return "\n".join([
        f"best: {described(best.setting)}: {NAMES[metric]} {spread([*best.scores.values()], metric)}, {seeds}",
        _verdict(findings),
        f"test accuracy of the best: {spread(tests, 'val_accuracy')} ({each})",
    ])  # fmt: skip


def _validation_images(findings: Findings, ranked: Ranked) -> int:
    """How many images validated a setting with the seed that had the fewest; 0 where that is not known."""
    names = [findings.experiment(ranked.setting, seed) for seed in ranked.scores]
    return min(int(findings.numbers[name].get("validation", 0)) for name in names)


def _verdict(findings: Findings) -> str:
    """Whether the best is better than the second, by the interval of their difference over the seeds they share.

    Student's interval of the mean difference, paired by seed; a single validation image, which may be the same one with
    each seed, is no evidence. It does not know that the best was chosen among many.
    """
    ranked, plan = findings.rank(), findings.plan
    if len(ranked) < 2:
        return "There is no second to compare it with."
    one, other = (in_whole(entry.setting, plan.baseline) for entry in ranked[:2])
    if differing := [name for name in plan.sweep.space if _chooses_images(name) and one.get(name) != other.get(name)]:
        return (
            f"The second is validated by other images than the best, as it has another {' and '.join(differing)}: "
            "which of them is better is open."
        )
    images, images_of_second = (_validation_images(findings, entry) for entry in ranked[:2])
    if images != images_of_second:  # where `repeat` is 0 or some are left out, too
        return (
            f"The second is validated by {images_of_second:,} images, the best by {images:,}: "
            "which of them is better is open."
        )
    an_image = 1 / images if images and plan.sweep.metric == "val_accuracy" else 0
    best, second = (entry.scores for entry in ranked[:2])
    apart = np.array([best[seed] - second[seed] for seed in best if seed in second])
    if len(apart) < 2:
        return "One seed each does not tell whether the best is better than the second: give the sweep several `seeds`."
    apart *= 1 if plan.mode == "max" else -1
    scale, unit, digits = (100, " points", 3) if plan.sweep.metric == "val_accuracy" else (1, "", 6)
    if np.abs(apart).max() < SAME:
        return f"The best and the second are equally good with each of {len(apart)} seeds."
    if np.ptp(apart) < SAME:  # as a single image more is, with each of two seeds
        return (
            f"The best and the second are apart by the same {scale * apart.mean():.{digits}f}{unit} with each of "
            f"{len(apart)} seeds, from which no interval follows: give the sweep more `seeds`."
        )
    low, high = difference_interval(apart)
    better = low > an_image + SAME
    said = "The best is better than the second" if better else "No evidence that the best is better than the second"
    least = f", where one validation image is {scale * an_image:.{digits}f}" if low > 0 and not better else ""
    return (
        f"{said}: apart by {scale * apart.mean():.{digits}f}{unit}, "
        f"95% interval {scale * low:.{digits}f} to {scale * high:.{digits}f} over {len(apart)} seeds{least}."
    )


def _chooses_images(parameter: str) -> bool:
    """Whether other images validate where it is another; `side`, `color` and `framing` show the same otherwise."""
    of_dataset = parameter.startswith("datasets.") and parameter.endswith((".test", ".group"))
    return of_dataset or parameter == "fetch.dataset" or parameter.startswith("prepare.validation.")


def difference_interval(apart: np.ndarray) -> tuple[float, float]:
    """Student's 95% interval of the mean of differences, shape (n,), n from 2 up."""
    low, high = stats.ttest_1samp(apart, 0).confidence_interval(LEVEL)
    return float(low), float(high)
