"""What a network learns from a dataset besides the images."""

from dataclasses import dataclass

from digits.foundation.parameters import Framing


@dataclass(frozen=True)
class Task:
    """What a network is to tell apart, and how a picture is made an image for it."""

    classes: list[str]
    framing: Framing

    @property
    def ink(self) -> bool:
        """Whether grey images are ink, 1 the pen's and 0 the paper's, as MNIST's are, or light, 1 white and 0 black."""
        return self.framing == "digit"

    @property
    def of_digits(self) -> bool:
        """Whether pictures are framed to what is drawn on them, and the classes are digits."""
        return self.framing == "digit" and set(self.classes) <= set("0123456789")
