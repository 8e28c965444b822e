"""Where a long stage stands, kept on its way, so that what was killed or interrupted goes on instead of anew.

It is kept below .dvc/tmp, which DVC neither tracks nor deletes, and known by the content of all that dvc.yaml declares
for the stage, code included: on other inputs it counts for nothing, and a stage that goes on ends with the same bytes.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digits.foundation.command import Refusal
from digits.foundation.files import write_bytes
from digits.foundation.provenance import Inputs

FOLDER = Path(".dvc/tmp")
LEAST_S = 10.0  # of work that is worth keeping
SHARE = 0.02  # of its time that a stage may spend on this
READ_A_SECOND = 200e6  # bytes of inputs, while nobody knows yet how long it takes to look through them
FACTS, KEY = "facts", "key"


@dataclass(frozen=True)
class State:
    """Where a stage stands: arrays, in order, and what else there is to know, as JSON has it."""

    arrays: list[np.ndarray]
    facts: dict[str, Any]


class Checkpoint:
    """The file in which a stage keeps where it stands.

    Without declared inputs, or where there is no .dvc, nothing is kept.
    """

    def __init__(self, stage: str, inputs: Inputs | None) -> None:
        self._path = FOLDER / f"{stage}.npz"
        self._inputs = inputs if FOLDER.parent.is_dir() else None
        self._key: str | None = None
        self._cost = inputs.size() / READ_A_SECOND if inputs else 0
        self._since = time.perf_counter()

    def read(self) -> State | None:
        """Where a run on the same inputs stood when it last was kept, if there was one."""
        if not self._inputs or not self._path.is_file():
            return None
        try:
            with np.load(self._path, allow_pickle=False) as kept:
                if kept[KEY].item() != self._known_by():
                    return None
                arrays = [kept[str(number)] for number in range(len(kept.files) - 2)]
                return State(arrays, json.loads(kept[FACTS].item()))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # no file of ours, or a damaged one
            return None

    def offer(self, state: Callable[[], State]) -> None:
        """Keep where the stage stands, if enough has been done since it last was kept for that to cost next to nothing.

        Args:
            state: gives it, if it is wanted. What cannot be written, on a full disk, is not kept.
        """
        began = time.perf_counter()
        if not self._inputs or began - self._since < max(LEAST_S, self._cost / SHARE):
            return
        if key := self._known_by():
            found, content = state(), io.BytesIO()
            arrays = {str(number): array for number, array in enumerate(found.arrays)}
            np.savez(content, **arrays, **{FACTS: json.dumps(found.facts), KEY: key})  # type: ignore[arg-type]
            with suppress(Refusal):
                write_bytes(self._path, content.getvalue())
        self._since = time.perf_counter()
        self._cost = self._since - began

    def remove(self) -> None:
        """Keep nothing more: the stage has ended."""
        if self._inputs:
            self._path.unlink(missing_ok=True)

    def _known_by(self) -> str | None:
        """The inputs' digest, looked up once; None where they are no longer what the stage began with."""
        if self._inputs and not self._key:
            self._key = self._inputs.digest()
        return self._key
