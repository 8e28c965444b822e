"""How soon the drawing page answers: in the browser, and its server alone. Writes results/drawing.csv.

Usage: python -m benchmarks.drawing

Needs a trained network, the page's packages (`make .venv/installed-draw`), those of `make test`, and Chromium.
In the browser, the time is from the last movement of the pointer to when the bars for all that was drawn are there.
"""

import http.client
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw
from playwright.sync_api import sync_playwright

from benchmarks.processes import ROOT
from digits.foundation.tables import write_table

RESULT = ROOT / "benchmarks/results/drawing.csv"
CLIENTS = (1, 8, 64)
SECONDS = 10  # that each number of clients asks for
STROKES = 200
WATCH = """() => {
  window.waits = [];
  let moved = null;
  const move = (event) => { if (event.buttons) moved = event.timeStamp; };
  for (const kind of ["pointerdown", "pointermove"]) addEventListener(kind, move, true);
  new MutationObserver(() => {
    if (moved === null || document.getElementById("read").ariaBusy === "true") return;
    waits.push(performance.now() - moved);
    moved = null;
  }).observe(document.getElementById("read"), { attributes: true });
}"""


@contextmanager
def server() -> Iterator[str]:
    """The address of a server that is ready."""
    command = [sys.executable, "-m", "commands.draw", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


def drawing() -> bytes:
    """A seven as the page sends it."""
    large = Image.new("RGBA", (896, 896), "white")
    ImageDraw.Draw(large).line([(250, 200), (640, 200), (430, 720)], fill="black", width=31, joint="curve")
    file = io.BytesIO()
    large.resize((224, 224)).save(file, "PNG")
    return file.getvalue()


def waits_of_a_client(address: str, content: bytes) -> list[float]:
    """Seconds of each answer to a client that asks again as soon as it has one."""
    connection = http.client.HTTPConnection(address.split("/")[2])
    waits, end = [], time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < end:
        connection.request("POST", "/predict", content, {"Content-Type": "image/png"})
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
        waits.append(time.perf_counter() - began)
    return waits


def waits_in_the_browser(address: str) -> list[float]:
    """Seconds of each answer to strokes that a mouse draws, as fast as a hand does."""
    generator = np.random.default_rng(1)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("#bars li")
        page.evaluate(WATCH)
        box = page.locator("#canvas").bounding_box()
        assert box
        for stroke in range(STROKES):
            if stroke % 3 == 0:
                page.keyboard.press("Escape")
            angles = np.linspace(0, generator.uniform(2, 6), 30) + generator.uniform(0, 6)
            middle, radius = generator.uniform(0.4, 0.6, 2), generator.uniform(0.1, 0.35)
            points = middle + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            for number, (x, y) in enumerate(points):
                page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
                if number == 0:
                    page.mouse.down()
                time.sleep(1 / 60)
            page.mouse.up()
            page.wait_for_selector("#read[aria-busy=false]")
            time.sleep(0.3)
        waits = [wait / 1000 for wait in page.evaluate("waits")]
        browser.close()
    return waits


def row(asked: str, waits: list[float], seconds: float | None) -> dict[str, object]:
    """What is kept of a measurement; the browser asks no more often than there is something new to ask."""
    p50, p95 = np.percentile(np.array(waits) * 1000, [50, 95])
    rate = len(waits) / seconds if seconds else np.nan
    print(f"{asked}: {len(waits):,} answers, p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    return {"asked": asked, "answers": len(waits), "rate": rate, "p50": p50, "p95": p95}


def main() -> None:
    content = drawing()
    rows = []
    with server() as address:
        rows.append(row("the page in a browser", waits_in_the_browser(address), None))
        for clients in CLIENTS:
            with ThreadPoolExecutor(clients) as pool:
                waits = [
                    wait for of in pool.map(waits_of_a_client, [address] * clients, [content] * clients) for wait in of
                ]
            rows.append(row(f"{clients} client{'s' if clients > 1 else ''} without a break", waits, SECONDS))
    write_table(RESULT, pd.DataFrame(rows).round({"rate": 1, "p50": 1, "p95": 1}))


if __name__ == "__main__":
    main()
