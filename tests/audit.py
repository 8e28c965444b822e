"""Run a stage and write down which of the repository's files and parameters it touches.

Usage, from the repository's root: python path/to/audit.py STAGE REPORT.json
The report has "read" and "written" (paths relative to the root) and "parameters" (dotted keys of params.yaml).
"""

import json
import os
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path.cwd()
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTED = os.getpid()
touched: dict[str, set[str]] = {"read": set(), "written": set(), "parameters": set()}
by_others = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115, what processes touch that the stage forks


def name_in_repository(path: object) -> str | None:
    """The path below the root, or None for what lies elsewhere, is a folder or is not a path."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    found = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100, resolve() follows links out of here
    if not found.is_relative_to(ROOT) or found.is_dir():
        return None
    name = found.relative_to(ROOT)
    if name.parent.name == "__pycache__":  # where Python keeps what it made of a module, which stands for the module
        name = name.parent.parent / f"{name.name.partition('.')[0]}.py"
    return None if name.parts[0] in {".git", ".dvc", ".venv"} else name.as_posix()


def watch(event: str, arguments: tuple) -> None:
    """Take down what an audit event says of files."""
    if event == "open":
        name = name_in_repository(arguments[0])
        if not name or not (arguments[2] & WRITING or (ROOT / name).exists()):
            return
        kind = "written" if arguments[2] & WRITING else "read"
        if name not in touched[kind] and os.getpid() != STARTED:
            by_others.write(f"{kind} {name}\n".encode())
        touched[kind].add(name)
    elif event == "os.rename":
        source, target = name_in_repository(arguments[0]), name_in_repository(arguments[1])
        touched["written"].discard(source or "")
        if target:
            touched["written"].add(target)


def sections(section: object, key: str) -> Iterator[tuple[int, str]]:
    """The identity of each part of the parameters, and the key that it stands at."""
    if isinstance(section, dict):
        for name, part in section.items():
            yield from sections(part, f"{key}.{name}")
    elif hasattr(type(section), "model_fields"):
        yield id(section), key
        for name in type(section).model_fields:
            yield from sections(getattr(section, name), f"{key}.{name}")


def watch_parameters() -> None:
    """Take down which parameters are read after params.yaml has been checked."""
    from digits.foundation import parameters

    keys: dict[int, str] = {}
    read_parameters, get = parameters.read_parameters, parameters.Section.__getattribute__

    def watched_read(*arguments: object) -> object:
        whole = read_parameters(*arguments)
        keys.update(dict(sections(whole, "")))
        return whole

    def watched_get(self: object, name: str) -> object:
        if id(self) in keys and name in type(self).model_fields:
            touched["parameters"].add(f"{keys[id(self)]}.{name}".removeprefix("."))
        return get(self, name)

    parameters.read_parameters = watched_read
    parameters.Section.__getattribute__ = watched_get


if __name__ == "__main__":
    stage, report = sys.argv[1:]
    sys.path[0] = str(ROOT)
    sys.argv = [stage]
    sys.addaudithook(watch)
    watch_parameters()
    try:
        runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
    finally:
        by_others.seek(0)
        for kind, _, name in (line.partition(" ") for line in by_others.read().decode().splitlines()):
            touched[kind].add(name)
        # What was only passing by, a file on its way to its name, is nobody's output.
        touched["written"] = {name for name in touched["written"] if (ROOT / name).exists()}
        Path(report).write_text(json.dumps({kind: sorted(names) for kind, names in touched.items()}))
