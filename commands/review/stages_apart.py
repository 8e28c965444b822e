"""The pipeline's stages in a folder of their own, beside the workspace, of which they change nothing."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

from digits.foundation.command import Refusal, progress
from digits.foundation.parameters import PATH, read_parameters
from digits.foundation.yaml import parse_yaml

LINKED = ["stages", "digits", "data/own", "data/corrections.csv"]  # read there, and written by no stage


@contextmanager
def folder_apart(parameters: str) -> Iterator[Path]:
    """A folder in which stages find this project's code and data, and these parameters, until the block ends.

    Args:
        parameters: the content of params.yaml; JSON, which is YAML, will do.
    """
    with tempfile.TemporaryDirectory(prefix="review-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for linked in LINKED:
            (folder / linked).parent.mkdir(parents=True, exist_ok=True)
            (folder / linked).symlink_to(Path(linked).resolve())
        for made in ("data/raw", "data/prepared", "metrics", "plots", "models"):
            (folder / made).mkdir(parents=True, exist_ok=True)
        (folder / "params.yaml").write_text(parameters, encoding="utf-8")
        yield folder


@contextmanager
def workspace_as(dataset: str | None) -> Iterator[str]:
    """Within the block, the working directory has the dataset prepared and a network trained on it.

    That is the project's own where it is the dataset that it has, else a folder beside it in which the stages run.

    Args:
        dataset: an entry of params.yaml's `datasets`; None is the chosen one.

    Yields:
        The content of the params.yaml that is in force.

    Raises:
        Refusal: there is no such entry, or a stage refuses it.
    """
    chosen = read_parameters()
    content = parse_yaml(PATH.read_bytes(), PATH)
    if dataset in {None, chosen.fetch.dataset}:
        yield json.dumps(content)
        return
    if dataset not in content["datasets"]:
        raise Refusal(f"{dataset!r} is no entry of params.yaml's datasets, expected {', '.join(content['datasets'])}")
    content["fetch"]["dataset"] = dataset
    with folder_apart(json.dumps(content)) as folder:
        stages = "fetch", "gather", "prepare", "train"
        with progress(total=len(stages), unit="stages") as bar:
            for stage in stages:
                bar.write(f"{stage} {dataset}", file=sys.stderr)
                run_stage(folder, stage, lambda: bar.update(0))
                bar.update()
        with chdir(folder):
            yield json.dumps(content)


def run_stage(folder: Path, stage: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Run a stage there.

    Args:
        folder: as `folder_apart` gives it.
        stage: its name.
        meanwhile: is called now and then until it has ended.

    Raises:
        Refusal: the stage's own.
    """
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, "-m", f"stages.{stage}"],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )  # fmt: skip
        try:
            while True:
                try:
                    process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    meanwhile()
        finally:
            process.kill()  # where the block is left by an interruption; else it has ended
            process.wait()
        if process.returncode:
            printed.seek(0)
            lines = printed.read().decode(errors="replace").strip().splitlines()
            refused = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
            raise Refusal(refused[-1] if refused else f"{stage} failed: {lines[-1] if lines else process.returncode}")
