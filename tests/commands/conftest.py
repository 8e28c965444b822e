"""What the tests of more than one page need."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands.serving import Server, serving
from tests.conftest import Repository


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser, which has no network beside it."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright: make .venv/installed-dev")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def home(finished: Repository, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository with a network, in which the tests of a file draw."""
    return finished.copy(tmp_path_factory.mktemp("home") / "repository")


@pytest.fixture(scope="module")
def server(home: Repository) -> Iterator[Server]:
    """The page to draw on, of that repository."""
    with serving(home) as started:
        yield started
