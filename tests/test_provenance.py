"""What is edited while a stage runs reaches neither dvc.lock nor the run cache."""

from functools import partial

import pytest

from tests.conftest import Repository
from tests.test_faults import start, wait_until

MANY = ("epochs: 5\n    batch_size: 108\n\n  convnet-one", "epochs: 12\n    batch_size: 108\n\n  convnet-one")
FEW = (MANY[1], MANY[1].replace("12", "6"))


@pytest.mark.slow
def test_edits_while_a_stage_runs_are_not_taken_for_what_it_ran_on(repository: Repository):
    """Each alone is refused in tests/digits/foundation/test_provenance.py."""
    repository.replace("params.yaml", *MANY)
    lock = (repository.path / "dvc.lock").read_text()
    (repository.path / "plots/history.csv").unlink()
    process = start(repository, "dvc", "repro", "train", warm=True)
    wait_until(partial((repository.path / "plots/history.csv").exists))
    repository.replace("params.yaml", *FEW)
    repository.replace("digits/network/epoch.py", "STRETCHES = 20", "STRETCHES = 21")
    repository.replace("requirements.txt", "keras==", "keras>=")
    _, said = process.communicate()
    assert process.returncode
    named = "digits/network/epoch.py, params.yaml: networks.convnet.epochs, requirements.txt"
    assert f"error: {named} changed while train ran" in said
    assert (repository.path / "dvc.lock").read_text() == lock
    assert "changed" in repository.dvc("status", "train")

    # The next run is that of the edits; and an edit that does not concern it costs no result.
    process = start(repository, "dvc", "repro", "train", warm=True)
    wait_until(partial((repository.path / "plots/history.csv").exists))
    repository.replace("params.yaml", "dpi: 120", "dpi: 60")
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert (repository.path / "plots/history.csv").read_text().count("\n") == 1 + 6
    assert "up to date" in repository.dvc("status", "train")
