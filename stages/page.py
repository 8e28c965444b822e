"""Write the page that `dvc plots show` and `dvc plots diff` fill, to be opened with or without a network.

Takes metrics/*.json, plots/predictions.csv, stages/page.html and stages/page.js, the resolution of the pictures.
Gives plots/page/, the HTML template that .dvc/config names: DVC puts the charts and images where it says {plot_divs}.

DVC's own page loads its chart library from the network, and is blank where there is none (dvc#5679). This one brings
the library along, as vl-convert has it: Vega, Vega-Lite and vega-embed in 900 kB.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from importlib.metadata import version
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd
import vl_convert

from digits.foundation.checkpoint import FOLDER
from digits.foundation.command import Refusal
from digits.foundation.files import write_bytes
from digits.foundation.parameters import read_parameters
from digits.results.accuracy import shortcomings
from digits.results.predictions import PREDICTIONS, misread, read_predictions
from digits.results.predictions import told as told_file
from stages import run

# Where this file is missing, as in a fresh clone, DVC takes its path for the template. With these two placeholders in
# the name it is one: DVC's own page, which works with a network.
PAGE = Path("plots/page/page.html{scripts}{plot_divs}")
DATA = Path("metrics/data.json")
TRAIN = Path("metrics/train.json")
TEST = Path("metrics/test.json")

INCH = 84  # pixels of the page for an inch of a picture
HTML, JAVASCRIPT = Path("stages/page.html"), Path("stages/page.js")
MOST_NAMED = 100  # own pictures in the table of those that are misread
LIBRARY = FOLDER / "chart-library.js"
VEGA_LITE = "5.21"  # the newest of the major version that DVC's chart templates are written in


def read_numbers(path: Path, *names: str) -> dict[str, Any]:
    """What a JSON file holds by name, these names among others.

    Raises:
        Refusal: the file is not JSON, or lacks one of them.
    """
    try:
        numbers = json.loads(path.read_bytes())
        return {name: numbers[name] for name in names} | numbers
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(f"{path} is no whole JSON of {', '.join(names)}; `dvc repro` makes it anew") from error


def told(numbers: dict[str, Any]) -> tuple[str, str]:
    """An accuracy and its interval, as `fill` takes them."""
    return f"{numbers['accuracy']:.2%}", f"{numbers['accuracy_low']:.2%} to {numbers['accuracy_high']:.2%}"


def as_published(test: dict[str, Any], data: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The accuracy by the labels that the test images came with, as `fill` takes it, where some were corrected."""
    if "accuracy_as_published" not in test:
        return {}
    corrected = sum(source.get("corrected", {}).get("test", 0) for source in data.get("sources", {"": data}).values())
    return {"as published": (f"{test['accuracy_as_published']:.2%}", f"before {corrected:,} labels were corrected")}


def name_misread(predictions: pd.DataFrame) -> str:
    """A table of a person's own test images that are misread, with their files; nothing where there are none."""
    if "file" not in predictions:
        return ""
    own = predictions[predictions["file"] != ""]
    wrong = misread(own)
    if wrong.empty:
        return ""
    shown = wrong[:MOST_NAMED]
    table = pd.DataFrame({
        "file in data/own/images": list(map(told_file, shown["file"], shown["more"])),
        "read as": shown["predicted"], "confidence": shown["confidence"].map("{:.1%}".format), "is": shown["actual"],
    })  # fmt: skip
    with pd.option_context("display.max_colwidth", None):
        rows = table.to_html(index=False, border=0, justify="left").replace("{", "&#123;")  # as DVC fills {plot_divs}
    more = f"<p>and {len(wrong) - MOST_NAMED:,} more in {PREDICTIONS}</p>" if len(wrong) > MOST_NAMED else ""
    heading = f"Your own test images that are misread: {len(wrong):,} of {len(own):,}"
    return f"<section>\n<h2>{heading}</h2>\n{rows}{more}\n</section>"


def name_shortcomings(test: dict[str, Any], train: dict[str, Any], predictions: pd.DataFrame) -> list[str]:
    """Why the accuracy can be no good, if it cannot; also to the terminal, where it is the last that is read."""
    commonest = predictions["actual"].value_counts(normalize=True).max()
    found = shortcomings(test["accuracy"], test["accuracy_high"], commonest, train["train_accuracy"])
    if found:
        print(f"accuracy {test['accuracy']:.2%}:", *found, sep="\n  ")
    return found


def fill(
    title: str,
    numbers: dict[str, tuple[str, str]],
    dpi: int,
    library: str,
    misread: str = "",
    wanting: Sequence[str] = (),
) -> str:
    """The template for DVC.

    Args:
        title: of the page.
        numbers: by their names, each with a remark that may be empty.
        dpi: dots an inch of the pictures, which a browser takes for pixels.
        library: JavaScript that defines `vegaEmbed`.
        misread: what `name_misread` gives.
        wanting: what `name_shortcomings` gives.
    """
    rows = [
        f"<div><dt>{escape(name)}</dt><dd>{escape(number)} <span>{escape(remark)}</span></dd></div>"
        for name, (number, remark) in numbers.items()
    ]
    remarks = "".join(f"<p>{escape(remark)}</p>\n" for remark in wanting)
    zoom = f"{INCH / dpi:.4g}"
    return Template(HTML.read_text()).substitute(
        title=escape(title),
        numbers="\n".join(rows),
        shortcomings=remarks and f"\n<section>\n<h2>Why it is no better</h2>\n{remarks}</section>",
        zoom=zoom,
        library=library,
        misread=misread,
    )


def chart_library() -> str:
    """JavaScript that defines `vegaEmbed`.

    To bundle it takes three seconds. It is kept in .dvc/tmp, known by what it is made of, and by what it is.
    """

    def digest(content: str) -> str:
        return hashlib.sha256(content.encode()).hexdigest()

    source = JAVASCRIPT.read_text()
    made_of = digest(f"{version('vl-convert-python')} {VEGA_LITE} {source}")
    with suppress(OSError, ValueError):  # none is kept, or no text is
        key, _, library = LIBRARY.read_bytes().decode().partition("\n")
        if key == f"{made_of} {digest(library)}":
            return library
    library = vl_convert.javascript_bundle(source, VEGA_LITE)
    if FOLDER.parent.is_dir():
        with suppress(Refusal):
            write_bytes(LIBRARY, f"{made_of} {digest(library)}\n{library}".encode())
    return library


def main() -> None:
    chosen = read_parameters()
    data, train = read_numbers(DATA, "dataset", "test"), read_numbers(TRAIN, "network", "train_accuracy", "parameters")
    test = read_numbers(TEST, "accuracy", "accuracy_low", "accuracy_high", "errors", "cross_entropy")
    numbers = {
        "test accuracy": told(test),
        **as_published(test, data),
        **{f"on {source}": told(accuracy) for source, accuracy in test.get("sources", {}).items()},
        "errors": (f"{test['errors']:,}", f"of {data['test']:,} test images"),
        "test cross-entropy": (f"{test['cross_entropy']:.4f}", ""),
        "parameters": (f"{train['parameters']:,}", ""),
    }
    title, predictions = f"{train['network']} on {data['dataset']}", read_predictions()
    named, wanting = name_misread(predictions), name_shortcomings(test, train, predictions)
    write_bytes(PAGE, fill(title, numbers, chosen.plot.dpi, chart_library(), named, wanting).encode())


if __name__ == "__main__":
    run(main)
