"""The same bytes on other processors, which tests/processors shows to the libraries; RSQRTPS in an emulator."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from digits import processor
from digits.parameters import Network, read_networks
from digits.yaml import parse_yaml
from tests.conftest import ROOT
from tests.processors import PROCESSORS, Elsewhere
from tests.test_fit import SHAPES, descriptions

TORTURE = settings.get_current_profile_name() == "torture"
RANDOM = 300 if TORTURE else 15
SHOWN = [*PROCESSORS][:: 1 if TORTURE else 2]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        processor.shortcoming() is not None or not (shutil.which("gcc") and shutil.which("objdump")),
        reason=f"needs gcc and objdump, and a processor of the promise: {processor.shortcoming()}",
    ),
]
Outcomes = list[str]
Train = Callable[..., Outcomes]


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return Elsewhere(tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Train networks in a process of their own, with those variables in its environment, by that command before it."""

    def run(networks: list[Network], environment: dict[str, str], *before: str) -> Outcomes:
        described = tmp_path / "networks.json"
        described.write_text(json.dumps([described_as(network) for network in networks]))
        ended = subprocess.run(
            [*before, sys.executable, "-m", "tests.processors.train", described],
            cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    return run


def described_as(network: Network) -> dict[str, object]:
    """The network as params.yaml would have it."""
    objects = {
        "layers": [{layer.name: layer.arguments} for layer in network.layers],
        "optimizer": {network.optimizer.name: network.optimizer.arguments},
    }
    return network.model_dump() | objects


def committed_networks() -> list[Network]:
    """Those of params.yaml, for an epoch."""
    networks = read_networks(ROOT / "params.yaml").values()
    return [network.model_copy(update={"epochs": 1, "batch_size": min(network.batch_size, 32)}) for network in networks]


def random_networks() -> list[Network]:
    found: list[Network] = []
    for shape in SHAPES:

        @given(descriptions(shape))
        @settings(max_examples=max(RANDOM // len(SHAPES), 1))
        def collect(network: Network) -> None:
            found.append(network)

        collect()
    return found


@pytest.fixture(scope="session")
def networks() -> list[Network]:
    return committed_networks() + random_networks()


@pytest.fixture(scope="session")
def here(networks: list[Network], tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return train.__wrapped__(tmp_path_factory.mktemp("here"))(networks, {})


@pytest.mark.parametrize("name", SHOWN)
def test_networks_come_out_the_same_on_another_processor(
    elsewhere: Elsewhere, train: Train, networks: list[Network], here: Outcomes, name: str
):
    there = train(networks, elsewhere.environment(name))
    different = [described_as(network) for network, *both in zip(networks, here, there, strict=True) if len(set(both)) > 1]
    assert different == []
    trained = [outcome for outcome in here if not outcome.startswith("refused")]
    assert len(trained) > len(here) / 2, "most were refused"
