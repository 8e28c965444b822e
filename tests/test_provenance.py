"""What is edited while a stage runs reaches neither dvc.lock nor the run cache."""

from functools import partial

import pytest

from tests.conftest import Repository
from tests.test_faults import start, wait_until

MANY = ("epochs: 5\n    batch_size: 108\n\n  convnet-one", "epochs: 90\n    batch_size: 108\n\n  convnet-one")
FEW = (MANY[1], MANY[1].replace("90", "2"))


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("params.yaml", *FEW, "params.yaml: networks.convnet.epochs"),
        ("digits/epoch.py", "STRETCHES = 20", "STRETCHES = 21", "digits/epoch.py"),
        ("requirements.txt", "keras==", "keras>=", "requirements.txt"),
    ],
)
def test_an_edit_while_a_stage_runs_is_not_taken_for_what_it_ran_on(
    repository: Repository, file: str, old: str, new: str, named: str
):
    repository.replace("params.yaml", *MANY)
    lock = (repository.path / "dvc.lock").read_text()
    (repository.path / "plots/history.csv").unlink()
    process = start(repository, "dvc", "repro", "train")
    wait_until(partial((repository.path / "plots/history.csv").exists))
    repository.replace(file, old, new)
    _, said = process.communicate()
    assert process.returncode
    assert f"error: {named} changed while train ran" in said
    assert (repository.path / "dvc.lock").read_text() == lock
    assert "changed" in repository.dvc("status", "train")

    if file == "params.yaml":
        repository.dvc("repro", "train")
        assert (repository.path / "plots/history.csv").read_text().count("\n") == 1 + 2


def test_an_edit_that_does_not_concern_the_stage_costs_no_result(repository: Repository):
    repository.replace("params.yaml", *MANY)
    (repository.path / "plots/history.csv").unlink()
    process = start(repository, "dvc", "repro", "train")
    wait_until(partial((repository.path / "plots/history.csv").exists))
    repository.replace("params.yaml", "dpi: 120", "dpi: 60")
    process.communicate()
    assert process.returncode == 0
    assert "up to date" in repository.dvc("status", "train")
