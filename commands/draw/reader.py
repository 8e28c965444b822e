"""The trained network as it is on the disk, and what it says of an image."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from commands.serving.pixels import data_url
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.yaml import parse_yaml
from digits.network import archive, inference
from digits.pictures.framing import Reading
from digits.pictures.ink import NoDigit
from digits.results.answers import entry, in_doubt, two_best
from digits.results.rows import Row, row_entry, text

LOCK = Path("dvc.lock")
DATA = Path("metrics/data.json")
TEST = Path("metrics/test.json")
TRAIN = Path("metrics/train.json")
State = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """A network that is loaded."""

    task: Task
    shape: tuple[int, ...]
    """Height, width and channels of its images."""
    log_probabilities: Callable[[np.ndarray], np.ndarray]

    def answer(self, readings: list[Reading]) -> dict[str, object]:
        """What the network says of a picture: the fields of `commands.predict --json`, and two for the page.

        `says` is the answer in words, `seen` what the network saw, a data URL of a PNG. Where there are several digits
        on it, the fields are those of `--several --json`.
        """
        probabilities = inference.mean_probabilities(self.log_probabilities, [one.views for one in readings])
        classes = self.task.classes
        seen = data_url(np.concatenate([one.image for one in readings], axis=1), self.task.ink)
        if len(readings) > 1:
            row = Row(probabilities, [one.box for one in readings], [one.line for one in readings])
            return row_entry("-", row, classes) | {"says": text(row, classes), "seen": seen}
        best, runner_up = (classes[place] for place in two_best(probabilities[0]))
        says = f"{best}, or perhaps {runner_up}" if in_doubt(probabilities[0]) else best
        return entry("-", probabilities[0], classes) | {"says": says, "seen": seen}


def without_digit(refusal: NoDigit) -> dict[str, object]:
    """What is said of a picture that shows none."""
    return {"path": "-", "error": f"the picture {refusal}", "says": "I see no digit"}


class Reader:
    """The network of a file, whichever is there now. For one thread at a time.

    Args:
        path: of models/model.keras, or of another that `archive.load_any` takes.

    Raises:
        Refusal: there is none, or none that can be read. Once one was, it answers until another can be read.
    """

    def __init__(self, path: Path = archive.PATH) -> None:
        self.trouble = ""
        self.assumed = ""
        """Of a network that was trained elsewhere, what had to be, in words."""
        self._path = path
        self._loaded_from: State | None = None
        self._described_from: list[State] = []
        self.refresh()
        if self.trouble:
            raise Refusal(self.trouble)

    @property
    def classes(self) -> list[str]:
        """The names of what the network tells apart."""
        return self._network.task.classes

    def network(self) -> Network:
        """The network that is in the file now."""
        self.refresh()
        return self._network

    def about(self) -> dict[str, Any]:
        """Which network answers: name, dataset and test accuracy as far as dvc.lock has it, classes, trouble."""
        self.refresh()
        task = {"classes": self.classes, "framing": self._network.task.framing}
        return self._described | task | {"assumed": self.assumed, "trouble": self.trouble}

    def told(self) -> str:
        """Which network answers, in words."""
        about = self.about()
        name = about["network"] or f"a network that {LOCK} does not know"
        accuracy, dataset = about["accuracy"], about["dataset"]
        return f"{name} answers" + (f", {accuracy:.2%} right on the test images of {dataset}" if accuracy else "")

    def refresh(self) -> None:
        """Load the network anew where its file has changed, and keep the one that is loaded where that fails."""
        state = _state(self._path)
        if state != self._loaded_from:
            self._loaded_from = state
            try:
                self._load()
                self.trouble = ""
            except (Refusal, OSError) as error:
                self.trouble = str(error)
        states = [state, *map(_state, (LOCK, TRAIN, TEST, DATA))]
        if states != self._described_from and not self.trouble:
            self._described_from = states
            self._described = describe(_md5(self._path))
            if self._described["network"] is None and self._path != archive.PATH:
                self._described["network"] = self._path.name

    def _load(self) -> None:
        classifier, self.assumed = archive.load_any(self._path)
        log_probabilities = inference.compiled(classifier.model)
        shape = classifier.model.input_shape[1:]
        log_probabilities(np.zeros((1, *shape), np.float32))  # compiles it
        self._network = Network(classifier.task, shape, log_probabilities)


def describe(md5: str) -> dict[str, object]:
    """The name, dataset and test accuracy of the network whose file has that MD5, None where dvc.lock knows others."""
    unknown: dict[str, object] = {"network": None, "dataset": None, "accuracy": None}
    try:
        stages = parse_yaml(LOCK.read_bytes(), LOCK)["stages"]
        train, evaluate = stages["train"], stages["evaluate"]
        if _of(train["outs"], archive.PATH) != md5:
            return unknown
        known = dict(unknown)
        if _md5(TRAIN) == _of(train["outs"], TRAIN):
            known["network"] = str(json.loads(TRAIN.read_bytes())["network"])
        if [md5, _md5(DATA), _md5(TEST)] == [
            _of(evaluate["deps"], archive.PATH), _of(evaluate["deps"], DATA), _of(evaluate["outs"], TEST)
        ]:  # fmt: skip
            known["dataset"] = str(json.loads(DATA.read_bytes())["dataset"])
            known["accuracy"] = float(json.loads(TEST.read_bytes())["accuracy"])
        return known
    except (OSError, Refusal, LookupError, TypeError, ValueError):
        return unknown


def _of(entries: list[dict[str, str]], path: Path) -> str:
    return next(entry["md5"] for entry in entries if entry["path"] == path.as_posix())


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _state(path: Path) -> State:
    """What tells whether a file was replaced; nothing where there is none."""
    try:
        facts = path.stat()
        return facts.st_mtime_ns, facts.st_size, facts.st_ino
    except OSError:
        return ()
