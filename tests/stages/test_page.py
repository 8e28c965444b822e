from pathlib import Path

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


@pytest.mark.parametrize("content", ['{"errors": 6', "[]", "{}", "<html>", ""])
def test_damaged_numbers_are_refused_by_name(workspace: Path, content: str):
    path = Path("test.json")
    path.write_text(content)
    with pytest.raises(Refusal, match="test.json is no whole JSON of errors"):
        page.read_numbers(path, "errors")
