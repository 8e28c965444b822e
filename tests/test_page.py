"""The pages of `dvc plots` in a real browser that has no network."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from digits.foundation.yaml import parse_yaml
from tests.conftest import Repository

WIDTH = 1280
REPEATED = {"confusion.png", "curves.png"}  # images of what a chart shows: not to be seen next to it
CHROMIUM = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=10000",
]  # fmt: skip

# Goes in front of the page's own scripts and leaves what it saw in an attribute of the document.
WATCH = """<script>
const complaints = [];
const complain = (event) => complaints.push(String(
  event.reason ?? event.message ?? event.target.src ?? event.target.href
));
addEventListener("error", complain, true); // of scripts, and of what they and the page load
addEventListener("unhandledrejection", complain);
console.error = (...words) => complaints.push(words.join(" "));
addEventListener("load", () => setTimeout(() => {
  const isLarge = (element) => Math.min(element.clientWidth, element.clientHeight) > 150;
  const charts = [...document.querySelectorAll(".vega-embed svg.marks")];
  const images = [...document.images];
  document.documentElement.dataset.seen = JSON.stringify({
    complaints,
    charts: charts.filter((chart) => isLarge(chart) && chart.querySelector(".role-mark path[d]")).length,
    images: images.filter((image) => isLarge(image) && image.complete && image.naturalWidth > 0).length,
    cutOff: [...document.querySelectorAll("main > div")].filter((box) => box.scrollWidth > box.clientWidth).length,
    height: document.documentElement.scrollHeight,
  });
}, 3000));
</script>"""


def browse(page: Path, folder: Path, *arguments: str) -> str:
    """What Chromium, with an empty profile in the folder, prints for the page."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    profile = f"--user-data-dir={folder / 'profile'}"
    ended = subprocess.run(
        [browser, *CHROMIUM, profile, *arguments, page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return ended.stdout


def look_at(page: Path, folder: Path) -> dict:
    """What is to be seen on the page; its screenshot stays in the folder, for a person to look at."""
    watched = page.with_name("watched.html")
    watched.write_text(page.read_text().replace("<head>", f"<head>{WATCH}", 1))
    found = re.search(r'data-seen="([^"]*)"', browse(watched, folder, "--dump-dom", f"--window-size={WIDTH},1000"))
    assert found, "the page never finished loading"
    seen = json.loads(html.unescape(found[1]))
    screenshot = folder / "page.png"
    browse(page, folder, f"--window-size={WIDTH},{seen.pop('height')}", f"--screenshot={screenshot}")
    print(f"screenshot: {screenshot}")
    return seen


def promised(repository: Repository, revisions: int) -> dict:
    """What dvc.yaml promises: a chart for each definition, an image for each file and revision, and no complaints."""
    whole = parse_yaml((repository.path / "dvc.yaml").read_bytes(), repository.path)
    plots = [plot for owner in (whole, *whole["stages"].values()) for plot in owner.get("plots", [])]
    charts = [plot for plot in plots if isinstance(plot, dict)]
    folders = [repository.path / plot for plot in plots if isinstance(plot, str)]
    images = {image.name for folder in folders for image in folder.iterdir()} - REPEATED
    return {"charts": len(charts), "images": len(images) * revisions, "complaints": [], "cutOff": 0}


@pytest.mark.slow
@pytest.mark.parametrize(("command", "revisions"), [(["show"], 1), (["diff", "HEAD~1"], 2)])
def test_the_page_is_whole_without_a_network(
    two_commits: Repository, tmp_path: Path, command: list[str], revisions: int
):
    two_commits.dvc("plots", *command, "--out", str(tmp_path / "page"))
    assert look_at(tmp_path / "page/index.html", tmp_path) == promised(two_commits, revisions)


def test_a_page_without_its_chart_library_or_an_image_is_found_out(two_commits: Repository, tmp_path: Path):
    two_commits.dvc("plots", "show", "--out", str(tmp_path / "page"))
    page = tmp_path / "page/index.html"
    page.write_text(re.sub("<script>.*?</script>", "", page.read_text(), count=1, flags=re.DOTALL))
    next(page.parent.glob("static/*weights.png")).unlink()
    seen, whole = look_at(page, tmp_path), promised(two_commits, 1)
    assert (seen["charts"], seen["images"]) == (0, whole["images"] - 1)
    assert any("vegaEmbed is not defined" in complaint for complaint in seen["complaints"])
    assert any("weights.png" in complaint for complaint in seen["complaints"])


def test_the_page_begins_with_the_main_numbers(finished: Repository, tmp_path: Path):
    finished.dvc("plots", "show", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page/index.html").read_text()
    numbers = json.loads((finished.path / "metrics/test.json").read_text())
    assert "<h1>convnet on digits</h1>" in page
    assert f"{numbers['accuracy']:.2%} <span>{numbers['accuracy_low']:.2%} to" in page
    assert f"{numbers['errors']} <span>of 360 test images" in page
