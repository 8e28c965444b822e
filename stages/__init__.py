"""The pipeline's stages, a script each: `python -m stages.NAME`, as dvc.yaml has it.

Python runs this file before a stage's own first line, and so before the stage imports its libraries.
"""

import argparse
import sys
from collections.abc import Callable

from digits.foundation import command
from digits.foundation.provenance import Inputs

command.begin()
_stage = next((word.rpartition(".")[2] for word in sys.orig_argv if word.startswith(("stages.", "-mstages."))), None)
# Without a stage a test imports one, and nothing is run for DVC.
inputs = Inputs(_stage, left_out="data/own") if _stage else None


def run(main: Callable[[], None]) -> None:
    """Run the stage as `digits.foundation.command.run` does, and refuse its result if its inputs changed meanwhile.

    A stage takes no arguments: all that it depends on stands in dvc.yaml. `--help` tells what it takes and gives.
    """
    argparse.ArgumentParser(
        prog=f"python -m stages.{_stage}",
        description=sys.modules["__main__"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    def main_on_lasting_inputs() -> None:
        main()
        if inputs:
            inputs.refuse_changes()

    command.run(main_on_lasting_inputs)
