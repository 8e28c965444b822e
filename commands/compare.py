"""Say whether the networks of revisions differ by more than luck: `python -m commands.compare [REV_A [REV_B ...]]`.

Of the test images that both were measured on, those that only one network got right are what tells the two apart. Were
they equally good, each of these would fall to either side as a coin does: McNemar's test (1947), here in its exact,
binomial form. It speaks of these two networks as trained, not of what another seed would make of their recipes.
Of more than two revisions, a table ranks all, and says which are better than which by that test, corrected for how
often it was made.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from digits.data.measured import FILES, TEST_IMAGES, parse_test_images
from digits.data.prepared import PREPARED, read_images, read_task
from digits.foundation.command import Refusal, png_path, run
from digits.results.accuracy import wilson_interval
from digits.results.drawing import draw_images, file_caption, shortened, use_style, write_figure
from digits.results.pairing import Revision, holm, mcnemar, pair, read_revision, right_in_all
from digits.results.predictions import told
from digits.results.revisions import WORKSPACE

LEVEL = 0.05
MOST_SHOWN, DPI = 50, 120
MOST_CLASSES, MOST_FILES = 30, 20  # in the report for people


def verdict(only_a: int, only_b: int) -> str:
    """What McNemar's exact test allows to be said at the 0.05 level."""
    p = mcnemar(only_a, only_b)
    winner = "A" if only_a > only_b else "B"
    return f"{f'{winner} is better' if p < LEVEL else 'no evidence of a difference'}: p = {p:.3g}"


def count(pairs: pd.DataFrame, by: str) -> pd.DataFrame:
    """A row a class or source, in alphabetical order.

    Args:
        pairs: as `pair` gives them.
        by: the column to count by.

    Returns:
        Its name in the column `by`, then `images`, `a_accuracy`, `b_accuracy`, `only_a` and `only_b` right.
    """
    a, b = pairs["a_right"], pairs["b_right"]
    table = pd.DataFrame({by: pairs[by], "a": a, "b": b, "only_a": a & ~b, "only_b": b & ~a})
    return table.groupby(by, as_index=False).agg(
        images=("a", "size"), a_accuracy=("a", "mean"), b_accuracy=("b", "mean"),
        only_a=("only_a", "sum"), only_b=("only_b", "sum"),
    )  # fmt: skip


