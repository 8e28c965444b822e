"""What a network said of each test image, as `evaluate` leaves it in plots/predictions.csv."""

from pathlib import Path

import pandas as pd

from digits.data.measured import FILES
from digits.foundation.tables import parse_table, read_table

PREDICTIONS = Path("plots/predictions.csv")
COLUMNS = {"actual": str, "predicted": str, "confidence": float}
"""A row a test image, in order; where some are a person's own, the columns of FILES follow."""


def read_predictions() -> pd.DataFrame:
    """The workspace's.

    Raises:
        Refusal: they are no such table.
    """
    return read_table(PREDICTIONS, COLUMNS, FILES)


def parse_predictions(content: bytes, source: str) -> pd.DataFrame:
    """Those of another revision.

    Args:
        content: of the file.
        source: where it comes from, for what is said of a mistake.

    Raises:
        Refusal: they are no such table.
    """
    return parse_table(content, source, COLUMNS, FILES)


def misread(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows that are wrong, the most confident first."""
    wrong = predictions[predictions["actual"] != predictions["predicted"]]
    return wrong.sort_values("confidence", ascending=False, kind="stable")


def told(file: str, more: int) -> str:
    """The files that show a picture, in words: the first one's name, and how many more there are."""
    return f"{file} and {more:,} more" if more else file
