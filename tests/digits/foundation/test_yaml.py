"""params.yaml means to the stages what it means to DVC, which notes its values in dvc.lock."""

from pathlib import Path

import pytest
from dvc.utils.serialize import parse_yaml as parse_as_dvc

from digits.foundation.command import Refusal
from digits.foundation.yaml import parse_yaml
from tests.conftest import ROOT

HERE = Path("params.yaml")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1e-3", 0.001),
        ("1.e3", 1000.0),
        (".5", 0.5),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("True", True),
        ("1:30", "1:30"),
        ("~", None),
        ("'010'", "010"),
        ("!!int 010", 10),
    ],
)
def test_a_value_is_what_dvc_takes_it_for(written: str, meant: object):
    text = f"epochs: {written}\n"
    read, by_dvc = parse_yaml(text.encode(), HERE), parse_as_dvc(text, HERE)
    assert read == by_dvc == {"epochs": meant}
    assert type(read["epochs"]) is type(by_dvc["epochs"]) is type(meant)


def test_this_repositorys_files_mean_the_same_to_both():
    for name in ("params.yaml", "dvc.yaml", "dvc.lock"):
        content = (ROOT / name).read_bytes()
        assert parse_yaml(content, HERE) == parse_as_dvc(content.decode(), HERE)


@pytest.mark.parametrize(
    "content", [b"a: [1", b"\xff\xfe\xff", b"a: 1\na: 2\n", b"a: &b [*b", b"!!python/object:os.x y", b"="]
)
def test_what_is_not_yaml_is_refused_in_a_sentence(content: bytes):
    with pytest.raises(Refusal, match=r"^params.yaml is not YAML: [^\n]*$"):
        parse_yaml(content, HERE)
