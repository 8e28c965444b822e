import pytest

from commands.review.stages_apart import workspace_as
from digits.foundation.command import Refusal
from tests.conftest import Repository


def test_a_dataset_that_params_yaml_does_not_have_is_refused_with_those_that_it_has(
    fresh: Repository, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(fresh.path)
    with (
        pytest.raises(Refusal, match=r"^'nist' is no entry of .* expected mnist, fashion-mnist, kmnist, digits, own"),
        workspace_as("nist"),
    ):
        pass
