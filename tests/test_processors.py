"""The same bytes on other processors, which tests/processors shows to the libraries; RSQRTPS in an emulator."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

from digits.foundation import processor
from digits.foundation.parameters import Network, read_networks
from tests.conftest import ROOT, MadeOnce
from tests.processors import PROCESSORS, environment, furnish
from tests.test_fit import SHAPES, descriptions

TORTURE = settings.get_current_profile_name() == "torture"
RANDOM = 60 if TORTURE else 0
SHOWN = [*PROCESSORS] if TORTURE else ["haswell"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        processor.shortcoming() is not None or not (shutil.which("gcc") and shutil.which("objdump")),
        reason=f"needs gcc and objdump{f', and {processor.shortcoming()}' if processor.shortcoming() else ''}",
    ),
]
Outcomes = list[str]
EMULATOR = shutil.which("qemu-x86_64")


@pytest.fixture(scope="session")
def elsewhere(made_once: MadeOnce) -> Path:
    """A folder that lets other processors be seen."""
    return made_once("elsewhere", furnish)


def trained(networks: list[Network], folder: Path, variables: dict[str, str], *before: str) -> Outcomes:
    """What becomes of networks in a process of their own, with those variables, by that command before it."""
    described = folder / "networks.json"
    described.write_text(json.dumps([described_as(network) for network in networks]))
    ended = subprocess.run(
        [*before, sys.executable, "-m", "tests.processors.train", described],
        cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


def described_as(network: Network) -> dict[str, object]:
    """The network as params.yaml would have it."""
    objects = {
        "layers": [{layer.name: layer.arguments} for layer in network.layers],
        "optimizer": {network.optimizer.name: network.optimizer.arguments},
    }
    return network.model_dump() | objects


def committed_networks() -> list[Network]:
    """Those of params.yaml, for an epoch; the smaller last batch has 105 - 3 * 32 images, or all 105.

    But for torture, only those that compute something that none before them does.
    """
    found, computed = list[Network](), set[tuple[str, bool]]()
    for network in read_networks(ROOT / "params.yaml").values():
        computes = {(part.name, network.jit_compile) for part in (*network.layers, network.optimizer)}
        if TORTURE or not computes <= computed:
            batch_size = 105 if network.batch_size > 100 else 32
            found.append(network.model_copy(update={"epochs": 1, "batch_size": batch_size}))
        computed |= computes
    return found


def random_networks() -> list[Network]:
    found: list[Network] = []
    for shape in SHAPES if RANDOM else []:

        @given(descriptions(shape))
        @settings(max_examples=RANDOM // len(SHAPES))
        def collect(network: Network) -> None:
            found.append(network)

        collect()
    return found


@pytest.fixture(scope="session")
def trained_here(made_once: MadeOnce) -> Path:
    """A folder with the networks and what becomes of them on this processor: drawn once for all processes that test."""

    def make(folder: Path) -> None:
        outcomes = trained(committed_networks() + random_networks(), folder, {})
        assert sum(outcome.startswith("refused") for outcome in outcomes) < len(outcomes) / 2, "most were refused"
        (folder / "outcomes.json").write_text(json.dumps(outcomes))

    return made_once("trained-here", make)


@pytest.fixture(scope="session")
def networks(trained_here: Path) -> list[Network]:
    return [Network.model_validate(entry) for entry in json.loads((trained_here / "networks.json").read_text())]


@pytest.fixture(scope="session")
def here(trained_here: Path) -> Outcomes:
    return json.loads((trained_here / "outcomes.json").read_text())


def differing(networks: list[Network], here: Outcomes, there: Outcomes) -> list[dict[str, object]]:
    both = zip(networks, here, there, strict=True)
    return [described_as(network) for network, one, other in both if one != other]


@pytest.mark.parametrize("name", SHOWN)
def test_networks_come_out_the_same_on_another_processor(
    elsewhere: Path, networks: list[Network], here: Outcomes, tmp_path: Path, name: str
):
    """Where AVX-512 is only shown, what computes with it ends, as YNNPACK does, which XLA takes: it sums up alike."""
    can_all = "avx512f" in processor.processor_flags(Path("/proc/cpuinfo")) or "CPUID_AVX512" not in PROCESSORS[name]
    chosen = [index for index, network in enumerate(networks) if can_all or not network.jit_compile]
    some = [networks[index] for index in chosen]
    there = trained(some, tmp_path, environment(elsewhere, name))
    assert differing(some, [here[index] for index in chosen], there) == []


@pytest.mark.torture
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "caches"])
def test_another_processor_is_seen_where_nothing_keeps_tensorflow_from_it(
    elsewhere: Path, tmp_path: Path, variable: str
):
    """Else the test above could not fail: without what it tests, convnet comes out otherwise, or not at all."""
    convnet = [read_networks(ROOT / "params.yaml")["convnet"].model_copy(update={"epochs": 1, "batch_size": 105})]
    without = {"PROCESSORS_TEST_WITHOUT": variable}
    name = "haswell" if variable == "caches" else "sapphire-rapids"
    try:
        there = trained(convnet, tmp_path, environment(elsewhere, name) | without)
    except AssertionError as error:  # AVX-512 is shown where there is none
        assert variable == "ONEDNN_MAX_CPU_ISA"
        assert "which this processor does not have" in str(error)  # noqa: PT017 (as one of two ways)
    else:
        assert there != trained(convnet, tmp_path, {})


@pytest.mark.torture
@pytest.mark.skipif(not EMULATOR, reason="needs qemu-x86_64, in Debian's qemu-user")
def test_an_emulator_that_approximates_otherwise_gives_the_same(
    networks: list[Network], here: Outcomes, tmp_path: Path
):
    """A hundred times slower: two networks that normalize, one of them compiled by XLA, and some drawn at random."""
    names = list(read_networks(ROOT / "params.yaml"))
    chosen = [names.index("convnet"), names.index("dropout-batchnorm-256-128-128"), *range(len(names), len(names) + 20)]
    some = [networks[index] for index in chosen]
    emulated = trained(some, tmp_path, {}, str(EMULATOR), "-cpu", "Haswell")
    assert differing(some, [here[index] for index in chosen], emulated) == []
