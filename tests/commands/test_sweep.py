"""What a sweep's file may say, what its settings are called, and what is told of them."""

import itertools
import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock
from matplotlib import pyplot as plt

pytest.importorskip("ray", reason="needs Ray: make sweep-installed")

from commands.sweep import cluster, experiments, picture, report
from commands.sweep.findings import Findings
from commands.sweep.plan import Plan, read_plan
from commands.sweep.progress import Progress, summary
from commands.sweep.settings import Baseline, distinct, experiment_name, key, options, read_message
from digits.foundation.command import Refusal
from digits.results.drawing import use_style
from tests.conftest import ROOT

RATE = "networks.mlp.optimizer.Adam.learning_rate"
SWEEP = {"space": {"network": ["mlp"], "networks.mlp.epochs": [1, 2]}, "search": "grid", "seeds": [1, 2]}
BASELINE = Baseline(
    {"network": "mlp", "fetch.dataset": "mnist", "seed": 1, "networks.mlp.epochs": 3, "networks.relu-128.epochs": 20},
    {"mnist-and-own": ["mnist", "own"]},
)


@pytest.fixture(autouse=True)
def in_a_folder(workspace: Path) -> None:
    """A working directory with this repository's params.yaml."""
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path("sweeps").mkdir()


def plan(**changes: Any) -> Plan:
    """The plan of a sweep's file; None takes a key out."""
    content = {name: value for name, value in (SWEEP | changes).items() if value is not None}
    Path("sweeps/tried.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return read_plan(Path("sweeps/tried.yaml"))


def refused(**changes: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        plan(**changes)
    assert "\n" not in str(refusal.value)
    return str(refusal.value).removeprefix("sweeps/tried.yaml: ")


def space(**domains: Any) -> dict[str, Any]:
    """A space over mlp's parameters, __ for the dots of their names."""
    return {"network": ["mlp"], **{f"networks.mlp.{name.replace('__', '.')}": found for name, found in domains.items()}}


def test_a_grid_has_every_setting_once():
    settings = plan(space=space(epochs=[1, 2, 5], batch_size={"range": [100, 300, 100]})).settings
    found = {(setting["networks.mlp.epochs"], setting["networks.mlp.batch_size"]) for setting in settings}
    assert found == set(itertools.product([1, 2, 5], [100, 200, 300]))
    assert len(settings) == 9


def test_settings_that_differ_in_what_does_not_matter_are_one():
    found = plan(space={"network": ["mlp", "relu-128"], "networks.mlp.epochs": [1, 2]})
    assert [distinct(setting, found.baseline) for setting in found.settings] == [
        {"network": "mlp", "networks.mlp.epochs": 1},
        {"network": "mlp", "networks.mlp.epochs": 2},
        {"network": "relu-128"},
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"spaces": {}}, "spaces is an unknown key"),
        ({"space": {}}, "space is {}, "),
        ({"space": None}, "space is missing"),
        ({"search": "bayes"}, "search is 'bayes', expected 'grid', 'random' or 'tpe'"),
        ({"metric": "accuracy"}, "metric is 'accuracy', expected 'val_accuracy' or 'val_cross_entropy'"),
        ({"stop": "median"}, "stop is 'median', expected 'asha'"),
        ({"seeds": [1, 1]}, "seeds names 1 twice, expected different seeds"),
        ({"seeds": []}, "seeds is []"),
        ({"seeds": [-1]}, "seeds.0 is -1, expected greater than or equal to 0"),
        ({"space": {"seed": [1, 2]}}, "seeds stands beside space.seed, expected one of the two"),
        ({"space": {"networks.mlp.epoch": [1]}}, "space.networks.mlp.epoch is no parameter of params.yaml, expected "),
        ({"space": {"networks.mlp.epochs": [1]}}, "space.networks.mlp.epochs changes nothing, as network is convnet; "),
        ({"space": {"plot.dpi": [100]}}, "space.plot.dpi changes no trial, expected a parameter of the data or the "),
        ({"space": space(epochs=[])}, "space.networks.mlp.epochs is empty, expected values to choose from"),
        ({"space": space(epochs=[1, 1])}, "space.networks.mlp.epochs names 1 twice"),
        ({"space": space(epochs=[0])}, "space.networks.mlp.epochs: networks.mlp.epochs is 0, expected greater than "),
        ({"space": space(epochs=["two"])}, "space.networks.mlp.epochs: 'two' stands where params.yaml has 3, "),
        ({"space": space(epochs=[1.5])}, "space.networks.mlp.epochs: networks.mlp.epochs is 1.5, "),
        ({"space": space(epochs={"choice": [1]})}, "space.networks.mlp.epochs: 'choice' is an unknown kind, "),
        ({"space": space(epochs={"range": [3, 1]})}, "space.networks.mlp.epochs: range is [3, 1], expected the "),
        ({"space": space(epochs={"range": [1, 3, 0]})}, "space.networks.mlp.epochs: range is [1, 3, 0], "),
        ({"space": space(epochs=7)}, "space.networks.mlp.epochs is 7, expected a list of values, {range: [LOW, "),
        ({"space": {"network": ["nosuch"]}}, "space.network: network: 'nosuch' is unknown, expected one of convnet, "),
        ({"space": {"prepare.validation.hold_out": [0]}}, "prepare.validation.hold_out is 0: trials are chosen by "),
        ({"trials": 3}, "trials is 3, expected none with search: grid, which tries every setting"),
        ({"search": "tpe"}, "trials is missing, expected how many settings search: tpe is to try"),
        ({"search": "random", "trials": 3}, "trials is 3, the space has 2 settings: search: grid tries them all"),
        ({"resources": {"cpus": 0}}, "resources.cpus is 0, expected greater than or equal to 1"),
    ],
)  # fmt: skip
def test_what_a_sweep_cannot_mean_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str):
    assert refused(**changes).startswith(sentence)


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        ({"uniform": [0.1, 0.01]}, "uniform is [0.1, 0.01], expected the lower end first and a higher one"),
        ({"uniform": [0.1, 0.1]}, "uniform is [0.1, 0.1], expected the lower end first and a higher one"),
        ({"logarithmic": [0, 0.01]}, "logarithmic is [0, 0.01], expected ends above 0"),
        ({"logarithmic": [0.01]}, "logarithmic is [0.01], expected [LOW, HIGH], all numbers"),
        ({"uniform": [0.1, float("inf")]}, "uniform is [0.1, inf], expected [LOW, HIGH], all numbers"),
        ({"uniform": [0.1, 20.0]}, "networks.mlp.optimizer: learning_rate is 20.0, expected a number above 0 and "),
    ],
)  # fmt: skip
def test_an_interval_that_is_none_is_refused_in_a_sentence(ends: dict[str, list[float]], sentence: str):
    found = refused(space={"network": ["mlp"], RATE: ends}, search="tpe", trials=5)
    assert found.startswith(f"space.{RATE}: {sentence}")


