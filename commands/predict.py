"""Recognize your own handwritten digits with the trained network: `python -m commands.predict IMAGE ...`.

Takes models/model.keras and pictures of one digit each, dark on light or light on dark, photographed, scanned or drawn.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from digits.command import Refusal, png_path, run
from digits.dataset import CLASSES
from digits.parameters import read_parameters
from digits.pictures import SUFFIXES, prepare

IN_DOUBT = 0.9  # below this confidence the runner-up is named too
MOST_DRAWN = 60


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


def sentence(probabilities: np.ndarray) -> str:
    """What the network says of an image, as `7 (98.2%)`, or as `7 (61.0%), or 1 (35.2%)` where it is in doubt."""
    runner_up, digit = np.argsort(probabilities, kind="stable")[-2:]
    said = f"{digit} ({probabilities[digit]:.1%})"
    return said if probabilities[digit] >= IN_DOUBT else f"{said}, or {runner_up} ({probabilities[runner_up]:.1%})"


def draw(names: list[str], images: np.ndarray, probabilities: np.ndarray, path: Path) -> None:
    """Draw what the network saw, images of (n, 28, 28), beside its probabilities of (n, 10), two images in a row."""
    from matplotlib import pyplot as plt
    from matplotlib.ticker import PercentFormatter

    from digits.drawing import use_style, write_figure

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
        seen.imshow(image, cmap="gray", vmin=0, vmax=1)
        caption = name if len(name) <= 24 else f"\u2026{name[-23:]}"
        seen.set_title(caption, fontsize=9, parse_math=False)
        bars.set_axis_on()
        bars.bar(range(CLASSES), chances, color=["#1f77b4" if p == chances.max() else "#9fb3c8" for p in chances])
        bars.set_title(sentence(chances), fontsize=10)
        bars.set(xticks=range(CLASSES), yticks=[0, 0.5, 1], ylim=(0, 1))
        bars.yaxis.set_major_formatter(PercentFormatter(1))
    write_figure(path, figure, dpi=120)


def read_arguments() -> argparse.Namespace:
    """What was typed, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m commands.predict",
        description="Recognize handwritten digits with the trained network: one digit an image, anywhere on it.",
        epilog="Exits with 1 if an image could not be answered; the others are answered all the same.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="a PNG, JPEG, GIF, WebP, BMP or TIFF, a folder of them, or - for stdin",
    )
    parser.add_argument(
        "--json", action="store_true", help="print a JSON array: path, digit, confidence, probabilities"
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
    found: list[tuple[str, np.ndarray | Refusal]] = []
    for path, content in contents(arguments.images):
        name = os.fsencode(path).decode(errors="replace")  # a name that is no Unicode can be printed too
        try:
            found.append((name, content if isinstance(content, Refusal) else prepare(content)))
        except Refusal as refusal:
            found.append((name, refusal))

    names = [name for name, image in found if isinstance(image, np.ndarray)]
    images = np.array([image for _, image in found if isinstance(image, np.ndarray)])
    answers: Iterator[np.ndarray] = iter(())
    if names:
        from digits import network  # takes seconds

        network.compute_reproducibly(parameters.seed, parameters.threads)
        probabilities = network.probabilities(network.load(), images)
        answers = iter(probabilities)
        if arguments.show:
            draw(names[:MOST_DRAWN], images, probabilities, arguments.show)

    entries: list[dict[str, object]] = []
    for name, image in found:
        if isinstance(image, Refusal):
            entries.append({"path": name, "error": str(image)})
            print(f"error: {name}: {image}", file=sys.stderr)
            continue
        chances = next(answers)
        digit = int(chances.argmax())
        rounded = chances.round(6).tolist()
        entries.append({"path": name, "digit": digit, "confidence": rounded[digit], "probabilities": rounded})
        if not arguments.json:
            print(f"{name}: {sentence(chances)}")
    if arguments.json:
        print(json.dumps(entries, indent=2))
    if len(names) < len(found):
        sys.exit(1)


if __name__ == "__main__":
    run(main)
