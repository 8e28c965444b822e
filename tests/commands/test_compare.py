import json
import re
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from commands import compare
from digits.data.measured import DATA
from digits.data.prepared import TASK
from digits.foundation.command import Refusal, run
from digits.foundation.files import write_json
from digits.foundation.tables import write_table
from digits.results import pairing
from digits.results.predictions import PREDICTIONS
from tests.conftest import DIGITS, Repository, write_split
from tests.digits.results.test_drawing import first_pixel

# Eleven images. Of them, A alone is right on one (a 7) and B alone on nine (the first 3 and all eight 1s); the last is
# misread by both, in two ways.
ACTUAL = [7, 3, 1, 1, 1, 1, 1, 1, 1, 1, 4]
SAID_BY_A = [7, 5, 7, 7, 7, 7, 7, 7, 7, 7, 9]
SAID_BY_B = [1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 6]
NAMES = [f"image-{row}" for row in range(11)]


def write(predicted: Sequence[int]) -> None:
    """Put what a network said where `evaluate` and `prepare` put it."""
    write_table(PREDICTIONS, pd.DataFrame({"actual": ACTUAL, "predicted": predicted, "confidence": 0.5}))
    write_table(compare.TEST_IMAGES, pd.DataFrame({"image": NAMES}))
    write_json(DATA, {"dataset": "mnist", "test": len(ACTUAL)})


@pytest.fixture
def history(workspace: Path) -> Repository:
    """A working directory with A in its only commit and B in its files."""
    repository = Repository(workspace, workspace)
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    Path(".dvc").mkdir()  # what `dvc init` makes, without its second and a half
    Path(".dvc/config").touch()
    Path(".dvc/.gitignore").write_text("/tmp\n")
    write(SAID_BY_A)
    repository.commit("A")
    write(SAID_BY_B)
    return repository


def revision(
    predicted: Sequence[int],
    actual: Sequence[int] = ACTUAL,
    images: Sequence[str] | None = None,
    dataset: str = "mnist",
    sources: Sequence[str] | None = None,
) -> compare.Revision:
    """A revision that is in memory only."""
    table = {
        "image": images or [f"image-{row}" for row in range(len(actual))], "source": sources or [dataset] * len(actual),
        "actual": list(map(str, actual)), "predicted": list(map(str, predicted)),
    }  # fmt: skip
    return compare.Revision("some", dataset, pd.DataFrame(table))


A, B = revision(SAID_BY_A), revision(SAID_BY_B)


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    """What the command says with `--json`."""
    monkeypatch.setattr(sys, "argv", ["compare", *arguments, "--json"])
    capsys.readouterr()
    compare.main()
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (1, 9, 2 * (1 + 10) / 2**10),  # 0.021484375
        (9, 1, 2 * (1 + 10) / 2**10),
        (0, 5, 2 / 2**5),
        (2, 8, 2 * (1 + 10 + 45) / 2**10),
        (3, 3, 1),
        (0, 0, 1),
    ],
)
def test_p_is_that_of_as_many_coins(only_a: int, only_b: int, p: float):
    assert compare.mcnemar(only_a, only_b) == pytest.approx(p, rel=1e-12)


def test_the_verdict_names_the_better_one_only_below_the_level():
    assert compare.verdict(1, 9) == "B is better: p = 0.0215"
    assert compare.verdict(9, 1) == "A is better: p = 0.0215"
    assert compare.verdict(0, 6) == "B is better: p = 0.0312"
    assert compare.verdict(0, 5) == "no evidence of a difference: p = 0.0625"
    assert compare.verdict(0, 0) == "no evidence of a difference: p = 1"


