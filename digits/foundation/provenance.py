"""Whether a stage's result comes from the inputs that DVC is going to note beside it.

DVC notes the hashes of a stage's dependencies and the values of its parameters when the stage has ended. What is edited
while it runs would stand in dvc.lock beside a result that it had no part in, and the run cache would hand that out
for good. So a stage takes down at its beginning what dvc.yaml declares for it, and refuses its result if that changed.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from digits.foundation.command import Refusal
from digits.foundation.yaml import parse_yaml

PIPELINE, PARAMETERS = Path("dvc.yaml"), Path("params.yaml")
SMALL = 2**20  # bytes; a file up to this size is known by a digest, a larger one by what the file system says of it,
MANY = 1000  # as are those of a folder that has more
MOST_NAMED = 3


class Inputs:
    """A stage's inputs as dvc.yaml declares them, taken down when this is made.

    Where there is no dvc.yaml, or it has no such stage, there is nothing for DVC to note and nothing to take down.
    A folder that is `left_out` counts for nothing until `take_down` names it: a stage that may not need it, whatever
    its size, takes it down before it reads it.
    """

    def __init__(self, stage: str, left_out: str | None = None) -> None:
        declared = _read(PIPELINE).get("stages", {}).get(stage, {})
        values = _read(PARAMETERS)
        self._stage = stage
        self._paths = [Path(path) for path in declared.get("deps", []) if path != left_out]
        self._keys = [
            re.sub(r"\$\{([\w.]+)\}", lambda name: str(_value(values, name[1])), key)
            for key in declared.get("params", [])
        ]
        self._before = self._now()

    def take_down(self, path: Path) -> None:
        """Take down a folder that was left out."""
        self._paths.append(path)
        self._before |= _states(path)

    def refuse_changes(self) -> None:
        """Refuse the stage's result if its inputs are not what they were.

        Raises:
            Refusal: names what has changed.
        """
        before, now = self._before, self._now()
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        if changed:
            more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
            raise Refusal(
                f"{', '.join(changed[:MOST_NAMED])}{more} changed while {self._stage} ran, so its result belongs to "
                "neither state; `dvc repro` runs it again"
            )

    def digest(self) -> str | None:
        """A digest of the inputs by their content, however large; None if they are not what they were."""
        known = hashlib.sha256()
        for file in sorted(file for path in self._paths for file in _files(path)):
            with suppress(FileNotFoundError), Path(file).open("rb") as content:
                known.update(f"{file}\n".encode() + hashlib.file_digest(content, "sha256").digest())
        now = self._now()
        for name in sorted(name for name in now if name.startswith(f"{PARAMETERS}: ")):
            known.update(f"{name} = {now[name]!r}\n".encode())
        return known.hexdigest() if now == self._before else None

    def size(self) -> int:
        """How many bytes the inputs have."""
        return sum(os.stat(file).st_size for path in self._paths for file in _files(path))  # noqa: PTH116

    def _now(self) -> dict[str, object]:
        values = _read(PARAMETERS)
        states = {name: state for path in self._paths for name, state in _states(path)}
        return states | {
            f"{PARAMETERS}: {leaf}": value for key in self._keys for leaf, value in _leaves(key, _value(values, key))
        }


def _read(path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(path.read_bytes(), path)
    except (OSError, Refusal):  # about which the stage itself has a sentence
        return {}
    return content if isinstance(content, dict) else {}


def _value(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _leaves(key: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield key, value


def _files(path: Path) -> list[str]:
    """The files at or below a path, if there are any."""
    if path.is_dir():
        below = (entry for entry in os.walk(path) if not entry[0].endswith("__pycache__"))
        return [f"{folder}/{name}" for folder, _, names in below for name in names]
    return [str(path)] if path.exists() else []


def _states(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files at or below a path, each with a digest of what it is known by."""
    files = _files(path)
    for file in files:
        with suppress(FileNotFoundError):
            yield file, _state(file, by_content=len(files) <= MANY)


def _state(file: str, by_content: bool) -> bytes:
    facts = os.stat(file)  # noqa: PTH116 (for 70,000 files, a Path each takes its time)
    by_content &= facts.st_size <= SMALL
    known = Path(file).read_bytes() if by_content else b"%d %d %d" % (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return hashlib.blake2b(known, digest_size=8).digest()
