import copy
import functools
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from digits.foundation.command import Refusal
from digits.foundation.parameters import KerasObject, read_networks, read_parameters
from digits.foundation.yaml import parse_yaml
from tests.conftest import ROOT

CONVNET = "networks.convnet"
TINY = {"layers": ["Flatten"], "optimizer": {"SGD": {"learning_rate": 0.1}}, "epochs": 1, "batch_size": 8}


@functools.cache
def committed() -> dict:
    """params.yaml as committed, read once, as YAML is slow to read. To be copied."""
    return parse_yaml((ROOT / "params.yaml").read_bytes(), ROOT / "params.yaml")


def changed(tmp_path: Path, key: str, value: object) -> Path:
    """params.yaml with one value changed."""
    content = copy.deepcopy(committed())
    content["datasets"] |= {
        "twice": {"kind": "join", "of": ["mnist", "mnist"]},
        "untaught": {"kind": "join", "of": ["mnist", "own"], "repeat": {"mnist": 0, "own": 0}},
        "nested": {"kind": "join", "of": ["mnist", "mnist-and-own"]},
        "lonely": {"kind": "join", "of": ["mnist", "nobody"]},
    }
    *path, last = key.split(".")
    place = content
    for part in path:
        place = place[int(part) if isinstance(place, list) else part]
    place[int(last) if isinstance(place, list) else last] = value
    YAML(typ="safe").dump(content, tmp_path / "params.yaml")
    return tmp_path / "params.yaml"