def test_the_numbers_are_those_of_the_paired_images():
    numbers = compare.compare(A, B, compare.pair(A, B))
    assert (numbers["images"], numbers["only_a"], numbers["only_b"]) == (11, 1, 9)
    assert numbers["p"] == 0.021484375
    assert numbers["a"]["accuracy"] == pytest.approx(1 / 11, abs=1e-6)
    assert numbers["b"]["accuracy"] == pytest.approx(9 / 11, abs=1e-6)
    assert numbers["a"]["accuracy_low"] < 1 / 11 < numbers["a"]["accuracy_high"] < numbers["b"]["accuracy_low"]
    assert [list(row.values()) for row in numbers["classes"]] == [
        ["1", 8, 0, 1, 0, 8],
        ["3", 1, 0, 1, 0, 1],
        ["4", 1, 0, 0, 0, 0],
        ["7", 1, 1, 0, 1, 0],
    ]


def test_a_person_reads_both_accuracies_the_verdict_and_a_row_a_digit():
    lines = compare.report(compare.compare(A, B, compare.pair(A, B))).splitlines()
    assert lines[0] == "A  some  accuracy 9.09%, 95% Wilson interval 1.62% to 37.74%"
    assert lines[1].startswith("B  some  accuracy 81.82%")
    assert "Of 11 test images of mnist, 1 only A has right and 9 only B." in lines
    assert "B is better: p = 0.0215 (McNemar's exact test; p below 0.05 counts as evidence)" in lines
    assert lines[-4].split() == ["1", "8", "0.00%", "100.00%", "0", "8"]


def test_own_images_that_only_one_has_right_are_named_by_their_files():
    files = [*[""] * 9, "1/a.png", "4/b.png"]
    a, b = (
        compare.Revision("some", "own", one.predictions.assign(file=files, more=[*[0] * 9, 2, 0])) for one in (A, B)
    )
    numbers = compare.compare(a, b, compare.pair(a, b))
    assert numbers["files"] == [{"file": "1/a.png", "more": 2, "actual": "1", "a": "7", "b": "1"}]
    assert compare.report(numbers).splitlines()[-1] == "1/a.png and 2 more: is 1, A: 7, B: 1"
    assert compare.compare(A, b, compare.pair(A, b))["files"] == numbers["files"]
    assert compare.compare(A, B, compare.pair(A, B))["files"] == []
    figure = compare.draw(np.zeros((11, 28, 28, 1), np.float32), True, compare.pair(a, b), "Differ")
    texts = [text.get_text() for text in figure.findobj(plt.Text)]
    assert "is 1\nA: 7\nB: 1\n1/a" in texts
    plt.close(figure)


def test_revisions_without_a_common_image_are_refused():
    other = revision(SAID_BY_B, images=[f"other-{row}" for row in range(11)], dataset="digits")
    with pytest.raises(Refusal, match="some was measured on mnist and some on digits, which have no test image in"):
        compare.pair(A, other)


def test_images_are_paired_by_what_they_show_and_not_by_their_row():
    """B has the images of A in another order, each third one missing, and some of its own in between."""
    order = [place for place in np.random.default_rng(0).permutation(11) if place % 3]
    shuffled = revision(
        [9, *(SAID_BY_B[place] for place in order), 9],
        [8, *(ACTUAL[place] for place in order), 8],
        ["own-1", *(NAMES[place] for place in order), "own-2"],
        "mnist-and-own",
        ["own", *["mnist"] * len(order), "own"],
    )
    pairs = compare.pair(A, shuffled)
    assert pairs["row"].tolist() == [1, 2, 4, 5, 7, 8, 10]
    assert pairs["b"].tolist() == [str(SAID_BY_B[row]) for row in pairs["row"]]
    numbers = compare.compare(A, shuffled, pairs)
    assert (numbers["images"], numbers["images_of_either"]) == (7, 11 + 9 - 7)
    lines = compare.report(numbers).splitlines()
    assert "Of 13 test images 7 are in both, and these alone are counted." in lines
    assert "Of the 7 test images of mnist and mnist-and-own, 0 only A has right and 6 only B." in lines


def test_an_image_that_is_there_twice_is_paired_twice():
    twice = revision([7, 1], [7, 7], ["a", "a"])
    assert compare.pair(twice, twice)[["a", "b"]].to_numpy().tolist() == [["7", "7"], ["1", "1"]]


