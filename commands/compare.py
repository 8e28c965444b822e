"""Say whether the networks of two revisions differ by more than luck: `python -m commands.compare [REV_A] [REV_B]`.

Both networks read the same test images, so the images that only one of them got right are what tells them apart. Were
the two equally good, each of these would fall to either side as a coin does: McNemar's test (1947), here in its exact,
binomial form. It speaks of these two networks as trained, not of what another seed would make of their recipes.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import binomtest

from digits.accuracy import wilson_interval
from digits.arrays import PREPARED, read_split
from digits.command import Refusal, png_path, run
from digits.dataset import CLASSES
from digits.drawing import draw_digits, use_style, write_figure
from digits.files import parse_table
from digits.revisions import WORKSPACE, read_file

PREDICTIONS = Path("plots/predictions.csv")
COLUMNS = {"actual": int, "predicted": int, "confidence": float}
DATA = Path("metrics/data.json")
LEVEL = 0.05
MOST_SHOWN, DPI = 50, 120


@dataclass(frozen=True)
class Revision:
    """What a revision's network said of the test images of its dataset: `actual`, `predicted`, `confidence`."""

    name: str
    dataset: str
    predictions: pd.DataFrame


def read_revision(name: str) -> Revision:
    """The predictions of a revision and what they are of.

    Raises:
        Refusal: the revision or one of its files is missing, or a file is not as `prepare` and `evaluate` write it.
    """
    source = f"{PREDICTIONS} at {name}"
    predictions = parse_table(read_file(name, PREDICTIONS), source, COLUMNS)
    if predictions.empty:
        raise Refusal(f"{source} has no rows, expected one for each test image")
    digits = predictions[["actual", "predicted"]].to_numpy()
    if digits.min() < 0 or digits.max() >= CLASSES:
        raise Refusal(f"{source} has digits from {digits.min()} to {digits.max()}, expected 0 to {CLASSES - 1}")
    try:
        dataset = json.loads(read_file(name, DATA))["dataset"]
    except (ValueError, TypeError, KeyError) as error:
        raise Refusal(f"{DATA} at {name} is no JSON that names a dataset") from error
    return Revision(name, str(dataset), predictions)


def pair(a: Revision, b: Revision) -> pd.DataFrame:
    """Put what two revisions said of each test image side by side.

    Returns:
        A row an image, in order: `actual`, the predictions `a` and `b`, and the bools `a_right` and `b_right`.

    Raises:
        Refusal: they were not measured on the same images.
    """
    if a.dataset != b.dataset:
        raise Refusal(f"{a.name} was measured on {a.dataset} and {b.name} on {b.dataset}, expected one dataset")
    actual, other = a.predictions["actual"], b.predictions["actual"]
    if len(actual) != len(other):
        facts = f"{len(actual):,} rows at {a.name} and {len(other):,} at {b.name}"
        raise Refusal(f"{PREDICTIONS} has {facts}, expected the same test images")
    if (actual != other).any():
        row = int((actual != other).to_numpy().argmax())
        facts = f"{actual[row]} at {a.name} and {other[row]} at {b.name}"
        raise Refusal(f"{PREDICTIONS} has the actual digit of test image {row:,} as {facts}, expected the same truth")
    pairs = pd.DataFrame({"actual": actual, "a": a.predictions["predicted"], "b": b.predictions["predicted"]})
    return pairs.assign(a_right=pairs["a"] == actual, b_right=pairs["b"] == actual)


def mcnemar(only_a: int, only_b: int) -> float:
    """The p-value of McNemar's exact test, two-sided, from how many images only A and only B got right."""
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def verdict(only_a: int, only_b: int) -> str:
    """What McNemar's exact test allows to be said at the 0.05 level."""
    p = mcnemar(only_a, only_b)
    winner = "A" if only_a > only_b else "B"
    return f"{f'{winner} is better' if p < LEVEL else 'no evidence of a difference'}: p = {p:.3g}"


