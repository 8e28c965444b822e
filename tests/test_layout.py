"""Who may import whom: stages and commands import what they share from digits, which imports neither.

Those commands that open a page share commands/serving, which imports none of them. Within digits, a room imports only
rooms that stand below it.
"""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = {room: sorted((ROOT / room).rglob("*.py")) for room in ("digits", "stages", "commands")}


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
    """The modules of a room, and the packages, which are a command of several files each."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for file in ROOMS[room]
        for path in (file, file.parent)
        if path.stem != "__init__" and path != ROOT / room
    }


FORBIDDEN = {
    "digits": modules("stages") | modules("commands") | {"stages", "commands"},
    "stages": modules("stages") | modules("commands") | {"commands"},
    "commands": modules("stages") | modules("commands") | {"stages"},
}


SHARED = "commands.serving"  # what the commands share that open a page


def forbidden(room: str, file: Path) -> set[str]:
    """What a file may not import: a command that is a package may its own modules, and each what all share."""
    package = ".".join(file.parent.relative_to(ROOT).parts)
    allowed = tuple(f"{name}." for name in ({package} - {room}) | ({SHARED} if room == "commands" else set()))
    return {name for name in FORBIDDEN[room] if not f"{name}.".startswith(allowed)}


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_imports_only_what_it_may(room: str):
    assert ROOMS[room]
    wrong = {file.name: found for file in ROOMS[room] if (found := imports(file) & forbidden(room, file))}
    assert wrong == {}


def test_an_import_within_a_function_is_found(tmp_path: Path):
    (tmp_path / "planted.py").write_text("def main():\n    from stages import train\n")
    assert "stages.train" in imports(tmp_path / "planted.py") & FORBIDDEN["stages"]


def test_a_package_may_import_its_own_modules_and_no_other_command():
    assert {"commands.draw", "commands.draw.reader", "commands.predict"} <= FORBIDDEN["commands"]
    left = forbidden("commands", ROOT / "commands/draw/__main__.py")
    assert "commands.predict" in left
    assert not {name for name in left if name.startswith("commands.draw")}


def test_commands_alone_may_import_what_they_share_which_imports_no_command():
    assert f"{SHARED}.guard" in FORBIDDEN["stages"] & FORBIDDEN["digits"]
    assert f"{SHARED}.guard" in forbidden("stages", ROOT / "stages/train.py")
    assert f"{SHARED}.guard" not in forbidden("commands", ROOT / "commands/predict.py")
    assert {"commands.draw", "commands.draw.reader", "commands.predict"} <= forbidden(
        "commands", ROOT / "commands/serving/guard.py"
    )


FLOORS = [["foundation"], ["data"], ["pictures", "published", "network"], ["results"]]
LONGEST = 300  # lines of a module; the schema of params.yaml may have more
MOST = 8  # modules of a room


def test_every_room_of_digits_stands_on_a_floor_and_imports_downward():
    below: set[str] = set()
    for floor in FLOORS:
        for room in floor:
            above = {name for rooms in FLOORS for name in rooms} - below - {room}
            for file in (ROOT / "digits" / room).glob("*.py"):
                wrong = {
                    name for name in imports(file) if name.split(".")[0] == "digits" and name.split(".")[1] in above
                }
                assert wrong == set(), f"{file} imports from a room that stands beside or above it"
        below |= {*floor}
    rooms = {path.name for path in (ROOT / "digits").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == below
    assert not [*(ROOT / "digits").glob("*.py")]


def test_a_room_has_three_to_eight_modules():
    counts = {room: len([*(ROOT / "digits" / room).glob("*.py")]) for floor in FLOORS for room in floor}
    assert {room: count for room, count in counts.items() if not 3 <= count <= MOST} == {}


def test_no_module_is_too_long_to_be_read_at_once():
    files = [file for room in ROOMS.values() for file in room]
    too_long = {str(file.relative_to(ROOT)) for file in files if len(file.read_text().splitlines()) > LONGEST}
    assert too_long <= {"digits/foundation/parameters.py"}
