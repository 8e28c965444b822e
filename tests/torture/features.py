"""The features of README and docs that pairs.py combines: how they are asked for, and which are refused."""

from pathlib import Path

from PIL import Image

EACH = 20  # pictures of a class
FEATURES = {
    "dataset": ["digits", "own", "joined", "joined, only tested"],
    "framing": ["auto", "digit", "whole"],
    "color": ["auto", "true", "false"],
    "side": ["auto", "28", "40"],
    "group": ["none", "folder"],
    "split": ["by content", "by folders"],
    "broken": ["no file", "refused", "skipped"],
    "format": ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"],
    "mode": ["L", "RGB", "RGBA", "LA", "P", "I;16", "1", "CMYK"],
    "network": ["mlp", "convnet", "few-pictures", "relu-128"],
    "recipe": ["last", "best", "best and patient", "least steps"],
    "corrections": ["none", "another class", "left out", "of no image", "of no class"],
    "validation": ["0.1", "0.4", "0", "first"],
    "run": ["repro", "exp run", "queue", "temp", "apply"],
    "then": ["predict", "predict --json", "predict --show", "compare", "review", "draw", "export savedmodel",
             "export onnx", "plots", "sweep grid", "sweep tpe", "sweep asha"],
    "network is": ["there", "away"],
    "cache": ["copy", "symlink", "hardlink"],
    "folder": ["plain", "an é and a blank"],
}  # fmt: skip
Case = dict[str, str]


def refused(case: Case) -> str:
    """Why a case is refused by what the pages say, or by DVC; empty where it has results."""
    own, joined = case["dataset"] != "digits", case["dataset"].startswith("joined")
    grey_28 = case["side"] != "40" and case["color"] != "true"
    why = {
        "a letter beyond ASCII in the path": case["run"] in {"queue", "temp"} and case["folder"] != "plain",
        "a file that is no picture": own and case["broken"] == "refused",
        "validation by position": own and case["validation"] == "first",
        "the best of no validation": case["recipe"].startswith("best") and case["validation"] == "0",
        "no such class": case["corrections"] == "of no class",
        "a digit is grey": own and case["framing"] == "digit" and not grey_28,
        "images of two kinds": joined and not grey_28,
    }  # fmt: skip
    return next((reason for reason, so in why.items() if so), "")


def perhaps_refused(case: Case) -> bool:
    """Whether it depends on the names of a few groups: none may validate, among which the best epoch is sought."""
    return case["group"] == "folder" and case["recipe"].startswith("best") and case["dataset"] == "own"


def pictures(case: Case, hand: Path, images: Path) -> None:
    """Put the hand's pictures into the folder for own images as the case wants them."""
    names = {"1": "1", "4": "4", "7": "7" if case["dataset"].startswith("joined") else "sept é"}
    for digit, name in names.items():
        for number, path in enumerate(sorted((hand / digit).iterdir())):
            with Image.open(path) as opened:
                grey = opened.convert("L")
            side = "" if case["split"] == "by content" else ["train", "train", "test"][number % 3]
            group = "" if case["group"] == "none" else ["anna", "ben", "cleo", "dora"][number % 4]
            file = images / side / name / group / f"{number}.{case['format'].lower()}"
            file.parent.mkdir(parents=True, exist_ok=True)
            color = Image.merge("RGB", [grey.point(lambda value, by=by: value * by // 9) for by in (9, 6, 4)])
            clear = color.copy()
            clear.putalpha(grey.point(lambda value: 255 - value))
            made = {"RGBA": clear, "LA": clear, "P": clear, "L": grey, "1": grey, "I;16": grey.convert("I")}
            try:
                made.get(case["mode"], color).convert(case["mode"]).save(file, case["format"])
            except (OSError, ValueError):  # which this format does not have
                color.save(file, case["format"])
    if case["broken"] != "no file":
        (file.parent / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def settings(case: Case) -> list[str]:
    """The case as options of `-S`."""
    network = case["network"]
    recipe = {
        "last": [], "best": [f"++networks.{network}.keep=best"],
        "best and patient": [f"++networks.{network}.keep=best", f"++networks.{network}.patience=1"],
        "least steps": [f"++networks.{network}.least_steps=9"],
    }[case["recipe"]]  # fmt: skip
    taken = case["validation"] if case["validation"] in {"first", "last"} else "stratified"
    return [
        f"fetch.dataset={ {'digits': 'digits', 'own': 'own'}.get(case['dataset'], 'digits-and-own') }".replace(" ", ""),
        *[f"datasets.own.{name}={case[name]}" for name in ("framing", "color", "side", "group")],
        f"datasets.own.unreadable={'skip' if case['broken'] == 'skipped' else 'refuse'}",
        f"datasets.digits-and-own.repeat.own={0 if 'only' in case['dataset'] else 3}",
        f"network={network}", f"networks.{network}.epochs=2", "networks.few-pictures.epochs=1",
        "networks.few-pictures.least_steps=5", *[f"networks.{name}.batch_size=16" for name in FEATURES["network"]],
        *recipe, f"prepare.validation.take={taken}",
        f"prepare.validation.hold_out={5 if taken != 'stratified' else case['validation']}",
    ]  # fmt: skip


def correct(case: Case, repository: Path) -> None:
    """Correct the label of the first test image as the case wants it."""
    images = (repository / "metrics/test_images.csv").read_text().splitlines()[1:]
    dataset = "own" if case["dataset"] == "own" else "digits"
    predicted = (repository / "plots/predictions.csv").read_text().splitlines()[1]
    image, was = images[0].split(",")[0], predicted.split(",")[0]
    other = next(name for name in ("1", "4") if name != was)
    row = {
        "another class": f"{image},{dataset},{was},{other},seen", "left out": f"{image},{dataset},{was},,",
        "of no image": f"0123456789abcdef,{dataset},{was},{other},", "of no class": f"{image},{dataset},{was},zehn,",
    }[case["corrections"]]  # fmt: skip
    with (repository / "data/corrections.csv").open("a") as file:
        file.write(row + "\n")
