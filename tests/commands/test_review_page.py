"""The review's page in a real browser, which has no network beside it, with real keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from digits.data.corrections import CORRECTIONS, read_corrections, write_corrections
from tests.commands.browser import DESKTOP, PHONE, WINDOWS, assert_it_fits, opened_page
from tests.commands.serving import in_process

pytest.importorskip("fastapi", reason="needs the pages' packages: make .venv/installed-draw")
pytest.importorskip("uvicorn", reason="needs the pages' packages: make .venv/installed-draw")

from commands.review.server import application
from tests.commands.doubts import IDENTITIES, review

DIGITS = [str(digit) for digit in range(10)]
ANIMALS = [
    "antelope", "badger", "bat", "bear", "bee", "beetle", "bison", "boar", "butterfly", "cat", "caterpillar",
    "chimpanzee", "cockroach", "cow", "coyote", "crab", "crow", "deer", "dog", "dolphin", "donkey", "dragonfly", "duck",
    "eagle", "elephant", "flamingo", "fly", "fox", "goat", "goldfish", "goose", "gorilla", "grasshopper", "hamster",
    "hare", "hedgehog", "hippopotamus", "hornbill", "horse", "hummingbird",
]  # fmt: skip
LONG = ["a field of sunflowers in the evening sun", "Pneumonoultramicroscopicsilicovolcanoconiosis", "nothing"]
LETTERS = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "space", "nothing"]


@pytest.fixture(autouse=True)
def _empty(workspace: Path) -> None:
    write_corrections([])


@contextmanager
def opened(chromium: Any, classes: list[str] = DIGITS, framing: Any = "digit", **window: Any) -> Iterator[Any]:
    """The page with six doubtful labels."""
    made = review(classes, framing, images=64)
    with (
        in_process(application(made, ["dvc repro", "dvc metrics diff"])) as port,
        opened_page(chromium, f"http://127.0.0.1:{port}/", **(window or DESKTOP)) as page,
    ):
        yield page


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    with opened(chromium) as shown:
        yield shown


def told(page: Any, part: str) -> None:
    """Wait until the page tells of a decision."""
    page.wait_for_selector(f"#told:has-text('{part}')")


def rows() -> list[tuple[str, str, str]]:
    return [(row.image, row.was, row.becomes) for row in read_corrections().values()]


def label(page: Any) -> str:
    """The label of the image that is shown."""
    return page.text_content("#question").removeprefix("Labelled ")


def rather(page: Any) -> str:
    """What the network says that it is."""
    return page.get_attribute("#bars .best", "data-class")


# What is shown


def test_the_image_its_label_the_likeliest_classes_and_its_relatives_are_shown(page: Any):
    assert page.locator("#image").bounding_box()["width"] > 400
    assert page.text_content("#which") == f"a training image of made-up, {IDENTITIES[0]}"
    shares = page.locator("#bars li").all_inner_texts()
    assert len(shares) == 4
    assert "97.0%" in shares[0]
    assert shares[3].startswith(f"{label(page)} its label")
    assert page.locator("#relatives img").count() == 8
    others = page.locator("#relatives .other").all_inner_texts()
    assert others.count(rather(page)) >= 4
    assert page.text_content("#progress") == "6 of 6 left"


def test_a_label_among_the_likeliest_is_shown_once(chromium: Any):
    with opened(chromium, ["cat", "dog"], "whole") as page:
        assert page.locator("#bars li:has-text('its label')").inner_text().startswith(label(page))
        assert page.locator("#bars li").count() == 2


# Deciding


def test_a_key_decides_and_what_it_decides_is_in_the_file(page: Any):
    (first, truth), shown = (label(page), rather(page)), []
    page.keyboard.press(truth)
    told(page, f"Corrected: {first} is {truth}.")
    shown.append(label(page))
    page.keyboard.press("Enter")
    told(page, f"Remembered as right: {shown[0]}.")
    shown.append(label(page))
    page.keyboard.press("Delete")
    told(page, f"Left out: an image labelled {shown[1]}.")
    assert rows() == [
        (IDENTITIES[0], first, truth), (IDENTITIES[1], shown[0], shown[0]), (IDENTITIES[2], shown[1], "")
    ]  # fmt: skip
    assert (
        page.text_content("#progress") == "3 of 6 left; 1 corrected, 1 left out, 1 found right in data/corrections.csv"
    )
    assert page.text_content("#commands") == "dvc repro\ndvc metrics diff"
    assert page.is_visible("#commands")

    page.keyboard.press("Control+z")
    told(page, "Taken back")
    assert (label(page), len(rows())) == (shown[1], 2)
    page.keyboard.press("Control+z")
    page.wait_for_selector("#progress:has-text('5 of 6')")
    page.keyboard.press("Control+z")
    page.wait_for_selector("#progress:has-text('6 of 6')")
    assert (label(page), rows()) == (first, [])
    page.keyboard.press("Control+z")  # which has nothing to take back
    assert page.is_disabled("#undo")


def test_after_a_click_enter_is_for_the_image_that_is_shown(page: Any):
    page.get_by_role("button", name="It is 3").click()
    told(page, "Corrected")
    second = label(page)
    page.keyboard.press("Enter")
    told(page, "Remembered as right")
    assert rows()[1][1:] == (second, second)


def test_enter_on_a_button_presses_that_button(page: Any):
    page.focus("#out")
    page.keyboard.press("Enter")
    told(page, "Left out")
    assert [becomes for *_, becomes in rows()] == [""]


def test_a_key_that_is_held_down_or_comes_too_early_decides_on_no_image_that_was_not_seen(page: Any):
    page.route("**/decide", lambda route: (page.keyboard.press("Delete"), page.keyboard.press("4"), route.continue_()))
    page.keyboard.down("Enter")
    page.keyboard.down("Enter")
    told(page, "Remembered as right")
    page.keyboard.up("Enter")
    assert len(rows()) == 1


def test_where_nothing_can_be_written_it_is_said_and_the_image_stays(chromium: Any):
    made = review(DIGITS)
    context = chromium.new_context(**DESKTOP)
    page = context.new_page()
    with in_process(application(made, [])) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("#bars li")
        CORRECTIONS.write_text("no table")
        page.keyboard.press("Enter")
        page.wait_for_selector("#told.bad:has-text('Not written: data/corrections.csv begins with')")
        assert page.text_content("#progress") == "6 of 6 left"
        write_corrections([])
        page.keyboard.press("Enter")
        told(page, "Remembered as right")
    page.keyboard.press("Enter")
    page.wait_for_selector("#told.bad:has-text('the server does not answer')")
    context.close()


def test_what_is_skipped_is_shown_again_and_at_the_end_it_is_said_what_to_type(page: Any):
    first = label(page)
    page.keyboard.press("ArrowRight")
    told(page, "Skipped")
    for left in range(5, 0, -1):
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#progress:has-text('{left} of 6 left')")
    assert page.text_content("#over") == "You have gone through them; one was skipped."
    assert page.locator("#image:visible").count() == 0
    assert page.text_content("#commands") == "dvc repro\ndvc metrics diff"
    page.keyboard.press("Enter")  # which has nothing to be for
    page.click("#again")
    page.wait_for_selector("#image:visible")
    assert label(page) == first
    page.keyboard.press("Enter")
    page.wait_for_selector("#over:has-text('No doubtful label is left.')")
    assert len(rows()) == 6
    page.keyboard.press("Control+z")
    page.wait_for_selector("#image:visible")
    assert label(page) == first


# Classes by name


def test_of_many_classes_one_is_found_by_its_name(chromium: Any):
    with opened(chromium, ANIMALS, "whole") as page:
        page.keyboard.type("at")
        assert page.locator("#classes button:visible").all_inner_texts() == ["bat 2", "cat 9", "caterpillar", "goat"]
        told(page, "Enter: it is bat.")
        page.keyboard.press("Escape")
        assert page.locator("#classes button:visible").count() == 40
        page.keyboard.type("unicorn")
        told(page, "No class has unicorn in its name.")
        page.keyboard.press("Enter")
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        page.keyboard.type("ho")
        page.keyboard.press("Enter")
        told(page, "Corrected")
        assert page.input_value("#search") == ""
        page.keyboard.press("Enter")
        told(page, "Remembered as right")
        page.keyboard.press("9")  # the tenth
        told(page, "is cat.")
        assert [becomes for *_, becomes in rows()] == ["hornbill", rows()[1][1], "cat"]


def test_where_classes_are_letters_a_key_is_the_class_of_that_name(chromium: Any):
    with opened(chromium, LETTERS) as page:
        page.keyboard.press("0")  # which no class is called
        page.keyboard.press("m")
        told(page, "is M.")
        assert rows()[0][2] == "M"
        page.keyboard.press("/")
        page.keyboard.type("spa")
        page.keyboard.press("Enter")
        page.wait_for_selector("#told:has-text('Corrected'):has-text('is space')")
        assert [becomes for *_, becomes in rows()] == ["M", "space"]


# For everyone


@pytest.mark.parametrize(("framing", "inverted"), [("digit", True), ("whole", False)])
def test_in_a_dark_room_ink_is_light_and_photographs_stay_as_they_are(chromium: Any, framing: str, inverted: bool):
    for scheme in ("light", "dark"):
        with opened(chromium, DIGITS, framing, color_scheme=scheme, **DESKTOP) as page:
            for image in ("#image", "#relatives img"):
                used = page.locator(image).first.evaluate("(image) => getComputedStyle(image).filter")
                assert (used != "none") == (inverted and scheme == "dark")


def test_all_is_reached_by_the_keyboard_and_has_a_name(page: Any):
    page.keyboard.press("3")
    told(page, "Corrected")
    reached = []
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText"))
    expected = [f"It is {label(page)} Enter", "Leave out Delete", "Skip →", "Undo Ctrl Z"]
    expected += [*(f"It is {digit}" for digit in DIGITS), "Commands"]
    assert [name for name in expected if name not in reached] == []
    described = page.locator("body").aria_snapshot()
    for role in (
        'img "An image that is labelled',
        'list "The likeliest classes"',
        f'status: "Labelled {label(page)}; ',
    ):
        assert role in described, described
    assert page.text_content("#spoken").startswith(f"Labelled {label(page)}; the network says {rather(page)} 97%, ")


@pytest.mark.parametrize(
    ("name", "scheme", "classes", "framing"),
    [
        ("phone", "dark", DIGITS, "digit"),
        ("phone", "light", LONG, "whole"),
        ("desktop", "light", ANIMALS, "whole"),
        *(
            pytest.param(*window, *kind, marks=pytest.mark.torture)
            for window in [("phone", "light"), ("phone", "dark"), ("desktop", "dark"), ("beamer", "light")]
            for kind in [(["cat", "dog"], "whole"), (LETTERS, "digit"), (ANIMALS, "whole"), (LONG, "whole")]
        ),
    ],
)  # fmt: skip
def test_it_fits_the_window(
    chromium: Any, name: str, scheme: str, classes: list[str], framing: str, tmp_path: Path
):  # fmt: skip
    window = WINDOWS[name]
    with opened(chromium, classes, framing, color_scheme=scheme, **window) as page:
        seen = ["#image", "#question", "#bars"]
        if classes == DIGITS or name != "phone":
            seen += ["#relatives", "#right"]
        if classes == DIGITS:
            seen += ["#classes"]
        assert_it_fits(page, window, scheme, *seen)
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        print(f"screenshot: {tmp_path / 'page.png'}")


def test_a_finger_decides_too(chromium: Any):
    with opened(chromium, DIGITS, **PHONE) as page:
        page.tap("#out")
        told(page, "Left out")
        page.tap("#classes [data-class='3']")
        told(page, "is 3.")
        page.tap("#undo")
        told(page, "Taken back")
        assert [becomes for *_, becomes in rows()] == [""]