def compare(a: Revision, b: Revision, pairs: pd.DataFrame) -> dict[str, Any]:
    """Everything there is to say of two revisions and what `pair` gives of them, in the form of `--json`."""

    def side(revision: Revision, right: int) -> dict[str, Any]:
        low, high = (round(bound, 6) for bound in wilson_interval(right, len(pairs)))
        accuracy = round(right / len(pairs), 6)
        return {"revision": revision.name, "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}

    classes = count(pairs.rename(columns={"actual": "class"}), "class")
    sources = count(pairs, "source")
    only_a, only_b = int(classes["only_a"].sum()), int(classes["only_b"].sum())
    differ = pairs["a_right"] != pairs["b_right"]
    tested = sources.assign(p=[mcnemar(*row) for row in sources[["only_a", "only_b"]].itertuples(index=False)])
    return {
        "dataset": a.dataset if a.dataset == b.dataset else f"{a.dataset} and {b.dataset}",
        "images": len(pairs),
        "images_of_either": len(a.predictions) + len(b.predictions) - len(pairs),
        "labels_differ": int(pairs["relabeled"].sum()),
        "a": side(a, int(pairs["a_right"].sum())),
        "b": side(b, int(pairs["b_right"].sum())),
        "only_a": only_a,
        "only_b": only_b,
        "p": mcnemar(only_a, only_b),
        "verdict": verdict(only_a, only_b),
        "sources": tested.round({"a_accuracy": 6, "b_accuracy": 6}).to_dict("records"),
        "classes": classes.round(6).to_dict("records"),
        "files": pairs[differ & (pairs["file"] != "")][[*FILES, "actual", "a", "b"]].to_dict("records"),
    }


def report(numbers: dict[str, Any]) -> str:
    """What `compare` found, for a person to read."""
    width = max(len(numbers[side]["revision"]) for side in "ab")
    lines = [
        f"{side}  {of['revision']:{width}}  accuracy {of['accuracy']:.2%}, "
        f"95% Wilson interval {of['accuracy_low']:.2%} to {of['accuracy_high']:.2%}"
        for side, of in (("A", numbers["a"]), ("B", numbers["b"]))
    ]
    images, of_either = numbers["images"], numbers["images_of_either"]
    some = f"{images:,}"
    if images < of_either:
        lines.append(f"\nOf {of_either:,} test images {images:,} are in both, and these alone are counted.")
        some = f"the {images:,}"
    if numbers["labels_differ"]:
        lines.append(f"\n{numbers['labels_differ']:,} have another label in B than in A: each counts by its own.")
    lines += [
        f"\nOf {some} test images of {numbers['dataset']}, "
        f"{numbers['only_a']:,} only A has right and {numbers['only_b']:,} only B.",
        f"{numbers['verdict']} (McNemar's exact test; p below {LEVEL} counts as evidence)",
    ]
    if len(numbers["sources"]) > 1:
        lines += ["", *table(numbers["sources"], "source")]
        lines += [
            f"{row['source']}: {verdict(row['only_a'], row['only_b'])}" for row in numbers["sources"]
        ]  # fmt: skip
    classes = numbers["classes"]
    shown = sorted(classes, key=lambda row: -row["only_a"] - row["only_b"])[:MOST_CLASSES]
    left = f"({len(classes) - len(shown)} classes with fewer differences are in --json)"
    kept = [row for row in classes if row in shown]
    lines += ["", *table(kept, "class"), *([left] if len(shown) < len(classes) else [])]
    return "\n".join([*lines, *name_files(numbers["files"])])


def name_files(files: list[dict[str, Any]]) -> list[str]:
    """Lines of a person's own images that only one of the two has right; none where there are none."""
    shown = files[:MOST_FILES]
    left = [f"(and {len(files) - MOST_FILES:,} more in --json)"] if len(files) > MOST_FILES else []
    heading = ["", "Of your own images, only one has right:"] if files else []
    lines = [f"{told(row['file'], row['more'])}: is {row['actual']}, A: {row['a']}, B: {row['b']}" for row in shown]
    return [*heading, *lines, *left]


def table(rows: list[dict[str, Any]], by: str) -> list[str]:
    """Lines of what `count` gives, a heading first."""
    width = max(len(by), *(len(str(row[by])) for row in rows))
    return [
        f"{by:{width}}  images        A        B  only A right  only B right",
        *(
            f"{row[by]:{width}}  {row['images']:6,}  {row['a_accuracy']:7.2%}  {row['b_accuracy']:7.2%}  "
            f"{row['only_a']:12,}  {row['only_b']:12,}"
            for row in rows
        ),
    ]


def draw(images: np.ndarray, ink: bool, pairs: pd.DataFrame, title: str) -> Figure:
    """Draw the test images that A and B read differently; those that one has right first.

    Args:
        images: shape (n, height, width, channels), those of `pairs`, in its order.
        ink: whether they are, as `Task.ink` says.
        pairs: as `pair` gives them.
        title: of the picture.
    """
    apart = pairs[pairs["a"] != pairs["b"]]
    one_right = apart["a_right"] | apart["b_right"]
    shown = pd.concat([apart[one_right], apart[~one_right]])[:MOST_SHOWN]
    names = shown[["actual", "a", "b"]].map(lambda name: shortened(name, 10))
    files = [f"\n{file_caption(file)}" if file else "" for file in shown["file"]]
    captions = [
        f"is {row.actual}\nA: {row.a}\nB: {row.b}{file}" for row, file in zip(names.itertuples(), files, strict=True)
    ]
    return draw_images(images[shown.index], ink, captions, 10, f"{title}: {len(shown)} of {len(apart):,} images")


def test_images_of(pairs: pd.DataFrame) -> np.ndarray:
    """The images of `pairs`, from the workspace's test split.

    Raises:
        Refusal: the workspace has other test images.
    """
    names = parse_test_images(TEST_IMAGES.read_bytes(), str(TEST_IMAGES))["image"]
    images = read_images("test")
    places = pd.Series(range(len(names)), names)
    places = places[~places.index.duplicated()].reindex(pairs["image"])
    if len(names) > len(images) or places.isna().any():
        raise Refusal(f"{PREPARED} has other test images than A; `dvc repro` makes those of params.yaml")
    return images[places.astype(int)]


def rank(revisions: Sequence[Revision]) -> dict[str, Any]:
    """Everything there is to say of more than two revisions, in the form of `--json`: the best comes first."""
    right = right_in_all(revisions)
    order = sorted(range(len(revisions)), key=lambda place: -right[place].sum())
    two = list(itertools.combinations(order, 2))
    only = [(int((right[a] & ~right[b]).sum()), int((right[b] & ~right[a]).sum())) for a, b in two]
    p_values = holm([mcnemar(*counts) for counts in only])
    beaten = {(a, b) for (a, b), p in zip(two, p_values, strict=True) if p < LEVEL}
    rows = []
    for place in order:
        low, high = wilson_interval(int(right[place].sum()), len(right))
        numbers = {"accuracy": right[place].mean(), "accuracy_low": low, "accuracy_high": high}
        rows.append({
            "revision": revisions[place].name,
            **{name: round(float(value), 6) for name, value in numbers.items()},
            "better_than": [revisions[other].name for other in order if (place, other) in beaten],
        })  # fmt: skip
    accuracies = right.mean().to_numpy()
    return {
        "images": len(right),
        "mean": round(float(accuracies.mean()), 6),
        "standard_deviation": round(float(accuracies.std(ddof=1)), 6),
        "revisions": rows,
        "pairs": [
            {"a": revisions[a].name, "b": revisions[b].name, "only_a": counts[0], "only_b": counts[1], "p": p}
            for (a, b), counts, p in zip(two, only, p_values, strict=True)
        ],
    }


def league(numbers: dict[str, Any]) -> str:
    """What `rank` found, for a person to read."""
    rows = numbers["revisions"]
    width = max(len("revision"), *(len(row["revision"]) for row in rows))
    accuracies = [row["accuracy"] for row in rows]
    places = [1 + sum(other > accuracy for other in accuracies) for accuracy in accuracies]  # equals share theirs
    lines = [
        f"{place:2}  {row['revision']:{width}}  {row['accuracy']:8.2%}  {row['accuracy_low']:.2%} to "
        f"{row['accuracy_high']:.2%}  {', '.join(row['better_than']) or '-'}"
        for place, row in zip(places, rows, strict=True)
    ]
    return "\n".join([
        f"Of the {numbers['images']:,} test images that all {len(rows)} were measured on:",
        "",
        f"    {'revision':{width}}  accuracy  95% interval      better than",
        *lines,
        "",
        f"mean {numbers['mean']:.2%}, standard deviation {100 * numbers['standard_deviation']:.2f} points",
        f"(better: McNemar's exact test, p below {LEVEL} after Holm's correction for {len(numbers['pairs'])} tests)",
    ])  # fmt: skip


def main() -> None:
    """Read the command line, compare, print."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.compare",
        description="Say whether the networks of two or more revisions differ by more than luck on the test images.",
        epilog=f"A revision is whatever Git calls a commit, a DVC experiment's name, or {WORKSPACE}. McNemar's p below "
        f"{LEVEL} counts as evidence that these trained networks differ, not that with other seeds they would.",
    )
    parser.add_argument("revisions", metavar="REV", nargs="*", help=f"(default: HEAD {WORKSPACE})")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument(
        "--show", metavar="FILE.png", type=png_path, help="draw the images that the two read differently"
    )
    arguments = parser.parse_args()

    names = arguments.revisions + ["HEAD", WORKSPACE][len(arguments.revisions) :]
    if len(names) > 2:
        if arguments.show:
            raise Refusal(f"--show draws where two revisions differ, these are {len(names)}")
        numbers = rank([read_revision(name) for name in names])
        print(json.dumps(numbers, indent=2) if arguments.json else league(numbers))
        return
    a, b = map(read_revision, names)
    pairs = pair(a, b)
    if arguments.show:
        use_style()
        title = f"Where A ({a.name:.20}) and B ({b.name:.20}) differ"
        write_figure(arguments.show, draw(test_images_of(pairs), read_task().ink, pairs, title), DPI)
    numbers = compare(a, b, pairs)
    print(json.dumps(numbers, indent=2) if arguments.json else report(numbers))


if __name__ == "__main__":
    run(main)
