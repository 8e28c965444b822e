"""A browser as people have it, and a page in it that must complain of nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
WINDOWS = {"phone": PHONE, "desktop": DESKTOP, "beamer": {"viewport": {"width": 1920, "height": 1080}}}


@contextmanager
def opened_page(chromium: Any, address: str, **window: Any) -> Iterator[Any]:
    """A page in a new window; it must complain of nothing and ask no other host for anything."""
    context = chromium.new_context(**window)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector("#bars li")
    yield page
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith((address, f"blob:{address}", "data:"))] == []


def assert_it_fits(page: Any, window: dict[str, Any], scheme: str, *visible: str) -> None:
    """Assert that nothing lies beside the window, that these parts lie in it, and that buttons can be met."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for part in visible:
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= window["viewport"]["height"], part
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 32
    back = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(int(part) for part in back[4:-1].split(",")) < 200) == (scheme == "dark")