def test_an_interval_has_no_place_in_a_grid():
    found = refused(space={"network": ["mlp"], RATE: {"uniform": [0.001, 0.01]}})
    assert found == f"space.{RATE} has no end of values, expected a list or a range in a grid"


def test_a_grid_of_more_than_100_000_points_is_refused():
    axes = space(epochs={"range": [1, 1000]}, batch_size={"range": [1, 101]})
    assert refused(space=axes).startswith("the grid has 101,000 points, expected up to 100,000")


def test_a_name_that_dvc_cannot_set_is_refused():
    content = Path("params.yaml").read_text()
    Path("params.yaml").write_text(content.replace("\n  mlp:", "\n  my net:"))
    found = refused(space={"network": ["my net"], "networks.my net.epochs": [1]})
    assert found.startswith("space.networks.my net.epochs cannot be set by `dvc exp run -S`, expected a name of ")


def test_trials_without_validation_images_are_refused():
    content = Path("params.yaml").read_text()
    Path("params.yaml").write_text(content.replace("    hold_out: 0.1 #", "    hold_out: 0 #"))
    assert refused().startswith("prepare.validation.hold_out is 0: trials are chosen by validation images")


def test_a_share_that_comes_to_no_validation_image_is_refused_before_the_first_trial():
    shutil.copy(ROOT / "dvc.lock", "dvc.lock")
    Path("metrics").mkdir()
    Path("metrics/data.json").write_text('{"validation": 6000}')
    experiments.check_validation(["network"])
    Path("metrics/data.json").write_text('{"validation": 0}')
    with pytest.raises(Refusal, match=r"hold_out is 0\.1, .* no image by metrics/data\.json: .* expected some"):
        experiments.check_validation(["network"])
    experiments.check_validation(["network", "prepare.validation.take"])
    content = Path("params.yaml").read_text()
    Path("params.yaml").write_text(content.replace("    hold_out: 0.1 #", "    hold_out: 0.2 #"))
    experiments.check_validation(["network"])  # what the last commit measured is of other parameters


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone", None, "sweeps/gone.yaml is no file, expected a sweep's, as sweeps/NAME.yaml"),
        ("a.b", "", "sweeps/a.b.yaml gives its experiments their names, expected up to 60 letters, digits, _ and -"),
        ("list", "- 1\n", "sweeps/list.yaml holds [1], expected a sweep"),
        ("empty", "", "sweeps/empty.yaml holds nothing, expected a sweep"),
        ("broken", "space: [\n", "sweeps/broken.yaml is not YAML: "),
    ],
)
def test_a_file_that_is_no_sweep_is_refused_in_a_sentence(name: str, content: str | None, sentence: str):
    if content is not None:
        Path(f"sweeps/{name}.yaml").write_text(content)
    with pytest.raises(Refusal, match="^") as refusal:
        read_plan(Path(f"sweeps/{name}.yaml"))
    assert str(refusal.value).startswith(sentence)


