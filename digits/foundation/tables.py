"""Tables as CSV, written whole and read as they were written."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from digits.foundation.command import Refusal
from digits.foundation.files import write_bytes

if TYPE_CHECKING:  # it takes half a second to be imported, and most that know of a table read none
    import pandas as pd


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV with a header and without the index."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def read_table(path: Path, columns: Mapping[str, type], further: Mapping[str, type] = {}) -> "pd.DataFrame":
    """Read a table that `write_table` wrote.

    Args:
        path: of the CSV file.
        columns: its columns in order, each with its type; an empty cell is NaN.
        further: those that may follow, all of them or none.

    Raises:
        Refusal: the file is no such table, as `parse_table` says.
    """
    try:
        return parse_table(path.read_bytes(), str(path), columns, further)
    except Refusal as refusal:
        raise Refusal(f"{refusal}; `dvc repro` makes it anew") from refusal


def parse_table(
    content: bytes, source: str, columns: Mapping[str, type], further: Mapping[str, type] = {}
) -> "pd.DataFrame":
    """Parse a table that `write_table` wrote.

    Args:
        content: of the CSV file.
        source: where it comes from, for what is said of a mistake.
        columns: its columns in order, each with its type; an empty cell of numbers is NaN.
        further: those that may follow, all of them or none.

    Raises:
        Refusal: the table has other columns, other types, or ends within a line.
    """
    import pandas as pd

    try:
        empty = {name: [""] for name, kind in columns.items() if kind is float}
        table = pd.read_csv(io.BytesIO(content), dtype={**columns, **further}, keep_default_na=False, na_values=empty)
    except ValueError as error:  # pandas' own errors are of this kind too
        raise Refusal(f"{source} is no table that can be read: {' '.join(str(error).split())}") from error
    if list(table.columns) not in ([*columns], [*columns, *further]) or not content.endswith(b"\n"):
        raise Refusal(f"{source} is no whole table of {', '.join(columns)}")
    return table
