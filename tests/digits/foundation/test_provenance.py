"""A stage's inputs at its beginning and at its end."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from digits.foundation.command import Refusal
from digits.foundation.provenance import SMALL, Inputs

PIPELINE = """
stages:
  train:
    cmd: python -m stages.train
    deps:
    - code.py
    - requirements.txt
    - data
    params:
    - network
    - networks.${network}
"""
PARAMETERS = """
network: one
networks:
  one: {epochs: 30, layers: [Flatten]}
  two: {epochs: 5, layers: [Flatten]}
dpi: 120
"""


@pytest.fixture
def inputs(workspace: Path) -> Inputs:
    Path("dvc.yaml").write_text(PIPELINE)
    Path("params.yaml").write_text(PARAMETERS)
    Path("data/deep").mkdir(parents=True)
    for name in ("code.py", "requirements.txt", "data/deep/small", "elsewhere.py"):
        Path(name).write_text("as it was")
    Path("data/large").write_bytes(bytes(SMALL + 1))
    return Inputs("train")


def replace(name: str, old: str, new: str) -> Callable[[], object]:
    return lambda: Path(name).write_text(Path(name).read_text().replace(old, new))


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (replace("params.yaml", "epochs: 30", "epochs: 4"), "params.yaml: networks.one.epochs"),
        (replace("params.yaml", "epochs: 30, ", ""), "params.yaml: networks.one.epochs"),
        (replace("params.yaml", "network: one", "network: two"), "params.yaml: network"),
        (replace("params.yaml", "one: {epochs: 30, layers: [Flatten]}", "one: }"), "params.yaml: network"),
        (replace("code.py", "was", "is"), "code.py"),
        (replace("requirements.txt", "was", "is"), "requirements.txt"),
        (replace("data/deep/small", "was", "is"), "data/deep/small"),
        (lambda: Path("code.py").unlink(), "code.py"),
        (lambda: Path("data/new").touch(), "data/new"),
        (lambda: os.utime("data/large", ns=(time.time_ns(), time.time_ns())), "data/large"),
        (lambda: Path("data/other").write_bytes(bytes(SMALL + 1)) and Path("data/other").replace("data/large"), "data"),
    ],
)
def test_an_input_that_changed_is_named_and_the_result_refused(inputs: Inputs, edit: Callable[[], object], named: str):
    edit()
    with pytest.raises(Refusal, match=rf"{named}.* changed while train ran, .* `dvc repro` runs it again"):
        inputs.refuse_changes()


@pytest.mark.parametrize(
    "edit",
    [
        lambda: None,
        replace("params.yaml", "dpi: 120", "dpi: 60"),
        replace("params.yaml", "epochs: 5", "epochs: 6"),
        replace("elsewhere.py", "was", "is"),
        lambda: Path("code.py").write_text("as it was"),  # saved again, unchanged
    ],
)
def test_what_the_stage_does_not_take_may_change(inputs: Inputs, edit: Callable[[], object]):
    edit()
    inputs.refuse_changes()


def test_without_a_pipeline_there_is_nothing_to_note(workspace: Path):
    Inputs("train").refuse_changes()


@pytest.mark.parametrize("taken", [True, False])
def test_a_folder_that_is_left_out_counts_once_it_is_taken_down(inputs: Inputs, taken: bool):
    of_code_alone = Inputs("train", left_out="data")
    Path("data/before").touch()
    if taken:
        of_code_alone.take_down(Path("data"))
    of_code_alone.refuse_changes()
    Path("data/after").touch()
    if taken:
        with pytest.raises(Refusal, match="^data/after changed while train ran"):
            of_code_alone.refuse_changes()
    else:
        of_code_alone.refuse_changes()
