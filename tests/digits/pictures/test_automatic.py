"""What `auto` comes to, for folders of several kinds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digits.foundation.command import Refusal
from digits.foundation.parameters import Folder, Parameters
from digits.foundation.yaml import parse_yaml
from digits.pictures import automatic
from digits.pictures.automatic import Settled, in_runs, settle
from digits.pictures.folder import gather
from tests.hand import write_hand

AUTOMATIC = Folder(kind="folder")


def photographs(folder: Path, channels: int) -> None:
    """Sixty pictures of blurs, of two classes, grey or in color."""
    chance = np.random.default_rng(channels)
    for number in range(60):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(chance.integers(0, 256, (6, 8, channels), np.uint8).squeeze())
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(path)


def settled(folder: Path, wanted: Folder = AUTOMATIC) -> Settled:
    return settle(wanted, sorted(folder.rglob("*.png")))


def test_a_hands_digits_are_framed_as_digits(tmp_path: Path):
    write_hand(tmp_path, 5)
    found = settled(tmp_path)
    assert (found.framing, found.shape) == ("digit", (28, 28, 1))
    assert found.told[0] == "framing digit: of 50 pictures looked at, 0 show no single digit and 0 are colorful"


def test_digits_that_are_asked_for_in_another_size_are_taken_whole_and_told_why(tmp_path: Path):
    write_hand(tmp_path, 2)
    found = settled(tmp_path, Folder(kind="folder", side=16))
    assert (found.framing, found.shape) == ("whole", (16, 16, 1))
    assert found.told[0] == "framing whole: side is 16, color auto; digits become 28 x 28 grey pixels"


@pytest.mark.parametrize(("channels", "told"), [pytest.param(1, "grey", marks=pytest.mark.slow), (3, "in color")])
def test_photographs_are_taken_whole(tmp_path: Path, channels: int, told: str, capsys: pytest.CaptureFixture[str]):
    photographs(tmp_path, channels)
    found = gather(tmp_path, AUTOMATIC)
    assert (found.task.framing, found.images.shape[1:]) == ("whole", (64, 64, channels))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "60 pictures of 2 classes: a 30, b 30"
    assert lines[2] == f"pictures of 160 x 120 pixels become images of 64 x 64, {told}"


def test_bars_across_the_picture_are_taken_whole_as_their_place_may_be_all_they_tell(tmp_path: Path):
    for place in range(10):
        spectrum = np.full((96, 128), 30, np.uint8)
        spectrum[8 * place + 4 : 8 * place + 8] = 200
        Image.fromarray(spectrum).save(tmp_path / f"{place}.png")
    assert settled(tmp_path).framing == "whole"


def test_what_params_yaml_says_is_so(tmp_path: Path):
    photographs(tmp_path, 3)
    wanted = Folder(kind="folder", framing="whole", side=40, color=False)
    assert settled(tmp_path, wanted) == ("whole", (40, 40, 1), [])
    assert settled(tmp_path, Folder(kind="folder", framing="digit")).shape == (28, 28, 1)
    assert settled(tmp_path, Folder(kind="folder", side=48)).shape == (48, 48, 3)
    write_hand(tmp_path / "digits", 2)
    assert settled(tmp_path / "digits", Folder(kind="folder", side=40)).framing == "whole", "which no digit's frame has"


def test_where_no_digit_is_to_be_framed_nobody_looks_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    photographs(tmp_path, 3)
    wanted = Folder(kind="folder", framing="whole")
    found = settled(tmp_path, wanted)
    monkeypatch.setattr(automatic, "prepare", None)  # which the processes that look inherit
    assert settled(tmp_path, wanted) == found == ("whole", (64, 64, 3), found.told)
    with pytest.raises(TypeError):
        settled(tmp_path)


@pytest.mark.slow
def test_no_name_decides(tmp_path: Path):
    write_hand(tmp_path, 3)
    photographs(tmp_path / "others", 3)
    before = settled(tmp_path)
    for number, path in enumerate(sorted(tmp_path.rglob("*.png"))):
        path.rename(path.with_name(f"{-number % 7}-{path.name}"))
    assert settled(tmp_path) == before


def test_joined_to_another_dataset_it_is_as_that_one():
    content = parse_yaml(Path("params.yaml").read_bytes(), Path("params.yaml"))
    content["fetch"]["dataset"] = "mnist-and-own"
    joined = Parameters.model_validate(content)
    own = joined.sources()["own"]
    assert (own.framing, own.side, own.color) == ("digit", 28, False)


def test_many_pictures_without_a_digit_are_refused_with_what_to_set(tmp_path: Path):
    photographs(tmp_path, 3)
    with pytest.raises(
        Refusal, match="and 50 more\npictures of other things than one digit each are read with datasets.own"
    ):
        gather(tmp_path, Folder(kind="folder", framing="digit"))


def with_a_shade_each(folder: Path, ones: str, sevens: str) -> Path:
    """Nine ones and nine sevens as two classes, each beside a picture of nothing: less than a look minds."""
    write_hand(folder / "hand", 9)
    for digit, name, turned in (("1", ones, 0), ("7", sevens, 90)):
        (folder / "hand" / digit).rename(folder / name)
        Image.linear_gradient("L").rotate(turned).resize((90, 90)).save(folder / name / "shade.png")
    shutil.rmtree(folder / "hand")
    return folder


def test_a_picture_that_shows_no_digit_is_refused_among_digits(tmp_path: Path):
    what_to_do = r"7/shade.png: shows no digit.*\n.*framing: whole; datasets.own.unreadable: skip"
    with pytest.raises(Refusal, match=what_to_do):
        gather(with_a_shade_each(tmp_path, "1", "7"), AUTOMATIC)


def test_among_classes_of_other_names_it_makes_all_of_them_other_things(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert gather(with_a_shade_each(tmp_path, "I", "L"), AUTOMATIC).task.framing == "whole"
    assert (
        "\nframing whole instead: 2 show no digit, and not all classes are called 0 to 9\n" in capsys.readouterr().out
    )


def shades(seeds: list[int], moved: float) -> np.ndarray:
    """Smooth pictures of 32 x 32 grey pixels, alike where the seeds are, but for some noise."""
    generator = np.random.default_rng(0)
    forms = np.stack([np.random.default_rng(seed).integers(40, 200, (8, 8)) for seed in seeds])
    pictures = np.kron(forms, np.ones((4, 4))) + generator.normal(0, moved, (len(seeds), 32, 32))
    return pictures.clip(0, 255).astype(np.uint8)[..., None]


@pytest.mark.parametrize(("alike", "said"), [(5, "81% of the pictures"), (1, "")])
def test_names_in_runs_are_told_where_neighbours_are_nearly_the_same(alike: int, said: str):
    numbers = np.arange(200)
    paths = [Path(f"images/{number % 2}/IMG_{number}.png") for number in numbers]
    images = shades((numbers // 2 // alike * 2 + numbers % 2).tolist(), 10)
    order = np.random.default_rng(1).permutation(200)
    told = in_runs(images[order], [paths[place] for place in order], numbers[order] % 2)
    assert told[: len("81% of the pictures")] == said


def test_of_few_pictures_or_equal_ones_nothing_is_said_of_their_names():
    paths = [Path(f"images/{number % 2}/{number}.png") for number in range(100)]
    assert in_runs(shades([1] * 20, 0), paths[:20], np.arange(20) % 2) == ""
    assert in_runs(shades([1] * 100, 0), paths, np.arange(100) % 2) == ""