def test_what_stands_in_params_yaml_anyway_is_no_part_of_a_setting():
    assert distinct({"networks.mlp.epochs": 3, "network": "mlp", "seed": 5}, BASELINE) == {}
    assert distinct({"networks.mlp.epochs": 4, "networks.relu-128.epochs": 4}, BASELINE) == {"networks.mlp.epochs": 4}
    joined = {"fetch.dataset": "mnist-and-own", "datasets.own.test": 0.1, "datasets.digits.test": 0.1}
    assert distinct(joined, BASELINE) == {"fetch.dataset": "mnist-and-own", "datasets.own.test": 0.1}


def test_an_experiment_tells_its_setting_again():
    setting = {"network": "mlp", "networks.mlp.epochs": 4, RATE: 0.004, "networks.mlp.jit_compile": True}
    _, message, *_ = options(setting, 7)
    assert read_message(message, experiment_name("tried", setting, 7)) == (setting, 7)
    assert read_message(message, experiment_name("other", setting, 7)) == (setting, 7)
    assert read_message(message, experiment_name("tried", setting, 8)) is None
    assert read_message("a message of somebody's", "mine") is None
    assert read_message(json.dumps([1]), "mine") is None


def test_values_are_typed_as_hydra_reads_them():
    assert options({"a": "it's", "b": True, "c": 1e-05}, 1)[2:] == [
        "-S", "a='it\\'s'", "-S", "b=true", "-S", "c=1e-05", "-S", "seed=1",
    ]  # fmt: skip


def tried(findings: Findings, drawn: dict[str, Any], **result: Any) -> None:
    """Have Tune tell of a trial that ended with a result."""
    trial = SimpleNamespace(trial_id=str(len(findings.trials)), config=drawn)
    progress = Progress(findings)
    progress.on_trial_start(trial=trial)
    progress.on_trial_result(trial=trial, result=result)
    progress.on_trial_complete(trial=trial)