def test_the_committed_file_holds_the_six_networks():
    networks = read_networks(ROOT / "params.yaml")
    assert {"convnet", "selu-300-100", "relu-128-128", "relu-256-128-128", "relu-128"} < networks.keys()
    dropout = networks["dropout-batchnorm-256-128-128"]
    assert [layer.name for layer in dropout.layers] == [
        "Flatten", "Dense", "Dropout", "Dense", "Dense", "BatchNormalization", "Dense",
    ]  # fmt: skip
    assert dropout.optimizer == KerasObject(name="Adam", arguments={"learning_rate": 0.001})


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("seed", -1, "seed is -1, expected greater than or equal to 0"),
        ("seed", "one", "seed is 'one', expected a valid integer"),
        ("seed", True, "seed is True, expected a valid integer"),
        ("seed", 2**32, "seed is 4294967296, expected less than 4294967296"),
        ("threads", 0, "threads is 0"),
        *[
            ("instructions", value, f"instructions is {value!r}, expected 'avx2' or 'native'")
            for value in ("avx512", "AVX2", 2, "", None)
        ],
        ("wings", 2, "wings is an unknown key"),
        ("prepare.wings", 2, "prepare.wings is an unknown key"),
        ("fetch.dataset", "mnits", "fetch.dataset: 'mnits' is unknown, expected one of digits, fashion-mnist, "),
        ("fetch.dataset", 7, "fetch.dataset is 7, expected a valid string"),
        ("datasets", {"mnist": {"kind": "idxx"}}, "datasets.mnist is .*'idx', 'embedded', 'folder', 'join'"),
        ("datasets", {"mnist": {}}, "datasets.mnist .*kind"),
        ("datasets.mnist.wings", 2, "datasets.mnist.wings is an unknown key"),
        ("datasets.mnist.height", 257, "datasets.mnist.height is 257, expected less than or equal to 256"),
        ("datasets.mnist.height", 20, "datasets.mnist: framing is 'digit' for images of 20 x 28, expected 'whole'"),
        ("datasets.mnist.classes", 1, "datasets.mnist.classes: 1 is neither a count nor a list of names, from 2"),
        ("datasets.mnist.classes", ["a", "a"], "datasets.mnist.classes: .* is neither a count nor a list"),
        ("datasets.mnist.classes", ["a", "b\n"], "datasets.mnist.classes.1: 'b.*n' is no name that can be shown"),
        ("datasets.mnist.sha256", ["b" * 64], "datasets.mnist.sha256 is .* at least 4"),
        ("datasets.mnist.sha256", ["b" * 63] * 4, "datasets.mnist.sha256.0 is 'bbb.*match pattern"),
        ("fetch.dataset", "twice", "datasets.twice: of names 'mnist' twice, expected different datasets"),
        ("fetch.dataset", "untaught", "datasets.untaught: repeat has 0 for each dataset, expected one at least"),
        ("fetch.dataset", "nested", "datasets.nested.of names 'mnist-and-own', a join itself, expected"),
        ("fetch.dataset", "lonely", "datasets.lonely.of: 'nobody' is unknown, expected one of"),
        ("datasets", {"mnist": {}, "a.b": {}}, "datasets: 'a.b' cannot be chosen, expected a name without dots"),
        ("datasets.size", {"kind": "embedded"}, "datasets: 'size' is a name that DVC's run cache overlooks"),
        ("networks.nfiles", {}, "networks: 'nfiles' is a name that DVC's run cache overlooks"),
        (
            "prepare.validation",
            {"size": 0.1, "take": "first", "seed": 1},
            "prepare.validation.hold_out is missing; a file from before has it",
        ),
        ("prepare.validation.hold_out", -1, "prepare.validation.hold_out: -1 is neither a count"),
        ("prepare.validation.hold_out", 1.5, "prepare.validation.hold_out: 1.5 is neither"),
        ("prepare.validation.hold_out", "many", "prepare.validation.hold_out: 'many' is neither"),
        ("prepare.validation.take", "some", "prepare.validation.take is 'some'"),
        ("network", "foo", "network: 'foo' is unknown, expected one of convnet, "),
        ("networks", {}, "network: 'convnet' is unknown"),
        *[
            (
                "networks",
                {"convnet": TINY, name: TINY},
                rf"networks: {re.escape(repr(name))} cannot be chosen, expected a name without dots and brackets",
            )
            for name in ("a.b", "v1.0", "a[0]", "a]", "")
        ],
        (f"{CONVNET}.epochs", 0, "networks.convnet.epochs is 0"),
        (f"{CONVNET}.epochs", 10**9, "networks.convnet.epochs is 1000000000"),
        (f"{CONVNET}.epochs", None, "networks.convnet.epochs is None"),
        (f"{CONVNET}.batch_size", -32, "networks.convnet.batch_size is -32"),
        (f"{CONVNET}.batch_size", 0.5, "networks.convnet.batch_size is 0.5"),
        (f"{CONVNET}.layers", [], "networks.convnet.layers is \\[\\]"),
        (f"{CONVNET}.layers.0", 7, "networks.convnet.layers.0: 7 stands where a Keras class"),
        (f"{CONVNET}.layers.0", {"Dense": 7}, "networks.convnet.layers.0.arguments is 7"),
        (
            f"{CONVNET}.layers.0",
            {"UpSampling2D": {"size": 2}},
            "networks.convnet.layers.0: UpSampling2D's argument size",
        ),
        (f"{CONVNET}.optimizer", {"SGD": {"learning_rate": None}}, "networks.convnet.optimizer: learning_rate is None"),
        (f"{CONVNET}.optimizer.Adam.learning_rate", 0, "networks.convnet.optimizer: learning_rate is 0"),
        (f"{CONVNET}.optimizer.Adam.learning_rate", -0.1, "networks.convnet.optimizer: learning_rate is -0.1"),
        (f"{CONVNET}.optimizer.Adam.learning_rate", "fast", "networks.convnet.optimizer: learning_rate is 'fast'"),
        (f"{CONVNET}.optimizer.Adam.learning_rate", 1e9, "networks.convnet.optimizer: learning_rate is 1000000000.0"),
        (f"{CONVNET}.optimizer.Adam.learning_rate", float("nan"), "networks.convnet.optimizer: learning_rate is nan"),
        (f"{CONVNET}.one_cycle.warm_up", 1, "networks.convnet.one_cycle.warm_up is 1, expected less than 1"),
        (f"{CONVNET}.keep", "worst", "networks.convnet.keep is 'worst', expected 'last' or 'best'"),
        (f"{CONVNET}.patience", -1, "networks.convnet.patience is -1, expected greater than or equal to 0"),
        (f"{CONVNET}.patience", True, "networks.convnet.patience is True, expected a valid integer"),
        (f"{CONVNET}.jit_compile", "yes", "networks.convnet.jit_compile is 'yes', expected a valid boolean"),
        ("plot.dpi", 10**6, "plot.dpi is 1000000"),
    ],
)
def test_what_makes_no_sense_is_refused_by_key_and_value(tmp_path: Path, key: str, value: object, said: str):
    with pytest.raises(Refusal, match=f"params.yaml: {said}"):
        read_parameters(changed(tmp_path, key, value))


def test_an_older_file_is_told_the_line_to_add(tmp_path: Path):
    old = (ROOT / "params.yaml").read_text().replace("\ninstructions: avx2", "\n#")
    (tmp_path / "params.yaml").write_text(old)
    with pytest.raises(Refusal, match="instructions is missing; the line to add is `instructions: avx2`"):
        read_parameters(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ([[], "own"], ".0 is \\[\\], expected a valid string"),
        (["mnist", "mine"], ": 'mine' is unknown, expected one of "),
        (["mnist", "mnist-and-own"], " names 'mnist-and-own', a join itself"),
    ],
)
def test_a_join_names_datasets(tmp_path: Path, of: list[object], said: str):
    path = changed(tmp_path, "datasets.mnist-and-own.of", of)
    path.write_text(path.read_text().replace("{dataset: mnist}", "{dataset: mnist-and-own}"))
    with pytest.raises(Refusal, match=f"params.yaml: datasets.mnist-and-own.of{said}"):
        read_parameters(path)


