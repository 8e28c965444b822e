"""Recognize your own pictures with the trained network: `python -m commands.predict IMAGE ...`.

Takes models/model.keras and pictures of what it was trained to tell apart. If that are digits, one a picture, dark on
light or light on dark, photographed, scanned or drawn: each is found and brought into MNIST's form. A network whose
dataset is framed `whole` sees the whole picture.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digits.foundation.command import Refusal, png_path, run
from digits.foundation.parameters import read_parameters
from digits.pictures.decoding import SUFFIXES
from digits.pictures.framing import read_picture
from digits.results.answers import entry, in_doubt, two_best

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DRAWN = 60
MOST_BARS = 6


def contents(names: list[str]) -> Iterator[tuple[str, bytes | Refusal]]:
    """Each image's name and file, or why there is none: the files named, a folder's images in order, - as it comes."""
    for name in names:
        path = Path(name)
        try:
            if name == "-":
                yield name, sys.stdin.buffer.read()
            elif path.is_dir():
                files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
                if not files:
                    yield name, Refusal(f"holds no image, expected files that end in {', '.join(sorted(SUFFIXES))}")
                yield from contents([str(file) for file in files])
            elif path.exists() and not path.is_file():
                yield name, Refusal("is no file, expected - to read a pipe from standard input")
            else:
                yield name, path.read_bytes()
        except FileNotFoundError:
            yield name, Refusal("is missing")
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            yield name, Refusal(f"cannot be read: {getattr(error, 'strerror', None) or error}")


def sentence(probabilities: np.ndarray, classes: list[str]) -> str:
    """What the network says of an image, as `7 (98.2%)`, or as `7 (61.0%), or 1 (35.2%)` where it is in doubt."""
    found, runner_up = two_best(probabilities)
    said = f"{classes[found]} ({probabilities[found]:.1%})"
    return f"{said}, or {classes[runner_up]} ({probabilities[runner_up]:.1%})" if in_doubt(probabilities) else said


def draw(names: list[str], images: np.ndarray, probabilities: np.ndarray, classes: list[str], path: Path) -> None:
    """Draw what the network saw beside its probabilities, two images in a row.

    Args:
        names: of the pictures.
        images: shape (n, height, width, channels).
        probabilities: shape (n, classes).
        classes: their names.
        path: of the PNG.
    """
    from matplotlib import pyplot as plt

    from digits.results.drawing import shortened, use_style, write_figure

    use_style()
    across = min(len(names), 2)
    down = -(-len(names) // across)
    figure, axes = plt.subplots(
        down, 2 * across, figsize=(5 * across, 2.2 * down), squeeze=False, width_ratios=[2, 3] * across
    )
    for axis in axes.flat:
        axis.set_axis_off()
    pairs = axes.reshape(-1, 2)
    for (seen, bars), name, image, chances in zip(pairs, names, images, probabilities, strict=False):
        seen.imshow(image if image.shape[-1] > 1 else image[..., 0], cmap="gray", vmin=0, vmax=1)
        caption = name if len(name) <= 24 else f"\u2026{name[-23:]}"
        seen.set_title(caption, fontsize=9, parse_math=False)
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
        help="a PNG, JPEG, GIF, WebP, BMP or TIFF, a folder of them, or - for stdin",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON array: path, class, confidence, probabilities by class"
    )
    parser.add_argument(
        "--show", type=png_path, metavar="FILE.png",
        help=f"draw what the network saw beside its probabilities, of the first {MOST_DRAWN} images",
    )  # fmt: skip
    return parser.parse_args()


def main() -> None:
    """Answer for each image in the order given."""
    arguments = read_arguments()
    parameters = read_parameters()
    from digits.network import archive, inference, reproducibility  # takes seconds

    reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
    classifier = archive.load()
    classes, shape = classifier.task.classes, classifier.model.input_shape[1:]
    found: list[tuple[str, np.ndarray | Refusal]] = []
    for path, content in contents(arguments.images):
        name = os.fsencode(path).decode(errors="replace")  # a name that is no Unicode can be printed too
        try:
            image = content if isinstance(content, Refusal) else read_picture(content, classifier.task.framing, shape)
            found.append((name, image))
        except Refusal as refusal:
            found.append((name, refusal))

    names = [name for name, image in found if isinstance(image, np.ndarray)]
    images = np.array([image for _, image in found if isinstance(image, np.ndarray)])
    answers: Iterator[np.ndarray] = iter(())
    if names:
        probabilities = inference.probabilities(classifier.model, images)
        answers = iter(probabilities)
        if arguments.show:
            draw(names[:MOST_DRAWN], images, probabilities, classes, arguments.show)

    entries: list[dict[str, object]] = []
    for name, image in found:
        if isinstance(image, Refusal):
            entries.append({"path": name, "error": str(image)})
            print(f"error: {name}: {image}", file=sys.stderr)
            continue
        chances = next(answers)
        entries.append(entry(name, chances, classes))
        if not arguments.json:
            print(f"{name}: {sentence(chances, classes)}")
    if arguments.json:
        print(json.dumps(entries, indent=2))
    if len(names) < len(found):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
