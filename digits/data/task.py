"""What a network learns from a dataset besides the images."""

from dataclasses import dataclass

from digits.foundation.parameters import Framing


@dataclass(frozen=True)
class Task:
    """What a network is to tell apart, and how a picture is made an image for it."""

    classes: list[str]
    framing: Framing