def by_digit(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row a digit that has images: `digit`, `images`, `a_accuracy`, `b_accuracy`, `only_a` and `only_b` right."""
    a, b = pairs["a_right"], pairs["b_right"]
    table = pd.DataFrame({"digit": pairs["actual"], "a": a, "b": b, "only_a": a & ~b, "only_b": b & ~a})
    return table.groupby("digit", as_index=False).agg(
        images=("a", "size"), a_accuracy=("a", "mean"), b_accuracy=("b", "mean"),
        only_a=("only_a", "sum"), only_b=("only_b", "sum"),
    )  # fmt: skip


def compare(a: Revision, b: Revision, pairs: pd.DataFrame) -> dict[str, Any]:
    """Everything there is to say of two revisions and what `pair` gives of them, in the form of `--json`."""

    def side(revision: Revision, right: int) -> dict[str, Any]:
        low, high = (round(bound, 6) for bound in wilson_interval(right, len(pairs)))
        accuracy = round(right / len(pairs), 6)
        return {"revision": revision.name, "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}

    digits = by_digit(pairs)
    only_a, only_b = int(digits["only_a"].sum()), int(digits["only_b"].sum())
    return {
        "dataset": a.dataset,
        "images": len(pairs),
        "a": side(a, int(pairs["a_right"].sum())),
        "b": side(b, int(pairs["b_right"].sum())),
        "only_a": only_a,
        "only_b": only_b,
        "p": mcnemar(only_a, only_b),
        "verdict": verdict(only_a, only_b),
        "digits": digits.round(6).to_dict("records"),
    }


def report(numbers: dict[str, Any]) -> str:
    """What `compare` found, for a person to read."""
    width = max(len(numbers[side]["revision"]) for side in "ab")
    lines = [
        f"{side}  {of['revision']:{width}}  accuracy {of['accuracy']:.2%}, "
        f"95% Wilson interval {of['accuracy_low']:.2%} to {of['accuracy_high']:.2%}"
        for side, of in (("A", numbers["a"]), ("B", numbers["b"]))
    ]
    lines += [
        f"\nOf {numbers['images']:,} test images of {numbers['dataset']}, "
        f"{numbers['only_a']:,} only A has right and {numbers['only_b']:,} only B.",
        f"{numbers['verdict']} (McNemar's exact test; p below {LEVEL} counts as evidence)",
        "\ndigit  images        A        B  only A right  only B right",
    ]
    lines += [
        f"{row['digit']:5}  {row['images']:6,}  {row['a_accuracy']:7.2%}  {row['b_accuracy']:7.2%}  "
        f"{row['only_a']:12,}  {row['only_b']:12,}"
        for row in numbers["digits"]
    ]
    return "\n".join(lines)


def draw(images: np.ndarray, pairs: pd.DataFrame, title: str) -> Figure:
    """Draw the test images, of shape (n, 28, 28), that A and B read differently; those that one has right first."""
    apart = pairs[pairs["a"] != pairs["b"]]
    one_right = apart["a_right"] | apart["b_right"]
    shown = pd.concat([apart[one_right], apart[~one_right]])[:MOST_SHOWN]
    captions = [f"is {row.actual}\nA: {row.a}\nB: {row.b}" for row in shown.itertuples()]
    return draw_digits(images[shown.index], captions, 10, f"{title}: {len(shown)} of {len(apart):,} images")


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.compare",
        description="Say whether the networks of two revisions differ by more than luck on the test images.",
        epilog=f"A revision is whatever Git calls a commit, a DVC experiment's name, or {WORKSPACE}. McNemar's p below "
        f"{LEVEL} counts as evidence that these trained networks differ, not that with other seeds they would.",
    )
    parser.add_argument("a", metavar="REV_A", nargs="?", default="HEAD", help="(default: %(default)s)")
    parser.add_argument("b", metavar="REV_B", nargs="?", default=WORKSPACE, help="(default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--show", metavar="FILE.png", type=png_path, help="draw the images that the two read differently"
    )
    arguments = parser.parse_args()

    a, b = read_revision(arguments.a), read_revision(arguments.b)
    pairs = pair(a, b)
    if arguments.show:
        images, labels = read_split("test")
        if not np.array_equal(labels, pairs["actual"]):
            raise Refusal(f"{PREPARED} has other test images than {a.name}; `dvc repro` makes those of params.yaml")
        use_style()
        title = f"Where A ({a.name:.20}) and B ({b.name:.20}) differ"
        write_figure(arguments.show, draw(images, pairs, title), DPI)
    numbers = compare(a, b, pairs)
    print(json.dumps(numbers, indent=2) if arguments.json else report(numbers))


if __name__ == "__main__":
    run(main)