def findings_of(values: dict[int, list[float]], **changes: Any) -> Findings:
    """A sweep that is over, with the validation accuracies of each number of epochs by seed."""
    seeds = list(range(1, 1 + len(next(iter(values.values())))))
    findings = Findings(plan(space=space(epochs=list(values)), seeds=seeds, **changes), {})
    for epochs, of_seeds in values.items():
        drawn = {"network": "mlp", "networks.mlp.epochs": epochs}
        setting = distinct(drawn, findings.plan.baseline)
        for seed, value in zip(seeds, of_seeds, strict=True):
            name = experiment_name("tried", setting, seed)
            findings.numbers[name] = {"val_accuracy": value, "val_cross_entropy": 1 - value, "accuracy": value - 0.01}
        tried(findings, drawn, val_accuracy=float(np.mean(of_seeds)), epoch=epochs, seeds_done=len(seeds))
    return findings


def test_settings_are_ranked_by_their_mean_over_the_seeds():
    table = report.ranking(findings_of({1: [0.9, 0.92], 2: [0.97, 0.95], 4: [0.99, 0.9]}))
    assert list(table["networks.mlp.epochs"]) == [2, 4, 1]
    assert list(table["rank"]) == [1, 2, 3]
    assert list(table["val_accuracy (mean)"]) == [0.96, 0.945, 0.91]
    assert list(table["seed 1"]) == [0.97, 0.99, 0.9]


def test_less_of_a_loss_is_better():
    table = report.ranking(findings_of({1: [0.9, 0.92], 2: [0.97, 0.95]}, metric="val_cross_entropy"))
    assert list(table["networks.mlp.epochs"]) == [2, 1]


def test_the_ranking_tells_no_test_accuracy_and_the_end_tells_the_bests():
    findings = findings_of({1: [0.9, 0.92], 2: [0.97, 0.95]})
    for numbers in findings.numbers.values():
        numbers["accuracy"] = 0.12345
    assert "12" not in report.ranking(findings).to_csv()
    assert "test accuracy of the best: 12.35% \u00b1 0.00 (12.35% 12.35%)" in report.conclusion(findings)


def test_no_claim_is_made_from_seeds_that_all_say_the_same():
    """One image of 144 with each of two seeds: an interval of no width."""
    said = report.conclusion(findings_of({1: [0.9375, 0.9306], 2: [0.9375 + 1 / 144, 0.9306 + 1 / 144]}))
    assert "apart by the same 0.694 points with each of 2 seeds, from which no interval follows" in said
    assert "better" not in said


def test_no_claim_is_made_from_the_last_digit_of_what_is_rounded():
    entropies = {1: [0.500002, 0.5000031], 2: [0.5, 0.500001]}
    accuracies = {of: [1 - value for value in values] for of, values in entropies.items()}
    said = report.conclusion(findings_of(accuracies, metric="val_cross_entropy"))
    assert "apart by the same 0.000002 with each of 2 seeds, from which no interval follows" in said


def test_no_claim_is_made_from_a_single_image():
    """Which may be the same one with each seed, however surely it is there."""
    one = 1 / 144
    second = [0.90, 0.91, 0.92, 0.93, 0.94]
    apart = {"one": [1, 1, 1, 1, 2], "three": [3, 3, 3, 3, 4]}
    said = {}
    for name, images in apart.items():
        findings = findings_of({1: second, 2: [value + of * one for value, of in zip(second, images, strict=True)]})
        for numbers in findings.numbers.values():
            numbers["validation"] = 144
        said[name] = report.conclusion(findings)
    assert "No evidence that the best is better than the second: apart by 0.833 points" in said["one"]
    assert "over 5 seeds, where one validation image is 0.694." in said["one"]
    assert "The best is better than the second: apart by 2.222 points" in said["three"]