def test_each_source_of_a_joined_dataset_has_its_verdict():
    sources = [*["mnist"] * 3, *["own"] * 8]
    one, other = revision(SAID_BY_A, sources=sources), revision(SAID_BY_B, sources=sources)
    numbers = compare.compare(one, other, compare.pair(one, other))
    assert [(row["source"], row["images"], row["only_a"], row["only_b"]) for row in numbers["sources"]] == [
        ("mnist", 3, 1, 2), ("own", 8, 0, 7),
    ]  # fmt: skip
    lines = compare.report(numbers).splitlines()
    assert "mnist: no evidence of a difference: p = 1" in lines
    assert "own: B is better: p = 0.0156" in lines


def test_of_many_classes_the_report_shows_those_that_differ_most():
    names = [f"class {number:03}" for number in range(47)]
    one = compare.Revision("one", "symbols", pd.DataFrame({
        "image": names, "source": "symbols", "actual": names, "predicted": names,
    }))  # fmt: skip
    other = compare.Revision("other", "symbols", one.predictions.assign(predicted=[*names[:-2], "x", "y"]))
    numbers = compare.compare(one, other, compare.pair(one, other))
    assert len(numbers["classes"]) == 47
    lines = compare.report(numbers).splitlines()
    assert lines[-1] == "(17 classes with fewer differences are in --json)"
    assert lines[-2].split()[:2] == ["class", "046"]


def test_head_is_compared_with_the_workspace_unless_told_otherwise(
    history: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert told(monkeypatch, capsys)["verdict"] == "B is better: p = 0.0215"
    history.commit("B")
    assert told(monkeypatch, capsys)["verdict"] == "no evidence of a difference: p = 1"
    assert told(monkeypatch, capsys, "HEAD~1")["only_b"] == 9
    numbers = told(monkeypatch, capsys, "main", "HEAD~1")
    assert (numbers["a"]["revision"], numbers["b"]["revision"], numbers["only_a"]) == ("main", "HEAD~1", 9)


def test_a_project_that_is_a_part_of_a_larger_repository_is_compared(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (workspace / "part/of/.dvc").mkdir(parents=True)
    (workspace / "part/of/.dvc/config").touch()
    monkeypatch.chdir(workspace / "part/of")
    repository = Repository(workspace, workspace)
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    write(SAID_BY_A)
    repository.commit("A")
    write(SAID_BY_B)
    assert told(monkeypatch, capsys)["verdict"] == "B is better: p = 0.0215"


def test_whatever_git_calls_a_commit_is_read(history: Repository):
    history.run("git", "tag", "--annotate", "--message", "A tag", "a-tag")
    history.run("git", "branch", "feature/a")
    for name in ("@", "a-tag", "feature/a", "refs/heads/main", history.run("git", "rev-parse", "--short", "@").strip()):
        assert compare.read_revision(name).predictions["predicted"].tolist() == list(map(str, SAID_BY_A)), name


def test_an_experiment_under_two_commits_is_refused_away_from_both(history: Repository):
    for _ in range(2):
        baseline = history.run("git", "rev-parse", "HEAD").strip()
        history.run("git", "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/twice", baseline)
        history.run("git", "commit", "--quiet", "--allow-empty", "--message", "On")
    with pytest.raises(Refusal, match="'twice' names no commit or several"):
        compare.read_revision("twice")
    history.run("git", "reset", "--quiet", "HEAD~1")
    assert compare.read_revision("twice").predictions["predicted"].tolist() == list(map(str, SAID_BY_A))


@pytest.mark.parametrize("name", ["nosuch", "", "-h", "--output=stolen", "HEAD:plots", "HEAD~9", "\udcff", "x" * 5000])
def test_what_is_no_revision_is_refused(history: Repository, name: str):
    with pytest.raises(Refusal, match="names no commit or several, expected a Git revision"):
        compare.read_revision(name)
    assert not Path("stolen").exists()


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (PREDICTIONS, None, "HEAD has no plots/predictions.csv"),
        (DATA, None, "HEAD has no metrics/data.json"),
        (PREDICTIONS, "", "plots/predictions.csv at HEAD is no table that can be read"),
        (PREDICTIONS, "actual,predicted,confidence\n7,7,x\n", "at HEAD is no table that can be read"),
        (PREDICTIONS, "actual,predicted,confidence\n7,7,1.0", "is no whole table of actual, predicted, conf"),
        (PREDICTIONS, "digit,f1\n7,1\n", "at HEAD is no whole table of actual, predicted, confidence$"),
        (PREDICTIONS, "actual,predicted,confidence\n", "has no rows, expected one for each test image"),
        (
            PREDICTIONS,
            "actual,predicted,confidence\n7,1,1.0\n",
            "has 1 rows, metrics/test_images.csv 11, .* 11",
        ),
        (compare.TEST_IMAGES, None, "HEAD has no metrics/test_images.csv"),
        (
            compare.TEST_IMAGES,
            "image\nmkkrFxnl\n",
            "has 11 rows, metrics/test_images.csv 1, .* counts 11",
        ),
        (DATA, "{", "metrics/data.json at HEAD is no JSON that names a dataset"),
        (DATA, "[]", "metrics/data.json at HEAD is no JSON that names a dataset"),
        (DATA, "{}", "metrics/data.json at HEAD is no JSON that names a dataset"),
    ],
)
def test_a_missing_or_damaged_file_is_refused(history: Repository, file: Path, content: str | None, sentence: str):
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    history.commit("Damage")
    with pytest.raises(Refusal, match=sentence):
        compare.read_revision("HEAD")


