"""Recognize your own pictures with the trained network: `python -m commands.predict IMAGE ...`.

Takes models/model.keras, or --model, and pictures of what it was trained to tell apart. If that are digits, one a
picture, dark on light or light on dark, photographed, scanned or drawn: each is found and brought into MNIST's form.
With --several, all that are on a picture are read from left to right, line by line, as an amount or a date is. A
network whose dataset is framed `whole` sees the whole picture. Of folders that are called as classes are, as in
data/own/images, it says how many pictures are right, and which are not.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from digits.data.task import Task
from digits.foundation.command import Refusal, png_path, progress, run
from digits.foundation.parameters import read_parameters
from digits.pictures.decoding import SUFFIXES, thumbnail
from digits.pictures.framing import Reading, read_picture
from digits.pictures.layout import name_of, walk
from digits.pictures.reading import SLOWEST, Worker
from digits.results.answers import entry, sentence, two_best
from digits.results.rows import Row, draw_rows, row_entry, row_sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODEL = Path("models/model.keras")
MOST_DRAWN = 60
MOST_BARS = 6
MOST_LEFT_OUT = 10  # of a folder's files, that are named


class Picture(NamedTuple):
    """A picture that was asked about."""

    name: str
    """Its path as it can be printed, whatever letters that has."""
    content: bytes | Refusal
    """Its file, or why there is none."""
    actual: str = ""
    """The class that its folder is called by; empty where none is."""


def pictures(names: list[str], classes: list[str]) -> Iterator[Picture]:
    """The files named, all pictures below a folder in order, - as it comes; what a folder holds besides is told."""
    for name in names:
        if name != "-" and Path(name).is_dir():
            yield from below(Path(name), classes)
        else:
            yield Picture(_printable(name), read(name))


def below(folder: Path, classes: list[str]) -> Iterator[Picture]:
    """The pictures below a folder, however deep; says which files it leaves out, and why."""
    try:
        entries = list(walk(folder, root=None))
    except OSError as error:
        yield Picture(_printable(error.filename), Refusal(f"cannot be read: {error.strerror}"))
        return
    left_out = [one for one in entries if one.left_out]
    for path, why, _ in left_out[:MOST_LEFT_OUT]:
        print(f"left out: {_printable(path)}: {why}", file=sys.stderr)
    if len(left_out) > MOST_LEFT_OUT:
        print(f"left out: {len(left_out) - MOST_LEFT_OUT:,} more of {_printable(folder)}", file=sys.stderr)
    found = [one.path for one in entries if not one.left_out]
    if not found:
        expected = ", ".join(sorted(SUFFIXES))
        yield Picture(_printable(folder), Refusal(f"holds no image, expected files that end in {expected}"))
    actual = [class_of(path.relative_to(folder).parent, classes) for path in found]
    if not any(actual):
        actual = [class_of(Path(folder.name), classes)] * len(found)
    for path, known in zip(found, actual, strict=True):
        yield Picture(_printable(path), read(str(path)), known)


def class_of(folders: Path, classes: list[str]) -> str:
    """The first of the folders on a path that is called as a class is; empty where none is."""
    return next((name for part in folders.parts if (name := name_of(Path(part))) in classes), "")


def read(name: str) -> bytes | Refusal:
    """A file, or why there is none."""
    try:
        if name == "-":
            return sys.stdin.buffer.read()
        if Path(name).exists() and not Path(name).is_file():
            return Refusal("is no file, expected - to read a pipe from standard input")
        return Path(name).read_bytes()
    except FileNotFoundError:
        return Refusal("is missing")
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        return Refusal(f"cannot be read: {getattr(error, 'strerror', None) or error}")


def _printable(path: str | Path) -> str:
    return os.fsencode(path).decode(errors="replace")


def told(sorted_in: list[tuple[Picture, np.ndarray]], classes: list[str]) -> list[str]:
    """How many pictures the network reads as their folders are called, and the others, the surest first.

    Args:
        sorted_in: pictures that lie in folders called as classes are, each with its probabilities of shape (classes,).
        classes: their names.
    """
    from digits.results.accuracy import wilson_interval  # by SciPy's statistics, which take half a second

    wrong = [one for one in sorted_in if classes[two_best(one[1])[0]] != one[0].actual]
    right = len(sorted_in) - len(wrong)
    low, high = wilson_interval(right, len(sorted_in))
    return [
        f"{right:,} of {len(sorted_in):,} right by the folders they lie in: {right / len(sorted_in):.2%}, "
        f"95% Wilson interval {low:.2%} to {high:.2%}",
        *(
            f"{picture.name}: is {picture.actual}, read as {sentence(chances, classes)}"
            for picture, chances in sorted(wrong, key=lambda one: -one[1].max())
        ),
    ]


def draw(names: list[str], images: np.ndarray, probabilities: np.ndarray, task: Task, path: Path) -> None:
    """Draw what the network saw beside its probabilities, two images in a row.

    Args:
        names: of the pictures.
        images: shape (n, height, width, channels).
        probabilities: shape (n, classes).
        task: which classes they are of, and how the images are seen.
        path: of the PNG.
    """
    from matplotlib import pyplot as plt

    from digits.results.drawing import ending, grey_map, shortened, use_style, write_figure

    use_style()
    classes = task.classes
    across = min(len(names), 2)
    down = -(-len(names) // across)
    figure, axes = plt.subplots(
        down, 2 * across, figsize=(5 * across, 2.2 * down), squeeze=False, width_ratios=[2, 3] * across
    )
    for axis in axes.flat:
        axis.set_axis_off()
    pairs = axes.reshape(-1, 2)
    for (seen, bars), name, image, chances in zip(pairs, names, images, probabilities, strict=False):
        seen.imshow(image if image.shape[-1] > 1 else image[..., 0], cmap=grey_map(task.ink), vmin=0, vmax=1)
        seen.set_title(ending(name, 24), fontsize=9, parse_math=False)
        bars.set_axis_on()
        draw_bars(bars, chances, [shortened(known, 18) for known in classes])
        bars.set_title(shortened(sentence(chances, classes), 44), fontsize=10, parse_math=False)
    write_figure(path, figure, dpi=120)


def draw_bars(axis: "Axes", chances: np.ndarray, classes: list[str]) -> None:
    """Draw the probabilities of all classes as columns, or where that has no room, of the first few as bars."""
    from matplotlib.ticker import PercentFormatter

    colors = np.where(chances == chances.max(), "#1f77b4", "#9fb3c8")
    if len(classes) <= 10 and max(map(len, classes)) <= 2:
        axis.bar(range(len(classes)), chances, color=colors)
        axis.set(xticks=range(len(classes)), xticklabels=classes, yticks=[0, 0.5, 1], ylim=(0, 1))
        axis.yaxis.set_major_formatter(PercentFormatter(1))
        return
    first = np.argsort(-chances, kind="stable")[:MOST_BARS]
    axis.barh(range(len(first)), chances[first], color=colors[first])
    axis.set_yticks(range(len(first)), [classes[label] for label in first], fontsize=8, parse_math=False)
    axis.set(xticks=[0, 0.5, 1], xlim=(0, 1), ylim=(MOST_BARS - 0.5, -0.5))
    axis.xaxis.set_major_formatter(PercentFormatter(1))


def row_of(readings: list[Reading], probabilities: np.ndarray) -> Row:
    """The digits on a picture and what the network says of them, shape (n, classes)."""
    return Row(probabilities, [reading.box for reading in readings], [reading.line for reading in readings])


def read_arguments() -> argparse.Namespace:
    """What was typed, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.predict",
        description="Recognize pictures with the trained network; of digits, one a picture, anywhere on it.",
        epilog="Exits with 1 if an image could not be answered; the others are answered all the same.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a PNG, JPEG, GIF, WebP, BMP or TIFF, a folder with any of them below it, or - for stdin",
    )
    parser.add_argument(
        "--several", action="store_true",
        help="read all digits on a picture, from left to right and line by line: amounts, dates",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true",
        help="print a JSON array: path, class, confidence, probabilities by class, and what its folder says it `is`; "
        "with --several: path, text, confidence, and each digit with its line and box",
    )  # fmt: skip
    parser.add_argument(
        "--show", type=png_path, metavar="FILE.png",
        help=f"draw what the network saw, beside its probabilities or --several where, of {MOST_DRAWN} images at most",
    )  # fmt: skip
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FILE.keras",
        help=f"the network to ask, {MODEL} where nothing else is said; a plain Keras model of MNIST's images too",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Answer for each image in the order given."""
    arguments = read_arguments()
    parameters = read_parameters()
    with Worker() as worker:  # begun while this process is small
        from digits.network import archive, inference, reproducibility  # takes seconds

        reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
        classifier, assumed = archive.load_any(arguments.model)
        if assumed:
            print(assumed, file=sys.stderr)
        task, shape = classifier.task, classifier.model.input_shape[1:]
        if arguments.several and not task.of_digits:
            some, more = ", ".join(task.classes[:3]), len(task.classes) - 3
            raise Refusal(f"--several reads digits; {arguments.model} tells apart {some} and {more:,} more")
        asked: list[Picture] = []
        found: list[list[Reading] | Refusal] = []
        shown: list[Image.Image] = []
        given = pictures(arguments.images, [] if arguments.several else task.classes)
        for picture in progress(given, unit="pictures"):
            asked.append(picture._replace(content=b""))
            try:
                if isinstance(picture.content, Refusal):
                    raise picture.content
                readings = worker.call(read_picture, picture.content, task, shape, seconds=SLOWEST)
                if len(readings) > 1 and not arguments.several:
                    raise Refusal(f"shows {len(readings)} digits, expected one; --several reads them")
                if arguments.several and arguments.show and len(shown) < MOST_DRAWN:
                    shown.append(worker.call(thumbnail, picture.content, seconds=SLOWEST))
                found.append(readings)
            except Refusal as refusal:
                found.append(refusal)

    read_ones = [(picture, some) for picture, some in zip(asked, found, strict=True) if not isinstance(some, Refusal)]
    answers: list[np.ndarray] = []
    if read_ones:
        views = [reading.views for _, readings in read_ones for reading in readings]
        means = inference.mean_probabilities(inference.compiled(classifier.model), views)
        answers = np.split(means, np.cumsum([len(readings) for _, readings in read_ones])[:-1])
        if arguments.show:
            names = [picture.name for picture, _ in read_ones[:MOST_DRAWN]]
            if arguments.several:
                rows = [row_of(readings, each) for (_, readings), each in zip(read_ones, answers, strict=True)]
                draw_rows(names, shown, rows[:MOST_DRAWN], task.classes, arguments.show)
            else:
                images = np.array([readings[0].image for _, readings in read_ones[:MOST_DRAWN]])
                draw(names, images, means, task, arguments.show)

    entries: list[dict[str, object]] = []
    sorted_in: list[tuple[Picture, np.ndarray]] = []
    in_turn = iter(answers)
    for picture, outcome in zip(asked, found, strict=True):
        actual: dict[str, object] = {"is": picture.actual} if picture.actual else {}
        if isinstance(outcome, Refusal):
            entries.append({"path": picture.name, "error": str(outcome)} | actual)
            print(f"error: {picture.name}: {outcome}", file=sys.stderr)
            continue
        chances = next(in_turn)
        if arguments.several:
            row = row_of(outcome, chances)
            entries.append(row_entry(picture.name, row, task.classes))
            said = row_sentence(row, task.classes)
        else:
            entries.append(entry(picture.name, chances[0], task.classes) | actual)
            said = sentence(chances[0], task.classes)
        if actual:
            sorted_in.append((picture, chances[0]))
        elif not arguments.json:
            print(f"{picture.name}: {said}")
    if arguments.json:
        print(json.dumps(entries, indent=2))
    elif sorted_in:
        print(*told(sorted_in, task.classes), sep="\n")
    if len(read_ones) < len(found):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
