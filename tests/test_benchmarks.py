"""What benchmarks measure in has what the stages take."""

from pathlib import Path

import yaml

from benchmarks.processes import make_workspace
from tests.conftest import ROOT


def test_a_workspace_has_the_numbers_that_train_and_evaluate_take(tmp_path: Path):
    """Beside the prepared images, which it has as a link."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    taken = {str(path) for stage in ("train", "evaluate") for path in stages[stage]["deps"]}
    numbers = {path for path in taken if path.startswith("metrics/")}
    assert numbers
    workspace = make_workspace(tmp_path / "workspace", tmp_path, ROOT)
    for path in numbers:
        assert (workspace / path).read_bytes() == (ROOT / path).read_bytes()
