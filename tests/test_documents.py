"""What the pages tell a reader to open or to type is there."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
CODE = "(?:benchmarks|commands|digits|stages|tests)"  # the folders in which all that is named stands in Git


def missing(page: Path) -> list[str]:
    """The files, modules and targets that a page names and that do not exist. What is in CAPITALS stands for others."""
    text = page.read_text()
    links = [page.parent / link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    files = [ROOT / name for name in re.findall(rf"\b{CODE}/(?:[a-z_]+/)*(?:\w+\.py\b)?", text) if "NAME" not in name]
    modules = [ROOT / name.replace(".", "/") for name in re.findall(rf"python -m ({CODE}(?:\.[a-z_]+)+)", text)]
    modules = [path / "__main__.py" if path.is_dir() else path.with_suffix(".py") for path in modules]
    return [str(path) for path in [*links, *files, *modules] if not path.exists()] + [
        f"make {target}" for target in re.findall(r"[`$&] ?make ([a-z-]+)", text) if target not in TARGETS
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_what_is_there(page: Path):
    assert missing(page) == []


def test_what_is_not_there_is_found(tmp_path: Path):
    (tmp_path / "page.md").write_text(
        "[gone](gone.md), `digits/gone.py`, `make gone`, and\n$ python -m stages.gone\n"
        "but [not](https://example.org) `stages/NAME.py`, make and git, digits/, `python -m stages.NAME`\n"
    )
    gone = [tmp_path / "gone.md", ROOT / "digits/gone.py", ROOT / "stages/gone.py"]
    assert missing(tmp_path / "page.md") == [*map(str, gone), "make gone"]
