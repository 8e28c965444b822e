"""What the networks of several revisions said of the test images that all of them were measured on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from digits.data.measured import DATA, FILES, TEST_IMAGES, images_by_source, parse_test_images
from digits.foundation.command import Refusal
from digits.results.predictions import PREDICTIONS, parse_predictions
from digits.results.revisions import read_file


@dataclass(frozen=True)
class Revision:
    """What a revision's network said of its dataset's test images.

    Attributes:
        predictions: a row an image: `image` (its identity in every revision), `source`, `actual`, `predicted`, and
            where some are a person's own, the columns of FILES.
    """

    name: str
    dataset: str
    predictions: pd.DataFrame


def read_revision(name: str) -> Revision:
    """The predictions of a revision and what they are of.

    Raises:
        Refusal: the revision or one of its files is missing, or a file is not as `prepare` and `evaluate` write it.
    """
    source = f"{PREDICTIONS} at {name}"
    predictions = parse_predictions(read_file(name, PREDICTIONS), source)
    if predictions.empty:
        raise Refusal(f"{source} has no rows, expected one for each test image")
    images = parse_test_images(read_file(name, TEST_IMAGES), f"{TEST_IMAGES} at {name}")
    data = read_file(name, DATA)
    sources = images_by_source(data, f"{DATA} at {name}")
    if not len(predictions) == len(images) == sum(sources.values()):
        facts = f"{len(predictions):,} rows, {TEST_IMAGES} {len(images):,}, {DATA} counts {sum(sources.values()):,}"
        raise Refusal(f"{source} has {facts}: expected as many")
    of_source = np.repeat(list(sources), list(sources.values()))
    table = predictions[["actual", "predicted"]].join(images).assign(source=of_source)
    return Revision(name, str(json.loads(data)["dataset"]), table)


def pair(a: Revision, b: Revision) -> pd.DataFrame:
    """Put what two revisions said of each test image that both were measured on side by side.

    Returns:
        A row an image, in the order of A: `row` (its place in A), `image`, `source` (as A has it), `actual`, the
        predictions `a` and `b`, the bools `a_right` and `b_right`, each by its own revision's label, `relabeled` where
        those differ, and the columns of FILES, as A has them, or else B.

    Raises:
        Refusal: they have no image in common.
    """
    sides = [
        revision.predictions.assign(
            row=range(len(revision.predictions)), time=revision.predictions.groupby("image").cumcount()
        )
        for revision in (a, b)
    ]
    of_b = sides[1].drop(columns=["row", "source"])
    pairs = sides[0].merge(of_b, on=["image", "time"], suffixes=("", "_b"))
    if pairs.empty:
        raise Refusal(
            f"{a.name} was measured on {a.dataset} and {b.name} on {b.dataset}, which have no test image in common"
        )
    right = {"a_right": pairs["predicted"] == pairs["actual"], "b_right": pairs["predicted_b"] == pairs["actual_b"]}
    right["relabeled"] = pairs["actual"] != pairs["actual_b"]
    pairs = pairs.rename(columns={"predicted": "a", "predicted_b": "b"})
    files = pairs[list(FILES)] if "file" in pairs else {"file": "", "more": 0}
    return pairs[["row", "image", "source", "actual", "a", "b"]].assign(**right, **files)


def mcnemar(only_a: int, only_b: int) -> float:
    """The p-value of McNemar's exact test, two-sided, from how many images only A and only B got right."""
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def right_in_all(revisions: Sequence[Revision]) -> pd.DataFrame:
    """Whether each revision has each image right, by its own label, of those that all were measured on.

    Returns:
        A row an image, a bool column a revision, 0 to below their number.

    Raises:
        Refusal: they have no image in common.
    """
    columns = []
    for place, revision in enumerate(revisions):
        table = revision.predictions
        time = table.groupby("image").cumcount()
        right = (table["actual"] == table["predicted"]).rename(place)
        columns.append(right.to_frame().set_index([table["image"], time]))
    common = pd.concat(columns, axis=1, join="inner")
    if common.empty:
        raise Refusal(f"{', '.join(revision.name for revision in revisions)} have no test image in common")
    return common.reset_index(drop=True)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979) of the p-values of several tests: each as one of so many, in their order."""
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(order)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min((len(order) - rank) * p_values[place], 1.0))
        corrected[place] = largest
    return corrected
