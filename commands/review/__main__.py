"""Find the labels that lie: `python -m commands.review [DATASET]`.

Every image gets a probability of its label from a network that was not trained on it: a test image from the trained
one, a training image from one of four that the recipe of params.yaml trained on the other three quarters; and from the
training images that have the most alike edges. The least probable labels come first, without those that stand in
data/corrections.csv already. Besides, images are named that stand on both sides of the split. `--page` shows the
doubtful ones in the browser, where a key corrects each.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from commands.review import edges, held_out, relatives
from commands.review.decisions import Review, doubtful
from commands.review.stages_apart import workspace_as
from commands.review.suspects import Images, rank, read_prepared
from commands.serving.listening import add_arguments, check_installed, listen, serve
from digits.data.corrections import CORRECTIONS, read_corrections
from digits.foundation.command import Refusal, png_path, progress, run
from digits.foundation.parameters import read_parameters
from digits.foundation.tables import write_table
from digits.network import archive, inference, reproducibility

WORST, DRAWN, RELATIVES = 20, 60, 8
DPI = 120
COLUMNS = ["split", "dataset", "image", "file", "label", "probability", "likely", "likely_probability"]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m commands.review", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "dataset", metavar="DATASET", nargs="?",
        help="an entry of params.yaml's datasets; another than the chosen one is prepared and trained on beside it",
    )  # fmt: skip
    parser.add_argument("--show", metavar="FILE.png", type=png_path, help=f"draw the {DRAWN} most doubtful images")
    parser.add_argument(
        "--csv", metavar="FILE.csv", type=Path,
        help=f"write a row an image, the most doubtful first, as {CORRECTIONS} would have what is likely instead",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help=f"print the {WORST} most doubtful as JSON, for programs")
    parser.add_argument("--page", action="store_true", help="open them in the browser, to decide with one key each")
    add_arguments(parser.add_argument_group("where the page is"))
    return parser.parse_args()


def judge(images: Images, parameters: str, classifier: archive.Classifier) -> np.ndarray:
    """What networks that were not trained on them, and neighbors, say of the images: probabilities, (n, classes)."""
    settings = read_parameters()
    network = settings.networks[settings.chosen_network()]
    tested, validating = images.in_split("test"), images.in_split("validation")
    taught = ~tested
    epochs = network.epochs_on(int(images.in_split("train").sum()) * (held_out.FOLDS - 1) // held_out.FOLDS)
    found = np.zeros((len(images.labels), len(images.task.classes)))
    with progress(total=held_out.FOLDS * epochs, unit="epochs") as bar:

        def told(fold: int, epoch: int) -> None:
            bar.update(fold * epochs + epoch - bar.n)

        found[taught] = held_out.log_probabilities(
            images.pixels[taught], images.labels[taught], validating[taught],
            held_out.folds(images.identities[taught]), images.task, parameters, told,
        )  # fmt: skip
    if tested.any():
        found[tested] = inference.log_probabilities(classifier.model, images.pixels[tested])
    votes = edges.votes(images.pixels, images.labels, taught, len(images.task.classes))
    return edges.together(np.exp(found), votes, images.labels, taught)


def on_both_sides(images: Images, features: np.ndarray) -> pd.DataFrame:
    """Test images of which a training or validation image is nearly a copy, the most alike first.

    Args:
        images: n of them, some to test on and some not.
        features: of these, as `relatives.last_hidden` gives them.

    Returns:
        A row a test image: `test` and `training` (the two images), their `test_file` and `training_file` where they
        are a person's own, their `test_label` and `training_label`, `alike` (the correlation of their pixels).
    """
    tested, taught = (np.flatnonzero(images.in_split("test") == side) for side in (True, False))
    near = relatives.nearest(features, tested, taught, relatives.LOOKED_AT)
    alike = np.stack([relatives.correlation(images.pixels[tested], images.pixels[column]) for column in near.T])
    best = alike.argmax(axis=0)
    names, files = images.table["image"].to_numpy(), images.table["file"].to_numpy()
    classes = np.array(images.task.classes)
    closest = near[np.arange(len(tested)), best]
    table = pd.DataFrame({
        "test": names[tested],
        "test_file": files[tested],
        "test_label": classes[images.labels[tested]],
        "training": names[closest],
        "training_file": files[closest],
        "training_label": classes[images.labels[closest]],
        "alike": alike.max(axis=0).round(4),
    })  # fmt: skip
    table = table[table["alike"] >= relatives.NEARLY]
    return table.sort_values("alike", ascending=False, kind="stable").reset_index(drop=True)


def report(ranked: pd.DataFrame, copies: pd.DataFrame, images: Images) -> str:
    """What was found, for a person to read."""
    shown = ranked.head(WORST)
    wide = max([5, *(len(name) for name in pd.unique(shown[["label", "likely"]].to_numpy().ravel()))])
    lines = [
        f"{len(images.labels):,} images of {len(images.task.classes)} classes; the labels that are least believed:",
        f"{'image':16}  {'split':10}  {'label':{wide}}  {'':7}  {'rather':{wide}}",
        *(
            f"{row.image}  {row.split:10}  {row.label:{wide}}  {row.probability:7.2%}  {row.likely:{wide}}  "
            f"{row.likely_probability:7.2%}  {row.file}".rstrip()
            for row in shown.itertuples()
        ),
    ]
    if len(copies):
        across = int((copies["test_label"] != copies["training_label"]).sum())
        lines += [
            "",
            f"{len(copies):,} test image{' has' if len(copies) == 1 else 's have'} a nearly equal one not to test on"
            + (f", {across:,} of them with another label:" if across else ":"),
            *(
                f"{row['test_file'] or row['test']} ({row['test_label']}) and "
                f"{row['training_file'] or row['training']} ({row['training_label']}), correlation {row['alike']:.4f}"
                for row in copies.head(WORST).to_dict("records")
            ),
        ]
    return "\n".join(lines)


def as_corrections(images: Images, ranked: pd.DataFrame) -> pd.DataFrame:
    """What data/corrections.csv would have if each label was wrong: rows to copy from, the most doubtful first."""
    why = [
        f"{row.split}: {row.probability:.2%} {row.label}, {row.likely_probability:.2%} {row.likely} {row.file}".rstrip()
        for row in ranked.itertuples()
    ]
    was = images.table["was"].to_numpy()[ranked["place"]]
    table = pd.DataFrame({"image": ranked["image"], "dataset": ranked["dataset"], "was": was, "is": ranked["likely"]})
    return table.assign(why=why)


def draw(images: Images, ranked: pd.DataFrame, path: Path) -> None:
    """Draw the most doubtful images, each with its label and what it is rather."""
    from digits.results.drawing import draw_images, shortened, use_style, write_figure

    use_style()
    shown = ranked.head(DRAWN)
    columns = (shown[name] for name in ("label", "likely", "likely_probability"))
    captions = [
        f"is {shortened(label, 10)}?\n{shortened(likely, 10)} {probability:.0%}"
        for label, likely, probability in zip(*columns, strict=True)
    ]
    title = f"The {len(shown)} labels that are least believed"
    write_figure(path, draw_images(images.pixels[shown["place"]], images.task.ink, captions, 10, title), DPI)


def page(images: Images, ranked: pd.DataFrame, probabilities: np.ndarray, features: np.ndarray) -> Review:
    """The doubtful labels as the page shows them, each with the images that are most alike to it."""
    shown = doubtful(ranked, WORST)
    near = relatives.nearest(features, shown["place"].to_numpy(), np.arange(len(features)), RELATIVES)
    return Review(images, shown, probabilities, near)


def next_commands(dataset: str | None) -> list[str]:
    """What to type when labels of the dataset are corrected."""
    if dataset in {None, read_parameters().fetch.dataset}:
        return ["dvc repro", "dvc metrics diff"]
    return [f"dvc exp run -S fetch.dataset={dataset}", "dvc metrics show"]


def main() -> None:
    """Read the command line, judge, print, and open the page."""
    arguments = read_arguments()
    if arguments.page:  # what would keep it from opening is said before the minutes go by
        check_installed("make .venv/installed-draw")
        listening = listen(arguments.host, arguments.port)
    with workspace_as(arguments.dataset) as parameters:
        settings = read_parameters()
        images = read_prepared(settings.sources())
        known = read_corrections()
        reproducibility.compute_reproducibly(settings.seed, settings.threads, settings.instructions)
        classifier = archive.load()
        if classifier.task != images.task:
            raise Refusal(f"{archive.PATH} is of other classes than data/prepared; `dvc repro` trains it anew")
        judged = judge(images, parameters, classifier)
        ranked = rank(images, judged, known)
        features = relatives.last_hidden(classifier.model, images.pixels)
        copies = on_both_sides(images, features) if images.in_split("test").any() else pd.DataFrame()
    if arguments.csv:
        write_table(arguments.csv, as_corrections(images, ranked))
    if arguments.show:
        draw(images, ranked, arguments.show)
    if arguments.json:
        worst = ranked[COLUMNS].head(WORST).to_dict("records")
        print(json.dumps({"suspects": worst, "on_both_sides": copies.to_dict("records")}, indent=2))
    else:
        print(report(ranked, copies, images))
    if arguments.page:
        from commands.review.server import application

        review = page(images, ranked, judged, features)
        app, ready = application(review, next_commands(arguments.dataset)), f"to review {len(review):,} doubtful labels"
        serve(app, listening, arguments, ready, "see the images and label them")


if __name__ == "__main__":
    run(main)
