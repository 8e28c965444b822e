"""How many planted errors `commands.review` ranks first, and what the errors and its verdicts do to the accuracy.

Usage: python -m benchmarks.labels [--accuracy]

Plants 1,200 errors in MNIST's 60,000 training labels, half of them any other class, half a confusion that people make.
Writes to benchmarks/results/labels.csv, for mlp and convnet, how many of them stand among the first 1,200 by the
probability of the label, by its margin over the next class, and, where cleanlab is installed, by confident learning
with either: by the networks alone, and, as `review` ranks, by networks and neighbors. With --accuracy to
labels_accuracy.csv: convnet's test accuracy without errors, with them, and with the verdicts of both on the first
1,200 taken as they are, for five seeds each.
"""

import argparse
import json

import numpy as np
import pandas as pd

from benchmarks.tables import RESULTS
from commands.review import edges, held_out
from commands.review.stages_apart import folder_apart, run_stage
from commands.review.suspects import Images, read_prepared
from digits.data.prepared import TASK
from digits.foundation.files import write_json
from digits.foundation.parameters import PATH
from digits.foundation.tables import write_table
from digits.foundation.yaml import parse_yaml
from digits.network import archive, inference, reproducibility

EACH = 600
CONFUSED = {"4": "9", "9": "4", "3": "5", "5": "3", "1": "7", "7": "1"}
NETWORKS, SEEDS = ("mlp", "convnet"), range(1, 6)


def with_errors(labels: np.ndarray, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Labels with planted errors, and the kind of each: none, any, or confused."""
    generator = np.random.default_rng(2026)
    order = generator.permutation(len(labels))
    wrong, kinds = labels.copy(), np.full(len(labels), "none", object)
    some = order[:EACH]
    wrong[some] = (labels[some] + generator.integers(1, len(classes), EACH)) % len(classes)
    kinds[some] = "any"
    others = [place for place in order[EACH:] if classes[labels[place]] in CONFUSED][:EACH]
    wrong[others] = [classes.index(CONFUSED[classes[labels[place]]]) for place in others]
    kinds[others] = "confused"
    return wrong, kinds


def rankings(said: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The places of the images by each way to rank them, the most doubtful first; `said` are logarithms."""
    places = np.arange(len(labels))
    probability = np.exp(said[places, labels])
    others = np.exp(said)
    others[places, labels] = -1
    found = {
        "probability of the label": np.argsort(said[places, labels], kind="stable"),
        "margin": np.argsort(probability - others.max(axis=1), kind="stable"),
    }
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError:
        return found
    for name, by in (("self_confidence", "probability of the label"), ("normalized_margin", "margin")):
        issues = find_label_issues(labels.astype(int), np.exp(said), return_indices_ranked_by=name, n_jobs=1)
        rest = found[by][~np.isin(found[by], issues)]
        found[f"confident learning, {by}"] = np.concatenate([issues, rest])
    return found


def parameters(network: str, seed: int = 1) -> str:
    """params.yaml with another network and seed."""
    return json.dumps(parse_yaml(PATH.read_bytes(), PATH) | {"network": network, "seed": seed})


def accuracy(images: Images, labels: np.ndarray, taught: np.ndarray, seed: int) -> float:
    """What convnet reaches on the test images, trained on all others with these labels."""
    with folder_apart(parameters("convnet", seed)) as folder:
        held_out.write_split(folder, "train", images.pixels[taught], labels[taught])
        held_out.write_split(folder, "validation", images.pixels[:0], labels[:0])
        write_json(folder / TASK, {"classes": images.task.classes, "framing": images.task.framing})
        run_stage(folder, "train")
        model = archive.load(folder / archive.PATH).model
    tested = images.in_split("test")
    found = inference.log_probabilities(model, images.pixels[tested]).argmax(axis=1)
    return float((found == images.labels[tested]).mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__.partition("\n")[0])
    parser.add_argument("--accuracy", action="store_true", help="measure the accuracies, too: 15 trainings")
    with_accuracy = parser.parse_args().accuracy
    reproducibility.compute_reproducibly(1, 2, "avx2")
    images = read_prepared({})
    taught = np.flatnonzero(~images.in_split("test"))
    pixels, true = images.pixels[taught], images.labels[taught]
    labels, kinds = with_errors(true, images.task.classes)
    of_fold, validating = held_out.folds(images.identities[taught]), images.in_split("validation")[taught]
    votes = edges.votes(pixels, labels, np.ones(len(labels), bool), len(images.task.classes))
    rows = []
    for network in NETWORKS:
        said = held_out.log_probabilities(
            pixels, labels, validating, of_fold, images.task, parameters(network), lambda *_: None
        )
        both = np.log(edges.together(np.exp(said), votes, labels, np.ones(len(labels), bool)))
        reviewed = rankings(both, labels)["margin"]
        for ranking, places in (rankings(said, labels) | {"margin, of networks and neighbors": reviewed}).items():
            first = kinds[places[: 2 * EACH]]
            counts = {kind: int((first == kind).sum()) for kind in ("any", "confused")}
            rows.append({"network": network, "ranking": ranking, "errors": 2 * EACH, **counts})
            print(rows[-1])
        write_table(RESULTS / "labels.csv", pd.DataFrame(rows))
    if not with_accuracy:
        return
    first = reviewed[: 2 * EACH]  # by convnet, the last one
    both[np.arange(len(labels)), labels] = -np.inf
    corrected = labels.copy()
    corrected[first] = both[first].argmax(axis=1)
    measured = []
    for seed in SEEDS:
        for name, those in (("without errors", true), ("with errors", labels), ("corrected", corrected)):
            everywhere = images.labels.copy()
            everywhere[taught] = those
            measured.append({"labels": name, "seed": seed, "accuracy": accuracy(images, everywhere, taught, seed)})
            print(measured[-1])
            write_table(RESULTS / "labels_accuracy.csv", pd.DataFrame(measured))


if __name__ == "__main__":
    main()