@pytest.mark.parametrize(
    ("name", "values", "open_"),
    [
        ("prepare.validation.hold_out", [0.1, 0.2], True),
        ("fetch.dataset", ["digits", "mnist"], True),
        ("datasets.own.test", [0.2, 0.3], True),
        ("datasets.own.side", [28, 32], False),  # the same images, larger
        ("datasets.mnist-and-own.repeat.own", [5, 10], False),
    ],
)
def test_settings_that_other_images_validate_are_not_compared(name: str, values: list[Any], open_: bool):
    baseline = {"fetch.dataset": [name.split(".")[1]]} if name.startswith("datasets") else {}
    findings = Findings(plan(space=baseline | {"network": ["mlp"], name: values}, seeds=[1, 2]), {})
    for value, accuracies in zip(values, [(0.91, 0.93), (0.97, 0.98)], strict=True):
        drawn = {key: of[0] for key, of in baseline.items()} | {"network": "mlp", name: value}
        for seed, accuracy in enumerate(accuracies, 1):
            experiment = experiment_name("tried", distinct(drawn, findings.plan.baseline), seed)
            findings.numbers[experiment] = {"val_accuracy": accuracy, "accuracy": accuracy}
        tried(findings, drawn, val_accuracy=float(np.mean(accuracies)), epoch=1, seeds_done=2)
    said = report.conclusion(findings)
    told = f"validated by other images than the best, as it has another {name}: which of them is better is open."
    assert (told in said) == open_
    assert ("95% interval" in said) != open_


def test_settings_that_more_images_validate_are_not_compared():
    """As with `repeat: 0`, which takes a dataset out of validation, or where unreadable pictures are left out."""
    findings = findings_of({1: [0.91, 0.93], 2: [0.97, 0.98]})
    for name, images in zip(findings.numbers, [6000, 6000, 6057, 6057], strict=True):
        findings.numbers[name]["validation"] = images
    said = report.conclusion(findings)
    assert "The second is validated by 6,000 images, the best by 6,057: which of them is better is open." in said
    assert "95% interval" not in said


def test_equal_settings_share_their_place():
    findings = findings_of({1: [0.9, 0.92], 2: [0.95, 0.95], 4: [0.95, 0.95]})
    assert list(report.ranking(findings)["rank"]) == [1, 1, 3]
    assert "The best and the second are equally good with each of 2 seeds." in report.conclusion(findings)


def test_the_best_is_better_only_where_the_interval_over_the_seeds_says_so():
    clear = report.conclusion(findings_of({1: [0.900, 0.910, 0.905], 2: [0.950, 0.961, 0.954]}))
    assert (
        "The best is better than the second: apart by 5.000 points, 95% interval 4.752 to 5.248 over 3 seeds" in clear
    )
    unclear = report.conclusion(findings_of({1: [0.90, 0.95, 0.93], 2: [0.94, 0.92, 0.95]}))
    assert "No evidence that the best is better than the second: apart by" in unclear
    alone = report.conclusion(findings_of({1: [0.90], 2: [0.94]}))
    assert "One seed each does not tell" in alone


def test_the_interval_is_students():
    low, high = report.difference_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)


def test_a_trial_that_failed_is_named_and_not_ranked(capsys: pytest.CaptureFixture[str]):
    findings = findings_of({1: [0.9], 2: [0.95]})
    drawn = {"network": "mlp", "networks.mlp.epochs": 9}
    tried(findings, drawn, val_accuracy=float("nan"), epoch=1, failure="loss is not a number")
    assert "failed  loss is not a number  network mlp, epochs 9" in capsys.readouterr().out
    assert summary(findings).startswith("2 done, 0 stopped, 1 failed, 0 running of 2; best 95.00%")
    last = report.ranking(findings).iloc[-1]
    assert (last["rank"], last["state"], last["note"]) == ("", "failed", "loss is not a number")


def test_a_log_hears_of_a_sweep_though_no_trial_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    progress = Progress(Findings(plan(space=space(epochs=[1, 2]), seeds=[1]), {}))
    progress.on_step_end(iteration=1, trials=[])
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("commands.sweep.progress.AGAIN", 0)
    progress.on_step_end(iteration=2, trials=[])
    assert capsys.readouterr().out == "0 done, 0 stopped, 0 failed, 0 running of 2\n"


def test_who_waits_for_a_remote_hears_of_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(experiments, "AGAIN", 0.01)
    with experiments.said_again("waiting for the remote"):
        time.sleep(0.1)
    said = capsys.readouterr().out
    assert said.startswith("waiting for the remote, 0 s so far\nwaiting")
    time.sleep(0.05)
    assert capsys.readouterr().out == "", "no longer"


