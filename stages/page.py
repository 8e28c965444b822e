"""Write the page that `dvc plots show` and `dvc plots diff` fill, to be opened with or without a network.

Takes metrics/*.json and the chosen network's name.
Gives plots/page/, the HTML template that .dvc/config names: DVC puts the charts and images where it says {plot_divs}.

DVC's own page loads its chart library from the network, and is blank where there is none (dvc#5679). This one brings
the library along, as vl-convert has it: Vega, Vega-Lite and vega-embed in 900 kB.
"""

import json
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import vl_convert

from digits.command import Refusal
from digits.files import write_bytes
from digits.parameters import read_parameters
from stages import run

# Where this file is missing, as in a fresh clone, DVC takes its path for the template. With these two placeholders in
# the name it is one: DVC's own page, which works with a network.
PAGE = Path("plots/page/page.html{scripts}{plot_divs}")
DATA = Path("metrics/data.json")
TRAIN = Path("metrics/train.json")
TEST = Path("metrics/test.json")

VEGA_LITE = "5.21"  # the newest of the major version that DVC's chart templates are written in

# What DVC calls for each chart. Its templates leave these choices open, so they are made here.
EMBED = """
const options = {
  renderer: "svg",
  actions: { export: true, source: false, compiled: false, editor: false },
  config: {
    font: "system-ui, sans-serif",
    axisX: { tickMinStep: 1 }, // epochs and digits are whole
    legend: { orient: "bottom", columns: 1 },
    point: { filled: true, size: 80 },
    range: { heatmap: ["#f7fbff", "#08306b"] },
    scale: { zero: false },
  },
};
window.vegaEmbed = (place, chart) => {
  if (chart.mark) chart.mark.clip = false; // a dot at the edge is whole
  if (chart.mark?.type === "line") {
    chart.mark.point = { size: 30 }; // a single epoch makes no line
    chart.config = { legend: { symbolType: "stroke", symbolSize: 250 } };
  }
  for (const setting of chart.params ?? []) if (setting.name === "showValues") setting.value = true;
  return vegaEmbed(place, chart, options);
};
"""

HTML = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
  body { margin: 0 auto; max-width: 1240px; padding: 24px; background: #f6f7f9; color: #222; }
  body, input { font: 15px/1.5 system-ui, sans-serif; }
  h1 { margin: 0; font-size: 26px; }
  .quiet, dt, dd span, .vega-bindings, div > p { color: #666; font-size: 13px; }
  dl { display: flex; flex-wrap: wrap; gap: 8px 48px; margin: 16px 0 24px; }
  dd { margin: 0; font-size: 22px; }
  main { display: flex; flex-wrap: wrap; gap: 16px; }
  /* DVC's elements: a <div> a chart, and one for an image's versions, which is styled in place. */
  main > div { flex-grow: 1; box-sizing: border-box; max-width: 100%; padding: 16px !important; overflow-x: auto;
    text-align: center; white-space: normal !important;
    background: white; border: 1px solid #e2e5e9 !important; border-radius: 8px; }
  main > div > div { border: 0 !important; margin: 0 !important; }
  main p { margin: 0; }
  /* What a chart shows already, its image need not show again. */
  #accuracy ~ #plots_images_curves_png, #plots_predictions_csv ~ #plots_images_confusion_png { display: none; }
  img { display: block; margin: auto; max-width: 100%; zoom: 0.7; } /* a figure's text is as large as a chart's */
</style>
<script>(() => {
$library
})();</script>
</head>
<body>
<h1>$title</h1>
<div class="quiet">What the last run of the pipeline in this workspace measured, whichever revisions the charts show:
<code>dvc metrics diff</code> compares the numbers.</div>
<dl>
$numbers
</dl>
<main>
{plot_divs}
</main>
</body>
</html>
""")


def read_numbers(path: Path, *names: str) -> list[Any]:
    """The values of these names in a JSON file.

    Raises:
        Refusal: the file is not JSON, or lacks one of them.
    """
    try:
        numbers = json.loads(path.read_bytes())
        return [numbers[name] for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(f"{path} is no whole JSON of {', '.join(names)}; `dvc repro` makes it anew") from error


def fill(title: str, numbers: dict[str, tuple[str, str]], library: str) -> str:
    """The template for DVC.

    Args:
        title: of the page.
        numbers: by their names, each with a remark that may be empty.
        library: JavaScript that defines `vegaEmbed`.
    """
    rows = [
        f"<div><dt>{escape(name)}</dt><dd>{escape(number)} <span>{escape(remark)}</span></dd></div>"
        for name, (number, remark) in numbers.items()
    ]
    return HTML.substitute(title=escape(title), numbers="\n".join(rows), library=library)


def main() -> None:
    network = read_parameters().network
    dataset, images = read_numbers(DATA, "dataset", "test")
    epochs, parameters = read_numbers(TRAIN, "epochs", "parameters")
    accuracy, low, high, errors, loss = read_numbers(
        TEST, "accuracy", "accuracy_low", "accuracy_high", "errors", "loss"
    )
    numbers = {
        "test accuracy": (f"{accuracy:.2%}", f"{low:.2%} to {high:.2%}"),
        "errors": (f"{errors:,}", f"of {images:,} test images"),
        "test loss": (f"{loss:.4f}", ""),
        "parameters": (f"{parameters:,}", ""),
        "epochs": (f"{epochs:,}", ""),
    }
    library = vl_convert.javascript_bundle(EMBED, VEGA_LITE)
    write_bytes(PAGE, fill(f"{network} on {dataset}", numbers, library).encode())


if __name__ == "__main__":
    run(main)
