from pathlib import Path

import pytest

from digits.foundation import processor
from tests.conftest import ROOT


def test_the_flags_are_those_that_linux_tells(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma\nbugs\t\t: none\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert processor.processor_flags(cpuinfo) == {"fpu", "avx2", "fma"}
    cpuinfo.write_text("Features : asimd\n")
    assert processor.processor_flags(cpuinfo) == set()


def shortcoming_of(monkeypatch: pytest.MonkeyPatch, platform: str, machine: str, *flags: str) -> str | None:
    monkeypatch.setattr(processor.sys, "platform", platform)
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor.platform, "system", lambda: {"darwin": "Darwin", "linux": "Linux"}[platform])
    monkeypatch.setattr(processor, "processor_flags", lambda _: set(flags))
    return processor.shortcoming.__wrapped__()


def test_what_a_processor_lacks_is_named(monkeypatch: pytest.MonkeyPatch):
    assert shortcoming_of(monkeypatch, "linux", "x86_64", "avx2", "fma", "avx512f") is None
    assert shortcoming_of(monkeypatch, "linux", "x86_64", "avx") == "this processor has no AVX2 and no FMA"
    assert shortcoming_of(monkeypatch, "darwin", "arm64") == "this is Darwin on arm64, expected Linux on x86_64"


def test_a_processor_that_lacks_something_goes_on_and_is_told_what_it_gives_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processor, "shortcoming", lambda: "this processor has no AVX2")
    assert processor.settings("avx2") == processor.settings("native") == {}
    remark = processor.remark("avx2")
    assert remark
    assert remark.endswith("differ from other machines' in the last bits: this processor has no AVX2.")


def test_native_says_whose_its_bytes_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processor, "shortcoming", lambda: None)
    assert "only on processors of this kind" in (processor.remark("native") or "")
    assert processor.remark("avx2") is None


@pytest.mark.parametrize(
    ("content", "chosen"),
    [
        ("seed: 1\ninstructions: native # fast\n", "native"),
        ("instructions: 'native'\r\nseed: 1", "native"),
        ("instructions: avx2\n", "avx2"),
        ("instructions: natively\n", "avx2"),
        ("networks:\n  a:\n    instructions: native\n", "avx2"),
        ("# instructions: native\n", "avx2"),
        ("", "avx2"),
    ],
)
def test_what_is_chosen_is_seen_before_the_file_is_read(tmp_path: Path, content: str, chosen: str):
    (tmp_path / "params.yaml").write_text(content)
    assert processor.chosen_instructions(tmp_path / "params.yaml") == chosen


def test_the_committed_file_chooses_the_same_bytes_everywhere(tmp_path: Path):
    assert processor.chosen_instructions(ROOT / "params.yaml") == "avx2"
    assert processor.chosen_instructions(tmp_path / "params.yaml") == "avx2"
