"""What GitHub's workflow does beyond .ci/run, of which actionlint sees only the form."""

import re
from pathlib import Path

import pytest

from digits.foundation.yaml import parse_yaml
from tests.conftest import ROOT, Repository

STEPS = parse_yaml((ROOT / ".github/workflows/ci.yml").read_bytes(), ROOT)["jobs"]["ci"]["steps"]


def summary(repository: Repository, folder: Path, event: str, ref: str, before: str = "") -> str:
    """What the last step writes into the job's summary."""
    written = folder / "summary.md"
    variables = {"GITHUB_EVENT_NAME": event, "GITHUB_REF_NAME": ref, "GITHUB_STEP_SUMMARY": written, "BEFORE": before}
    settings = [f"{name}={value}" for name, value in variables.items()]
    repository.run("env", "DEFAULT=main", *settings, "bash", "-e", "-c", STEPS[-1]["run"])
    return written.read_text()


def test_a_pull_requests_summary_shows_what_it_does_to_the_numbers(clone: Repository, tmp_path: Path):
    written = summary(clone, tmp_path, "pull_request", "7/merge")
    changed = r"^\| metrics/train.json +\| train_loss +\| 0\.\d+ +\| [\d.]+ +\| [\d.]+ +\|$"
    assert re.search(changed, written, re.MULTILINE), written
    assert re.search(r"^\| params.yaml +\| networks.convnet.epochs +\| 5 +\| 1 +\|$", written, re.MULTILINE)


def test_a_branch_is_compared_with_where_it_left_the_default_one(clone: Repository, tmp_path: Path):
    assert summary(clone, tmp_path, "push", "idea").count("Nothing changed.") == 2


@pytest.mark.parametrize("before", ["0" * 40, "1" * 40], ids=["new", "unknown after a forced push"])
def test_a_first_push_is_compared_with_nothing(clone: Repository, tmp_path: Path, before: str):
    assert summary(clone, tmp_path, "push", "main", before).startswith("There is no earlier commit")


def test_every_action_is_pinned_by_its_commit():
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    assert [action for action in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)] == []
