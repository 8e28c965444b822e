"""Which test images a revision was measured on: where they are from, and the names by which others know them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from digits.foundation.command import Refusal
from digits.foundation.tables import parse_table

if TYPE_CHECKING:
    import pandas as pd

DATA = Path("metrics/data.json")
"""Counts them by source, in the order in which they stand in the test split."""
TEST_IMAGES = Path("metrics/test_images.csv")
"""A row a test image: `image`, the 16 letters of its identity, the same in every revision; then perhaps FILES."""
FILES = {"file": str, "more": int}
"""Of a person's own image: the file below data/own/images that shows it, the first by its name where there are several,
and how many more do; of any other image: none, 0."""


def parse_test_images(content: bytes, source: str) -> "pd.DataFrame":
    """The table of the test images, with the columns of FILES where some are a person's own.

    Args:
        content: of metrics/test_images.csv.
        source: where it comes from, for what is said of a mistake.

    Raises:
        Refusal: it is no such table.
    """
    return parse_table(content, source, {"image": str}, FILES)


def images_by_source(content: bytes, path: str) -> dict[str, int]:
    """How many test images are from each source, in the order in which they stand in the test split.

    Args:
        content: of metrics/data.json.
        path: of the file, for what is said of a mistake.

    Returns:
        By the sources' names; a single one where the dataset is not joined.

    Raises:
        Refusal: it is no JSON of these.
    """
    try:
        if not content.endswith(b"}\n"):
            raise ValueError("it ends too early")
        numbers = json.loads(content)
        sources = {numbers["dataset"]: numbers}
        counts = {str(name): source["test"] for name, source in (numbers.get("sources") or sources).items()}
        if not all(isinstance(count, int) and count >= 0 for count in counts.values()):
            raise ValueError("these are no counts")
        return counts
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{path} is no JSON that names a dataset and counts its test images") from error
