"""The drawing page in a real browser, which has no network beside it, with real pointer events."""

import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.commands.browser import DESKTOP, PHONE, WINDOWS, assert_it_fits, opened_page
from tests.commands.serving import Server, serving
from tests.commands.strokes import DIGITS, Point
from tests.conftest import ROOT, MadeOnce, Repository

for package in ("fastapi", "uvicorn"):
    pytest.importorskip(package, reason="needs the drawing page's packages: make .venv/installed-draw")


class Paper:
    """The page in a window, as a person uses it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        box = page.locator("#canvas").bounding_box()
        self.x, self.y, self.side = box["x"], box["y"], box["width"]

    def at(self, point: Point, corner: Point = (0.2, 0.1), size: float = 0.7) -> Point:
        """Where on the window a point of a digit lies that is drawn there and as large."""
        return tuple(start + self.side * (edge + size * part)
                     for start, edge, part in zip((self.x, self.y), corner, point, strict=True))  # fmt: skip

    def draw(self, strokes: list[list[Point]], **place: Any) -> None:
        """Draw with the mouse, and wait for the answer."""
        for first, *rest in strokes:
            self.page.mouse.move(*self.at(first, **place))
            self.page.mouse.down()
            for point in rest:
                self.page.mouse.move(*self.at(point, **place), steps=2)
            self.page.mouse.up()
        self.wait()

    def wait(self) -> None:
        """Wait until the answer to all that was drawn is shown."""
        self.page.wait_for_selector("#read[aria-busy=false]")

    def says(self) -> str:
        return self.page.text_content("#says").strip()

    def told(self, part: str) -> None:
        """Wait until the page tells of what was kept."""
        self.page.wait_for_selector(f"#told:has-text('{part}')")


@contextmanager
def opened(chromium: Any, server: Server, **window: Any) -> Iterator[Paper]:
    """The page in a new window, as `opened_page` watches it."""
    with opened_page(chromium, server.address, **window) as page:
        yield Paper(page)


@pytest.fixture
def paper(chromium: Any, server: Server, home: Repository) -> Iterator[Paper]:
    shutil.rmtree(home.path / "data/own/images", ignore_errors=True)
    with opened(chromium, server, **DESKTOP) as window:
        yield window


def kept(home: Repository) -> list[Path]:
    return sorted((home.path / "data/own/images").rglob("*.png"))


# Reading


@pytest.fixture(scope="module")
def trained_on_mnist(fresh: Repository, made_once: MadeOnce, mnist_mirror: Path) -> Repository:
    """The repository with the network that `dvc repro` trains on MNIST."""

    def make(folder: Path) -> None:
        repository = fresh.copy(folder / "repository")
        repository.environment["MNIST_MIRROR"] = str(mnist_mirror)
        repository.dvc("repro", "train")

    return Repository(made_once("trained-on-mnist", make) / "repository", fresh.home)


@pytest.mark.torture
def test_of_ten_digits_at_three_sizes_and_places_28_of_30_are_read(chromium: Any, trained_on_mnist: Repository):
    answers = {}
    with serving(trained_on_mnist) as server, opened(chromium, server, **DESKTOP) as paper:
        for corner, size in [((0.1, 0.1), 0.8), ((0.45, 0.05), 0.5), ((0.05, 0.65), 0.3)]:
            for digit, strokes in DIGITS.items():
                paper.page.keyboard.press("Escape")
                paper.draw(strokes, corner=corner, size=size)
                answers[digit, size] = paper.says()
    wrong = {drawn: answer for drawn, answer in answers.items() if drawn[0] != answer.split(",")[0]}
    assert len(wrong) <= 2, wrong


def test_the_answer_comes_while_a_stroke_is_drawn(paper: Paper):
    (stroke,) = DIGITS["7"]
    paper.page.mouse.move(*paper.at(stroke[0]))
    paper.page.mouse.down()
    paper.page.mouse.move(*paper.at(stroke[1]), steps=5)
    paper.page.wait_for_selector("#seen:visible")
    first = paper.page.get_attribute("#seen", "src")
    paper.page.mouse.move(*paper.at(stroke[2]), steps=5)
    paper.wait()
    assert paper.page.get_attribute("#seen", "src") != first
    assert paper.page.text_content("#spoken") == ""  # until the stroke has ended
    paper.page.mouse.up()
    assert paper.page.text_content("#spoken") == paper.says()


def test_several_digits_are_shown_where_they_are_and_cannot_be_kept_as_one(paper: Paper):
    for name, x in (("3", 0.05), ("6", 0.4), ("5", 0.7)):
        paper.draw(DIGITS[name], corner=(x, 0.3), size=0.25)
    boxes = paper.page.locator("#boxes li")
    assert boxes.count() == 3
    assert paper.says() == "".join(text.rstrip("?") for text in boxes.locator("span").all_text_contents())
    for box, x in zip(boxes.all(), (0.05, 0.4, 0.7), strict=True):
        place = box.bounding_box()
        assert paper.x + paper.side * (x - 0.02) < place["x"]
        assert place["x"] + place["width"] < paper.x + paper.side * (x + 0.3)
        assert place["height"] == pytest.approx(0.27 * paper.side, rel=0.15)
    assert paper.page.locator("#classes button:enabled").count() == 0
    paper.page.keyboard.press("3")
    paper.told("one at a time")
    paper.page.keyboard.press("Control+z")
    paper.page.keyboard.press("Control+z")
    paper.wait()
    assert boxes.count() == 0
    assert paper.page.locator("#classes button:enabled").count() == 10


def test_the_bars_are_the_server_s_probabilities(paper: Paper):
    with paper.page.expect_response("**/predict") as last:
        paper.draw(DIGITS["3"])
        paper.draw([[(0.1, 0.5), (0.9, 0.6)]])
        paper.page.keyboard.press("Control+z")
        paper.wait()
    assert last.value.ok
    shares = paper.page.locator("#bars .share").all_text_contents()
    assert len(shares) == 10
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=0.6)
    best = paper.page.locator("#bars .best")
    assert best.count() == 1
    assert paper.says().startswith(best.get_attribute("data-class"))


def test_one_question_is_underway_at_a_time(paper: Paper):
    underway, most = set(), []

    def begin(request: Any) -> None:
        if request.url.endswith("/predict"):
            underway.add(request)
            most.append(len(underway))

    def end(request: Any) -> None:
        underway.discard(request)

    paper.page.on("request", begin)
    paper.page.on("requestfinished", end)
    paper.page.on("requestfailed", end)
    paper.draw(DIGITS["8"])
    assert len(most) > 2
    assert max(most) == 1


def test_a_dot_is_no_digit(paper: Paper):
    paper.draw([[(0.5, 0.5)]])
    assert paper.says() == "I see no digit"
    assert paper.page.text_content("#why").startswith("The picture shows no digit")
    assert paper.page.locator("#seen:visible").count() == 0


@pytest.mark.parametrize("pointer", ["touch", "pen"])
def test_a_finger_or_a_pen_draws_too(chromium: Any, server: Server, pointer: str):
    with opened(chromium, server, **PHONE) as paper:
        devtools = paper.page.context.new_cdp_session(paper.page)
        for stroke in DIGITS["4"]:
            for kind, points in (("Start", stroke[:1]), ("Move", stroke[1:]), ("End", stroke[-1:])):
                for x, y in map(paper.at, points):
                    if pointer == "touch":
                        where = [] if kind == "End" else [{"x": x, "y": y}]
                        devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": where})
                    else:
                        name = {"Start": "mousePressed", "Move": "mouseMoved", "End": "mouseReleased"}[kind]
                        devtools.send("Input.dispatchMouseEvent", {
                            "type": name, "x": x, "y": y, "pointerType": "pen", "button": "left", "buttons": 1,
                            "clickCount": 1, "force": 0.5,
                        })  # fmt: skip
        paper.wait()
        assert paper.page.locator("#seen:visible").count() == 1
        assert paper.page.evaluate("scrollY") == 0


SAMPLE = ROOT / "docs/samples/seven.jpg"
TRANSFER = """(bytes) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(bytes)], "seven.jpg", { type: "image/jpeg" }));
  return transfer;
}"""


def choose(page: Any) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#choose")
    chooser.value.set_files(SAMPLE)


def drop(page: Any) -> None:
    page.dispatch_event("#paper", "drop", {"dataTransfer": page.evaluate_handle(TRANSFER, list(SAMPLE.read_bytes()))})


def paste(page: Any) -> None:
    transfer = page.evaluate_handle(TRANSFER, list(SAMPLE.read_bytes()))
    page.evaluate("(clipboardData) => dispatchEvent(new ClipboardEvent('paste', { clipboardData }))", transfer)


@pytest.mark.parametrize("give", [choose, drop, paste], ids=lambda give: give.__name__)
def test_a_picture_is_read_as_predict_reads_it(
    paper: Paper, predicted: dict[str, dict[str, Any]], give: Callable[[Any], None]
):
    entry = predicted[SAMPLE.name]
    give(paper.page)
    paper.page.wait_for_selector("#seen:visible")
    paper.wait()
    assert paper.page.locator("#picture").bounding_box()["width"] > 100
    share = paper.page.locator(f"#bars [data-class='{entry['class']}'] .share").text_content()
    assert share == f"{100 * entry['confidence']:.1f}%"


def test_a_kept_picture_is_seen_as_it_is_in_the_dark_too(chromium: Any, server: Server, home: Repository):
    with opened(chromium, server, color_scheme="dark", **DESKTOP) as paper:
        paste(paper.page)
        paper.page.wait_for_selector("#seen:visible")
        paper.page.keyboard.press("7")
        paper.told("Kept as 7")
        thumbnail = paper.page.locator("#kept img").first
        seen = Image.open(io.BytesIO(thumbnail.screenshot())).convert("L").resize((1, 1), Image.Resampling.BOX)
        whole = Image.open(SAMPLE).convert("L").resize((1, 1), Image.Resampling.BOX)
        assert abs(seen.getpixel((0, 0)) - whole.getpixel((0, 0))) < 40


def test_what_is_no_picture_is_said_on_the_page(chromium: Any, server: Server, tmp_path: Path):
    (tmp_path / "<b>text.png").write_text("no picture")
    context = chromium.new_context(**DESKTOP)
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("#bars li")
    page.locator("#file").set_input_files(tmp_path / "<b>text.png")
    page.wait_for_selector("#why:has-text('The picture is no PNG, JPEG')")
    assert page.locator("main b").count() == 0
    assert not page.is_visible("#picture")
    assert page.locator("#classes button:enabled").count() == 0
    page.locator("#file").set_input_files(SAMPLE)
    page.wait_for_selector("#classes button:enabled")
    assert page.is_visible("#picture")
    context.close()


def test_a_picture_that_was_cleared_or_drawn_over_comes_back(paper: Paper):
    paper.page.keyboard.press("7")
    paper.told("Nothing is drawn yet")
    drop(paper.page)
    paper.wait()
    assert paper.page.text_content("#told") == ""
    seen = paper.page.get_attribute("#seen", "src")
    paper.page.keyboard.press("Escape")
    paper.page.keyboard.press("Control+z")
    paper.wait()
    assert (paper.page.is_visible("#picture"), paper.page.get_attribute("#seen", "src")) == (True, seen)
    paper.draw(DIGITS["1"])
    assert not paper.page.is_visible("#picture")
    paper.page.keyboard.press("Control+z")
    paper.wait()
    assert paper.page.get_attribute("#seen", "src") == seen


# Drawing


def test_undo_takes_back_stroke_by_stroke_and_brings_back_what_was_cleared(paper: Paper):
    empty = paper.page.locator("#hint:visible")
    paper.draw(DIGITS["4"])
    whole = paper.page.get_attribute("#seen", "src")
    paper.page.keyboard.press("Control+z")
    paper.wait()
    assert paper.page.get_attribute("#seen", "src") != whole
    paper.page.click("#undo")
    assert empty.count() == 1
    assert paper.page.is_disabled("#undo")

    paper.draw(DIGITS["4"])
    paper.page.keyboard.press("Escape")
    assert empty.count() == 1
    paper.page.click("#undo")
    paper.wait()
    assert paper.page.get_attribute("#seen", "src") == whole
    paper.page.click("#clear")
    paper.wait()
    assert (empty.count(), paper.says()) == (1, "")


# Keeping


def test_a_key_keeps_the_drawing_as_it_was_drawn_and_clears_the_paper(paper: Paper, home: Repository):
    paper.draw(DIGITS["7"])
    paper.page.keyboard.press("7")
    paper.told("Kept as 7, which has 1 picture now; all together 1 picture.")
    (file,) = kept(home)
    assert file.parent.name == "7"
    drawing = Image.open(io.BytesIO(file.read_bytes())).convert("L")
    assert drawing.size == (224, 224)
    assert [drawing.getpixel((x, 30)) for x in (90, 120)] == [0, 0]  # the bar of the seven
    assert drawing.getpixel((20, 20)) == 255
    assert paper.page.locator("#hint:visible").count() == 1
    assert "dvc add data/own/images" in paper.page.text_content("#next:visible")


def test_a_key_means_the_class_of_its_name_where_classes_are_digits(chromium: Any, server: Server, home: Repository):
    """Of classes that begin with 1, a 7 is not the seventh."""
    page = chromium.new_context(**DESKTOP).new_page()
    about = server.ask("GET", "/health").json | {"classes": [str(digit) for digit in range(1, 10)]}
    page.route("**/health", lambda route: route.fulfill(json=about))
    page.goto(server.address)
    page.wait_for_selector("#bars li")
    paper = Paper(page)
    paper.draw(DIGITS["7"])
    paper.page.keyboard.press("0")  # which no class is called
    paper.page.keyboard.press("7")
    paper.told("Kept as 7")
    assert {file.parent.name for file in kept(home)} == {"7"}
    page.context.close()


def test_a_click_keeps_too_and_what_is_kept_can_be_taken_back(paper: Paper, home: Repository):
    for digit in "13":
        paper.draw(DIGITS[digit])
        paper.page.get_by_role("button", name=f"Keep as {digit}").click()
        paper.told(f"Kept as {digit}")
    assert paper.page.text_content("#lonely") == "Of 1, 3 keep another one first: a class needs two."
    assert paper.page.locator("#kept img").count() == 2
    assert paper.page.locator("#classes [data-class='3'] small").text_content() == "1 kept"
    paper.page.get_by_role("button", name="Take back this drawing of 3").click()
    paper.told("Took back a drawing that was kept as 3.")
    assert [file.parent.name for file in kept(home)] == ["1"]
    assert paper.page.locator("#kept img").count() == 1


def test_what_cannot_be_taken_back_is_told_though_the_server_is_gone(chromium: Any, server: Server, home: Repository):
    page = chromium.new_context(**DESKTOP).new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(server.address)
    page.wait_for_selector("#bars li")
    paper = Paper(page)
    paper.draw(DIGITS["1"])
    paper.page.keyboard.press("1")
    paper.told("Kept as 1")
    paper.page.route("**/kept**", lambda route: route.abort())
    paper.page.get_by_role("button", name="Take back this drawing of 1").click()
    paper.told("Not taken back: ")
    assert (len(kept(home)), failed) == (1, [])
    page.context.close()


def test_the_next_digit_may_be_begun_before_the_last_one_is_kept(paper: Paper, home: Repository):
    paper.page.route("**/keep?*", lambda route: (paper.draw(DIGITS["1"]), route.continue_()))
    paper.draw(DIGITS["7"])
    paper.page.keyboard.press("7")
    paper.told("Kept as 7")
    assert paper.page.locator("#hint:visible").count() == 0
    assert len(kept(home)) == 1


def test_what_was_refused_comes_back_after_the_next_one_is_kept(chromium: Any, server: Server, home: Repository):
    shutil.rmtree(home.path / "data/own/images", ignore_errors=True)
    context = chromium.new_context(**DESKTOP)
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("#bars li")
    paper = Paper(page)

    def refuse(route: Any) -> None:
        paper.draw(DIGITS["1"])
        route.fulfill(status=503, json={"error": "too many pictures are waiting already"})

    page.route("**/keep?*", refuse, times=1)
    paper.draw(DIGITS["7"])
    page.keyboard.press("7")
    paper.told("Not kept as 7, and Undo brings it back: too many pictures")
    page.keyboard.press("1")
    paper.told("Kept as 1")
    page.keyboard.press("Control+z")
    paper.wait()
    assert paper.says().startswith("7")
    page.keyboard.press("7")
    paper.told("Kept as 7")
    assert page.locator("#undo:enabled").count() == 0
    assert [file.parent.name for file in kept(home)] == ["1", "7"]
    context.close()


def test_a_picture_that_was_cleared_is_waited_for_no_more(paper: Paper):
    held = []
    paper.page.route("**/predict", lambda route: held.append(route), times=1)
    drop(paper.page)
    paper.page.wait_for_selector("#says:has-text('Reading')")
    assert len(held) == 1
    paper.page.keyboard.press("Escape")
    paper.draw(DIGITS["7"])
    assert paper.says().startswith("7")


def test_a_folder_or_a_file_that_has_gone_is_told_as_such(paper: Paper, tmp_path: Path):
    paper.page.evaluate("""() => {
        const gone = new File(["x"], "gone.png", { type: "image/png" });
        gone.arrayBuffer = () => Promise.reject(new DOMException("", "NotFoundError"));
        const event = new Event("paste");
        event.clipboardData = { files: [gone] };
        window.dispatchEvent(event);
    }""")
    paper.told("gone.png cannot be read: it is a folder, or has gone.")
    paper.wait()


def test_nothing_is_kept_where_nothing_is_drawn(paper: Paper, home: Repository):
    paper.page.keyboard.press("7")
    paper.told("Nothing is drawn yet")
    assert kept(home) == []


def test_what_the_disk_says_is_said_on_the_page(chromium: Any, home: Repository, server: Server):
    shutil.rmtree(home.path / "data/own/images", ignore_errors=True)
    (home.path / "data/own/images").write_text("no folder")
    context = chromium.new_context(**DESKTOP)
    page = context.new_page()
    page.goto(server.address)
    page.wait_for_selector("#bars li")
    Paper(page).draw(DIGITS["7"])
    page.keyboard.press("7")
    page.wait_for_selector("#told.bad:has-text('Not kept as 7: data/own/images is a file, expected a folder')")
    assert page.locator("#hint:visible").count() == 0  # the drawing is still there
    context.close()
    (home.path / "data/own/images").unlink()


# The network


@pytest.mark.torture
def test_a_new_network_answers_on_an_open_page(chromium: Any, replaceable: Repository):
    replaceable.run("git", "checkout", "--quiet", ".")
    replaceable.dvc("checkout")
    with serving(replaceable) as own, opened(chromium, own, **DESKTOP) as paper:
        assert paper.page.text_content("#network").startswith("convnet answers, ")
        paper.draw(DIGITS["7"])
        before = paper.page.locator("#bars .share").all_text_contents()
        replaceable.dvc("exp", "run", "--set-param", "network=relu-128-128", "evaluate")
        paper.page.wait_for_selector("#network:has-text('relu-128-128 answers, ')")
        paper.wait()
        assert paper.page.locator("#bars .share").all_text_contents() != before


# For everyone


def test_all_is_reached_by_the_keyboard_and_has_a_name(paper: Paper):
    paper.draw(DIGITS["7"])
    paper.page.keyboard.press("7")
    paper.told("Kept as 7")
    paper.draw(DIGITS["7"], size=0.5)
    reached = []
    for _ in range(20):
        paper.page.keyboard.press("Tab")
        reached.append(paper.page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText"))
    names = [name.split("\n")[0] for name in reached if name]
    expected = ["Undo Ctrl Z", "Clear Esc", "Choose a picture", *(f"Keep as {digit}" for digit in range(10))]
    assert [name for name in expected if name not in names] == []
    assert "Take back this drawing of 7" in names
    described = paper.page.locator("body").aria_snapshot()
    for role in ('img "Where to draw', 'img "The pixels that the network sees', 'list "Probabilities"', "status"):
        assert role in described, described


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("phone", "dark"),
        ("desktop", "light"),
        *(pytest.param(*other, marks=pytest.mark.slow) for other in [("phone", "light"), ("desktop", "dark")]),
        *(pytest.param("beamer", scheme, marks=pytest.mark.slow) for scheme in ("light", "dark")),
    ],
)
def test_it_fits_the_window(chromium: Any, server: Server, name: str, scheme: str, tmp_path: Path):
    window = WINDOWS[name]
    with opened(chromium, server, color_scheme=scheme, **window) as paper:
        paper.draw(DIGITS["7"])
        page = paper.page
        assert_it_fits(page, window, scheme, "#canvas", "#says", "#seen")
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        print(f"screenshot: {tmp_path / 'page.png'}")