def test_where_dvc_can_write_down_nothing_it_is_said_what_to_set(history: Repository, monkeypatch: pytest.MonkeyPatch):
    def unwritable(*_: object, **__: object) -> bytes:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("dvc.api.read", unwritable)
    with pytest.raises(Refusal, match="unable to open database file, expected a folder .* DVC_SITE_CACHE_DIR names it"):
        compare.read_revision("HEAD")


def test_where_another_dvc_keeps_its_notes_to_itself_no_folder_is_asked_for(
    history: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def locked(*_: object, **__: object) -> bytes:
        connect = partial(sqlite3.connect, tmp_path / "notes.db", timeout=0)
        with closing(connect()) as others, closing(connect()) as ours:
            others.execute("BEGIN EXCLUSIVE")
            ours.execute("BEGIN EXCLUSIVE")
        raise AssertionError

    monkeypatch.setattr("dvc.api.read", locked)
    with pytest.raises(Refusal, match="database is locked, expected another dvc that is at work here to have ended"):
        compare.read_revision("HEAD")


def test_the_picture_shows_first_what_one_has_right_and_at_most_fifty():
    images = np.zeros((70, 28, 28, 1), np.float32)
    only_b, neither = revision([5] * 70, [3] * 70), revision([8] * 35 + [3] * 30 + [5] * 5, [3] * 70)
    figure = compare.draw(images, True, compare.pair(only_b, neither), "Differ")
    texts = [text.get_text() for text in figure.findobj(plt.Text) if text.get_text().startswith(("is", "Differ"))]
    plt.close(figure)
    assert texts[-1] == "Differ: 50 of 65 images"
    assert texts[:-1] == ["is 3\nA: 5\nB: 3"] * 30 + ["is 3\nA: 5\nB: 8"] * 20


@pytest.mark.parametrize(("ink", "seen"), [(True, 0.1), (False, 0.9)])
def test_the_picture_has_digits_as_ink_and_photographs_as_light(ink: bool, seen: float):
    figure = compare.draw(np.full((11, 28, 28, 1), 0.9, np.float32), ink, compare.pair(A, B), "Differ")
    assert first_pixel(figure) == pytest.approx(seen, abs=0.01)


def test_the_picture_is_drawn_from_the_test_images_that_were_measured(
    history: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    write_split("test", np.zeros((11, 28, 28, 1), np.float32), np.array(ACTUAL, np.uint8))
    write_json(TASK, asdict(DIGITS))
    told(monkeypatch, capsys, "--show", "differ.png")
    assert Path("differ.png").read_bytes().startswith(b"\x89PNG")
    write_table(compare.TEST_IMAGES, pd.DataFrame({"image": [f"other-{row}" for row in range(11)]}))
    with pytest.raises(Refusal, match="data/prepared has other test images than A"):
        told(monkeypatch, capsys, "HEAD", "HEAD", "--show", "other.png")
    assert not Path("other.png").exists()


def test_a_picture_is_a_png_by_its_name_too(
    history: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit, match="2"):
        told(monkeypatch, capsys, "--show", "differ.jpg")
    assert "argument --show: differ.jpg, expected a name that ends in .png" in capsys.readouterr().err


def test_an_experiment_of_dvc_is_known_by_its_name(
    experiment: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    experiment.run("git", "checkout", "--force", "--quiet", "HEAD")
    numbers = json.loads(experiment.run("python", "-m", "commands.compare", "one-epoch", "--json"))
    assert numbers["verdict"].startswith("B is better")
    table = experiment.run("dvc", "exp", "show", "--json")
    assert f'"accuracy": {numbers["a"]["accuracy"]}' in table
    loaded = "import sys, commands.compare; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    experiment.run("python", "-c", loaded)

    monkeypatch.chdir(experiment.path)
    told(monkeypatch, capsys, "one-epoch", "HEAD", "--show", "differ.png")
    assert (experiment.path / "differ.png").is_file()
    with pytest.raises(SystemExit, match="1"):
        run(lambda: told(monkeypatch, capsys, "two-epochs"))
    refused = capsys.readouterr().err
    assert refused.startswith("error: 'two-epochs' names no commit")
    assert refused.count("\n") == 1


def three() -> list[pairing.Revision]:
    """A, which is right; B, wrong on the first 40 of 100; C, which has 80 of these, and one of them wrong."""
    images = [f"{number:016x}" for number in range(100)]
    actual = ["a"] * 100
    predicted = {"A": actual, "B": ["b"] * 40 + ["a"] * 60, "C": ["b"] + ["a"] * 99}
    tables = {
        name: pd.DataFrame({"image": images, "source": "some", "actual": actual, "predicted": said})
        for name, said in predicted.items()
    }
    tables["C"] = tables["C"][:80]
    return [pairing.Revision(name, "some", tables[name]) for name in "BAC"]


def test_of_three_the_best_comes_first_and_what_it_is_better_than():
    numbers = compare.rank(three())
    assert [row["revision"] for row in numbers["revisions"]] == ["A", "C", "B"]
    assert [row["better_than"] for row in numbers["revisions"]] == [["B"], ["B"], []]
    assert [row["accuracy"] for row in numbers["revisions"]] == [1, round(79 / 80, 6), 0.5]
    assert numbers["images"] == 80
    told = compare.league(numbers)
    assert re.search(r"^ 1  A +100\.00%", told, re.MULTILINE)
    assert "mean 82.92%, standard deviation 28.51 points" in told


def test_equal_revisions_share_their_place():
    worse, better, _ = three()
    told = compare.league(compare.rank([better, worse, better]))
    assert re.findall(r"^ (\d)  ([AB]) ", told, re.MULTILINE) == [("1", "A"), ("1", "A"), ("3", "B")]


def test_what_is_evidence_once_is_none_among_many():
    assert pairing.holm([0.03, 0.01, 0.04]) == [0.06, 0.03, 0.06]
    assert pairing.holm([0.6, 0.7]) == [1.0, 1.0]


def test_images_that_were_labelled_anew_are_counted():
    a, b, _ = three()
    anew = a.predictions.assign(actual=["b"] * 3 + ["a"] * 97)
    pairs = pairing.pair(b, pairing.Revision("anew", "some", anew))
    numbers = compare.compare(b, a, pairs)
    assert numbers["labels_differ"] == 3
    assert "3 have another label in B than in A" in compare.report(numbers)