@pytest.mark.parametrize(("key", "value", "of"), [("side", 40, "40 x 40"), ("color", True, "28 x 28 in color")])
def test_what_a_folder_says_is_not_passed_over_where_it_is_joined(tmp_path: Path, key: str, value: object, of: str):
    """With MNIST what is open is MNIST's form, and 40 pixels were asked for and 28 given, without a word."""
    path = changed(tmp_path, f"datasets.own.{key}", value)
    assert read_parameters(path).fetch.dataset == "mnist", "which takes nothing from there"
    path.write_text(path.read_text().replace("fetch: {dataset: mnist}", "fetch: {dataset: mnist-and-own}"))
    said = f"datasets.own: framing is 'digit' for images of {of}, expected 'whole': .*, as mnist-and-own joins them"
    with pytest.raises(Refusal, match=said):
        read_parameters(path)
    path.write_text(path.read_text().replace("framing: auto", "framing: whole"))
    assert read_parameters(path).datasets["own"].framing == "whole"


def test_networks_that_differ_in_their_recipe_alone_have_the_same_layers():
    networks = read_networks(ROOT / "params.yaml")
    assert networks["convnet"].layers == networks["convnet-one-epoch"].layers
    assert networks["mlp"].layers == networks["relu-256-128-128"].layers


@pytest.mark.parametrize("wrong", [7, {}, {"layers": "Flatten"}, {"layers": [{"TFSMLayer": {"filepath": "/"}}]}])
def test_a_wrong_network_that_nobody_chose_stops_nobody(tmp_path: Path, wrong: object):
    assert read_parameters(changed(tmp_path, "networks.relu-128", wrong)).network == "convnet"


def test_an_optimizer_without_a_learning_rate_has_that_of_keras(tmp_path: Path):
    chosen = read_parameters(changed(tmp_path, f"{CONVNET}.optimizer", "Adam"))
    assert chosen.networks["convnet"].optimizer == KerasObject(name="Adam", arguments={})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds nothing, expected keys with values"),
        ("[1]", r"holds \[1\], expected keys with values"),
        ("a: [", "is not YAML"),
        ("\0", "is not YAML"),
        ("{}", "seed is missing"),
        ("&a [*a]", "expected keys with values"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str, said: str):
    (tmp_path / "params.yaml").write_text(content)
    with pytest.raises(Refusal, match=said):
        read_parameters(tmp_path / "params.yaml")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(Refusal, match="params.yaml is missing"):
        read_parameters(tmp_path / "params.yaml")


def test_a_tag_that_would_run_code_runs_none(tmp_path: Path):
    (tmp_path / "params.yaml").write_text(f"seed: !!python/object/apply:os.mkdir [{tmp_path}/hacked]")
    with pytest.raises(Refusal, match="is not YAML"):
        read_parameters(tmp_path / "params.yaml")
    assert not (tmp_path / "hacked").exists()


def test_scientific_notation_is_a_number_as_it_is_for_dvc(tmp_path: Path):
    text = (ROOT / "params.yaml").read_text()
    assert "learning_rate: 0.01\n" in text
    (tmp_path / "params.yaml").write_text(text.replace("learning_rate: 0.01\n", "learning_rate: 1e-2\n"))
    assert read_parameters(tmp_path / "params.yaml") == read_parameters(ROOT / "params.yaml")


@pytest.mark.parametrize(
    ("dataset", "network", "trained"),
    [
        ("mnist", "convnet", "convnet"),
        ("mnist-and-own", "convnet", "convnet"),
        ("own", "convnet", "few-pictures"),
        ("own", "mlp", "mlp"),
    ],
)
def test_a_folder_alone_takes_the_network_for_few_pictures_unless_another_is_asked_for(
    tmp_path: Path, dataset: str, network: str, trained: str
):
    content = copy.deepcopy(committed())
    content["fetch"]["dataset"], content["network"] = dataset, network
    YAML(typ="safe").dump(content, tmp_path / "params.yaml")
    found = read_parameters(tmp_path / "params.yaml")
    assert found.chosen_network() == trained
    assert trained in found.networks


def test_a_network_for_own_pictures_that_is_unknown_is_named(tmp_path: Path):
    with pytest.raises(Refusal, match=r"for_own.take: 'foo' is unknown, expected one of convnet, "):
        read_parameters(changed(tmp_path, "for_own.take", "foo"))
