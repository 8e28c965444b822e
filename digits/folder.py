"""A person's own images, gathered from folders that are named after their classes."""

from pathlib import Path
from typing import Any

from digits.command import Refusal


def gather(folder: Path, **_: Any) -> Any:
    """Read the images below `folder`/CLASS/."""
    raise Refusal(f"{folder}: images of one's own cannot be read yet")