def test_a_picture_is_drawn_of_every_kind_of_parameter():
    axes = space(epochs=[1, 2], batch_size={"range": [100, 300]}) | {RATE: {"logarithmic": [0.001, 0.01]}}
    findings = Findings(plan(space=axes, search="random", trials=2), {})
    for rate in (0.002, 0.009):
        drawn = {"network": "mlp", "networks.mlp.epochs": 1, "networks.mlp.batch_size": 150, RATE: rate}
        for seed in (1, 2):
            name = experiment_name("tried", distinct(drawn, findings.plan.baseline), seed)
            findings.numbers[name] = {"val_accuracy": 0.9 + rate, "val_cross_entropy": 1, "accuracy": 0.9}
        tried(findings, drawn, val_accuracy=0.9, epoch=1, seeds_done=2)
    figure = picture.draw(findings)
    assert [axis.get_xlabel() for axis in figure.axes] == [
        "epochs",
        "batch_size",
        "optimizer.Adam.learning_rate",
        "",
    ]
    assert figure.axes[2].get_xscale() == "log"
    assert len(figure.axes[-1].lines) == 2 + 4  # a line a setting, and the axes
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().height > 0.2


def test_a_picture_has_every_setting_and_no_accuracy_beyond_all():
    findings = findings_of({1: [1.0, 0.9], 2: [0.97, 0.95]})
    drawn = {"network": "mlp", "networks.mlp.epochs": 9}
    tried(findings, drawn, val_accuracy=float("nan"), epoch=1, failure="loss is not a number")
    figure = picture.draw(findings)
    assert figure.get_suptitle().endswith("that were trained with 2 seeds; grey: 1 that was stopped or failed")
    chart, lines = figure.axes
    bars = np.concatenate(chart.collections[0].get_segments())
    assert (len(bars), bars[:, 1].max()) == (4, 1)
    assert chart.get_ylim()[1] <= 1
    grey = [line.get_xdata().tolist() for line in chart.lines if line.get_markeredgecolor() == picture.UNFINISHED]
    assert [len(xs) for xs in grey] == [1]
    assert sum(line.get_color() == picture.UNFINISHED for line in lines.lines) == 1
    plt.close(figure)


def test_a_picture_has_every_name_whole():
    names = ["dropout-batchnorm-256-128-128", "convnet-translated", "mlp"]
    findings = Findings(plan(space={"network": names, "prepare.validation.hold_out": [0.1, 0.2]}), {})
    for name in names:
        drawn = {"network": name, "prepare.validation.hold_out": 0.1}
        for seed in (1, 2):
            done = experiment_name("tried", distinct(drawn, findings.plan.baseline), seed)
            findings.numbers[done] = {"val_accuracy": 0.9, "val_cross_entropy": 1, "accuracy": 0.9}
        tried(findings, drawn, val_accuracy=0.9, epoch=5, seeds_done=2)
    use_style()
    figure = picture.draw(findings)
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ["".join(text.split()) for text in ticks] == names
    written = ["".join(text.get_text().split()) for text in figure.axes[-1].texts]
    assert [name for name in names if name not in written] == []
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().height > 0.2
    plt.close(figure)


def test_keys_tell_settings_apart():
    assert key({"a": 1}) != key({"a": True}) != key({"a": 1.5})
    assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})


def test_what_a_killed_sweep_left_is_cleared_and_a_living_ones_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster.tempfile, "tempdir", str(tmp_path))
    for name in ("sweep-killed", "sweep-alive", "sweep-1000-of-a-node"):
        (tmp_path / name / "clone-0").mkdir(parents=True)
    (tmp_path / "sweep-killed" / cluster.HELD).touch()
    with FileLock(tmp_path / "sweep-alive" / cluster.HELD):
        cluster.clear_what_was_killed()
    assert {folder.name for folder in tmp_path.glob("sweep-*")} == {"sweep-alive", "sweep-1000-of-a-node"}
