"""The pages of `dvc plots` in a real browser that has no network."""

import html
import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import dvc_render
import pytest
import vl_convert

from digits.foundation.yaml import parse_yaml
from stages import page
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


# What only some datasets and revisions bring, in the charts that DVC's templates make of them.


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = vl_convert.javascript_bundle(page.JAVASCRIPT.read_text(), page.VEGA_LITE)
    path = tmp_path_factory.mktemp("template") / "page.html"
    path.write_text(page.fill("some on others", {}, 120, library))
    return path


def svg_of(template: Path, folder: Path, kind: str, rows: list[dict[str, str]], y: str, **more: object) -> str:
    """The chart that a browser draws of a table's rows, each of which names its revision as `rev`."""
    revisions = list(dict.fromkeys(row["rev"] for row in rows))
    files = [{"filename": "table.csv", "field": field} for field in sorted({row.get("field", y) for row in rows})]
    chart = dvc_render.VegaRenderer(
        rows, "chart", template=kind, y=y, revs_with_datapoints=revisions, anchors_y_definitions=files, **more
    )
    path = dvc_render.render_html([chart], folder / "index.html", template)
    found = re.search(r'<svg[^>]*class="marks".*?</svg>', browse(Path(path), folder, "--dump-dom"), re.DOTALL)
    assert found, "no chart was drawn"
    return found[0]


def height_of(svg: str) -> float:
    return float(re.search(r'height="([0-9.]+)"', svg)[1])


@pytest.mark.slow
def test_no_validation_draws_no_line_and_leaves_no_void(template: Path, tmp_path: Path):
    rows = [
        {"epoch": str(epoch), "accuracy": value, "field": field, "rev": "workspace"}
        for field, values in {"accuracy": ["0.94", "0.97"], "val_accuracy": ["", ""]}.items()
        for epoch, value in enumerate(values, 1)
    ]
    svg = svg_of(template, tmp_path, "simple", rows, "accuracy", x="epoch")
    assert svg.count("mark-line role-mark") == 1
    assert "val_accuracy" not in svg
    assert height_of(svg) < 500


@pytest.mark.slow
def test_a_class_that_is_never_predicted_keeps_its_place_on_the_diagonal(template: Path, tmp_path: Path):
    read = {"cat": "cat", "dog": "owl", "owl": "owl"}
    rows = [{"actual": actual, "predicted": found, "rev": "workspace"} for actual, found in read.items()]
    svg = svg_of(template, tmp_path, "confusion", rows, "actual", x="predicted")
    assert len(re.findall(r'aria-label="predicted: dog; actual: [a-z]+; ', svg)) >= 3
    for name in read:
        assert len(re.findall(rf">{name}</text>", svg)) == 2  # on either axis


@pytest.mark.slow
def test_the_classes_of_more_revisions_take_no_more_room(template: Path, tmp_path: Path):
    heights = {}
    for revisions in (1, 3):
        rows = [
            {"class": str(label), "f1": str(0.992 + label / 1000), "rev": f"revision-{revision}"}
            for revision in range(revisions)
            for label in range(10)
        ]
        svg = svg_of(template, tmp_path, "bar_horizontal", rows, "class", x="f1")
        heights[revisions] = height_of(svg)
    assert heights[3] < 1.3 * heights[1]
    labels = re.findall(r'<text[^>]*transform="translate\(([0-9.]+),[0-9.]+\)"[^>]*>([01]\.[0-9]+)</text>', svg)
    places = sorted(float(place) for place, _ in labels)
    assert len(places) > 2
    assert min(after - before for before, after in pairwise(places)) > 45  # pixels
