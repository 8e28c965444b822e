"""Who may import whom: stages and commands import what they share from digits, which imports neither."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = {room: sorted((ROOT / room).glob("*.py")) for room in ("digits", "stages", "commands")}


def imports(file: Path) -> set[str]:
    """The modules that a file names in its imports, wherever in it they stand."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file.name} imports relatively"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def modules(room: str) -> set[str]:
    return {f"{room}.{file.stem}" for file in ROOMS[room] if file.stem != "__init__"}


FORBIDDEN = {
    "digits": modules("stages") | modules("commands") | {"stages", "commands"},
    "stages": modules("stages") | modules("commands") | {"commands"},
    "commands": modules("stages") | modules("commands") | {"stages"},
}


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_only_what_it_may(room: str):
    assert ROOMS[room]
    wrong = {file.name: found for file in ROOMS[room] if (found := imports(file) & FORBIDDEN[room])}
    assert wrong == {}


def test_an_import_within_a_function_is_found(tmp_path: Path):
    (tmp_path / "planted.py").write_text("def main():\n    from stages import train\n")
    assert "stages.train" in imports(tmp_path / "planted.py") & FORBIDDEN["stages"]
