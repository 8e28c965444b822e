"""Where a stage stands is kept for a run on the same inputs, and for no other."""

from pathlib import Path

import numpy as np
import pytest

from digits.foundation import checkpoint
from digits.foundation.checkpoint import Checkpoint, State
from digits.foundation.provenance import Inputs

KEPT = Path(".dvc/tmp/train.npz")
STATE = State([np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7)], {"rows": [{"epoch": 1, "loss": 0.1}]})


@pytest.fixture(autouse=True)
def project(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage with code, data and a parameter, and nothing too short to be kept."""
    monkeypatch.setattr(checkpoint, "LEAST_S", 0)
    monkeypatch.setattr(checkpoint, "READ_A_SECOND", float("inf"))
    Path("dvc.yaml").write_text("stages: {train: {deps: [code.py, data], params: [seed]}}")
    Path("params.yaml").write_text("seed: 1\ndpi: 120\n")
    Path("code.py").write_text("as it was")
    Path("data").mkdir()
    Path("data/large").write_bytes(bytes(2**21))
    Path(".dvc").mkdir()


def begun() -> Checkpoint:
    return Checkpoint("train", Inputs("train"))


def test_the_next_run_finds_what_was_kept():
    assert begun().read() is None
    begun().offer(lambda: STATE)
    found = begun().read()
    assert found is not None
    assert found.facts == STATE.facts
    for array, kept in zip(found.arrays, STATE.arrays, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_what_has_ended_is_kept_no_longer():
    stage = begun()
    stage.offer(lambda: STATE)
    stage.remove()
    stage.remove()
    assert begun().read() is None
    assert not KEPT.exists()


@pytest.mark.parametrize(
    ("file", "content"),
    [("code.py", "another"), ("data/large", "x" * 2**21), ("data/more", ""), ("params.yaml", "seed: 2")],
)
def test_on_other_inputs_it_counts_for_nothing(file: str, content: str):
    begun().offer(lambda: STATE)
    Path(file).write_text(content)
    assert begun().read() is None


def test_what_is_no_input_of_the_stage_changes_nothing():
    begun().offer(lambda: STATE)
    Path("params.yaml").write_text("seed: 1\ndpi: 60\n")
    Path("code.py").write_text("as it was")  # at another time
    assert begun().read() is not None


def test_of_inputs_that_changed_meanwhile_nothing_is_kept():
    stage = begun()
    Path("code.py").write_text("another")
    stage.offer(lambda: STATE)
    assert not KEPT.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no zip", None])
def test_a_damaged_file_is_none(content: bytes | None):
    begun().offer(lambda: STATE)
    KEPT.write_bytes(KEPT.read_bytes()[:-40] if content is None else content)
    assert begun().read() is None


def test_little_work_is_not_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "LEAST_S", 1000)
    begun().offer(lambda: STATE)
    assert not KEPT.exists()


def test_the_larger_the_inputs_the_more_work_it_takes_before_they_are_looked_through(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checkpoint, "READ_A_SECOND", 1000)
    begun().offer(lambda: STATE)
    assert not KEPT.exists()


def test_what_cannot_be_written_stops_no_work():
    KEPT.mkdir(parents=True)
    begun().offer(lambda: STATE)
    assert begun().read() is None


def test_without_dvc_or_declared_inputs_nothing_is_kept():
    Checkpoint("train", None).offer(lambda: STATE)
    assert not KEPT.exists()
    Path(".dvc").rmdir()
    begun().offer(lambda: STATE)
    assert not KEPT.exists()
