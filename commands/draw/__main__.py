"""Open a page to draw on: the trained network reads as you draw, and a click keeps the drawing as data.

Takes models/model.keras or --model, and what comes in its place; gives data/own/images/CLASS/*.png. Ctrl-C ends it.
"""

import argparse
import sys
from pathlib import Path

from commands.serving.listening import add_arguments, check_installed, listen, serve
from digits.foundation.command import run
from digits.foundation.parameters import read_parameters

MODEL = Path("models/model.keras")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m commands.draw", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, default=MODEL, metavar="FILE.keras",
        help=f"the network that answers, {MODEL} where nothing else is said; a plain Keras model of MNIST's images too",
    )  # fmt: skip
    add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Load the network, then listen until Ctrl-C."""
    arguments = read_arguments()
    parameters = read_parameters()
    check_installed("make draw")
    with listen(arguments.host, arguments.port) as listening:  # a port that is taken is said before the seconds go by
        from commands.draw.reader import Reader
        from commands.draw.server import application
        from digits.network import reproducibility

        reproducibility.compute_reproducibly(parameters.seed, parameters.threads, parameters.instructions)
        reader = Reader(arguments.model)
        if reader.assumed:
            print(reader.assumed, file=sys.stderr)
        ready = f"to draw on: {reader.told()}"
        serve(application(reader), listening, arguments, ready, "draw, see what was kept, and keep")


if __name__ == "__main__":
    run(main)
