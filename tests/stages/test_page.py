import re
from pathlib import Path

import pandas as pd
import pytest

from digits.foundation.command import Refusal
from stages import page


def test_the_template_holds_what_it_is_given_as_text_and_one_place_for_the_charts():
    filled = page.fill("a < b", {"errors": ("61", "of 10,000 & more")}, 168, "const $library = 1;")
    assert filled.count("a &lt; b") == 2
    assert "<dt>errors</dt><dd>61 <span>of 10,000 &amp; more</span></dd>" in filled
    assert "const $library = 1;" in filled
    assert "zoom: 0.5;" in filled
    assert filled.count("{plot_divs}") == 1
    assert "<h2>Why" not in filled


def test_why_an_accuracy_cannot_be_good_stands_on_the_page_and_ends_what_is_printed(capsys: pytest.CaptureFixture):
    test = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6}
    predictions = pd.DataFrame({"actual": ["a", "a", "b"]})
    wanting = page.name_shortcomings(test, {"train_accuracy": 0.55}, predictions)
    assert capsys.readouterr().out.splitlines() == ["accuracy 50.00%:", *(f"  {reason}" for reason in wanting)]
    assert "66.7%" in wanting[0]
    assert "<h2>Why it is no better</h2>\n<p>to name" in page.fill("x", {}, 120, "", wanting=["to name < it"])
    good = {"accuracy": 0.9, "accuracy_low": 0.8, "accuracy_high": 0.95}
    assert page.name_shortcomings(good, {"train_accuracy": 0.91}, predictions) == []
    assert capsys.readouterr().out == ""


def test_the_files_of_own_images_that_are_misread_are_named_the_most_confident_first():
    predictions = pd.DataFrame({
        "actual": ["a", "b", "a", "a"], "predicted": ["b", "b", "b", "b"], "confidence": [0.6, 0.9, 0.75, 1.0],
    })  # fmt: skip
    assert page.name_misread(predictions) == ""
    long = f"a/{'x' * 99}"
    table = page.name_misread(predictions.assign(file=["a/{plot_divs} <1>", "b/2.png", long, ""], more=[2, 0, 0, 0]))
    assert "misread: 2 of 3" in table
    cells = re.findall("<td>(.*?)</td>", table)
    assert cells == [long, "b", "75.0%", "a", "a/&#123;plot_divs} &lt;1&gt; and 2 more", "b", "60.0%", "a"]
    assert page.name_misread(predictions.assign(file=["", "b/2.png", "", ""], more=0)) == ""


@pytest.mark.parametrize("content", ['{"errors": 6', "[]", "{}", "<html>", ""])
def test_damaged_numbers_are_refused_by_name(workspace: Path, content: str):
    path = Path("test.json")
    path.write_text(content)
    with pytest.raises(Refusal, match="test.json is no whole JSON of errors"):
        page.read_numbers(path, "errors")


def test_the_chart_library_is_bundled_once_and_anew_where_it_is_another_or_damaged(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
):
    bundled: list[str] = []

    def bundle(source: str, version: str) -> str:
        bundled.append(source)
        return f"bundle of {source}\nfor Vega-Lite {version}"

    monkeypatch.setattr(page.vl_convert, "javascript_bundle", bundle)
    page.JAVASCRIPT.parent.mkdir(exist_ok=True)
    page.JAVASCRIPT.write_text("one")
    first = page.chart_library()
    assert (page.LIBRARY.exists(), page.chart_library()) == (False, first)  # where there is no .dvc, nothing is kept
    Path(".dvc").mkdir()
    assert [page.chart_library(), page.chart_library()] == [first, first]
    assert bundled == ["one"] * 3
    page.LIBRARY.write_text(page.LIBRARY.read_text().replace("bundle of", "virus in"))
    assert page.chart_library() == first
    page.LIBRARY.write_bytes(b"\xff")
    assert page.chart_library() == first
    page.JAVASCRIPT.write_text("two")
    assert page.chart_library() != first
    assert bundled == ["one"] * 5 + ["two"]
