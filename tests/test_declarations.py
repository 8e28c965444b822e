"""What dvc.yaml declares for a stage is exactly what the stage touches: files, code and parameters."""

import ast
import json
import re
from pathlib import Path

import pytest

from commands.sweep.settings import by_full_name
from digits.foundation.yaml import parse_yaml
from tests.conftest import ROOT, Repository

STAGES = ["fetch", "gather", "prepare", "train", "evaluate", "plot", "page"]
ENVIRONMENT = "requirements.txt"  # a dependency that no stage opens: it stands for the libraries
STAND_IN = frozenset(["networks.few-pictures"])  # declared by `train` whichever network is trained
# What is read and written where the dataset holds a person's own images; tests/test_datasets.py has that.
OWN = STAND_IN | {"data/own", "digits/pictures", "data/raw/gathered"}


def declared(path: Path, stage: str, *kinds: str) -> set[str]:
    """The names under a stage's deps, params, outs or metrics, templates filled in."""
    parameters = parse_yaml((path / "params.yaml").read_bytes(), path)
    entries = parse_yaml((path / "dvc.yaml").read_bytes(), path)["stages"][stage]
    named = [entry for kind in kinds for entry in entries.get(kind, [])]
    names = {next(iter(entry)) if isinstance(entry, dict) else entry for entry in named}
    flat = by_full_name(parameters)
    return {re.sub(r"\$\{([\w.]+)\}", lambda key: flat[key[1]], name) for name in names}


def imported(path: Path, module: str) -> set[str]:
    """The repository's files that a module is made of: its own and those that it imports, directly or not."""
    files, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        waiting += [parent for parent in [name.rpartition(".")[0]] if parent]
        for file in (f"{name.replace('.', '/')}.py", f"{name.replace('.', '/')}/__init__.py"):
            if file in files or not (path / file).is_file():
                continue
            files.add(file)
            for node in ast.walk(ast.parse((path / file).read_text())):
                if isinstance(node, ast.Import):
                    waiting += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    waiting += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return files


def complaints_about_code(path: Path, stage: str) -> list[str]:
    """How a stage's declared code, scripts and folders of digits/, differs from what it imports."""
    code = {name for name in declared(path, stage, "deps") if name.endswith(".py") or name.startswith("digits/")}
    imports = map(Path, imported(path, f"stages.{stage}"))
    needed = {str(file.parent if file.parts[0] == "digits" else file) for file in imports}
    return sorted(f"imports {name}, undeclared" for name in needed - code) + sorted(
        f"declares {name}, never imported" for name in code - needed
    )


def complaints_about_run(path: Path, stage: str, report: Path, unread: frozenset[str] = OWN) -> list[str]:
    """How what a stage declares differs from what it read and wrote when it ran, as audit.py reports it.

    Of `unread`, nobody says that it has to be read or written.
    """
    touched = {kind: set(names) for kind, names in json.loads(report.read_text()).items()}
    read, written = touched["read"] - touched["written"], touched["written"]
    complaints = [
        *uncovered(declared(path, stage, "deps") - {ENVIRONMENT} | {"params.yaml"}, read, "reads", unread),
        *uncovered(declared(path, stage, "outs", "metrics", "plots"), written, "writes", unread),
        *uncovered(declared(path, stage, "params"), leaves(touched["parameters"]), "reads", unread),
    ]
    return [f"{stage} {complaint}" for complaint in complaints]


def uncovered(
    declarations: set[str], touched: set[str], does: str, idle_at_times: frozenset[str] = frozenset()
) -> list[str]:
    """What is touched under no declaration, and the declarations under which nothing is touched."""

    def under(name: str, declaration: str) -> bool:
        return name == declaration or name.startswith((f"{declaration}/", f"{declaration}."))

    stray = {name for name in touched if not any(under(name, declaration) for declaration in declarations)}
    idle = {name for name in declarations - idle_at_times if not any(under(file, name) for file in touched)}
    return [f"{does} {name}, undeclared" for name in sorted(stray)] + [
        f"declares {declaration}, never {does} it" for declaration in sorted(idle)
    ]


def leaves(keys: set[str]) -> set[str]:
    """The keys that no other key goes deeper into."""
    return {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_the_code_it_is_made_of(stage: str):
    assert complaints_about_code(ROOT, stage) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_and_writes_what_it_declares(disturbed: Path, stage: str):
    assert complaints_about_run(disturbed / "with a space", stage, disturbed / f"{stage}.json") == []


# The checks themselves: each plant is a fault of the kind that they are there to find.


def test_a_missing_and_an_unused_code_dep_are_found(repository: Repository):
    imports = "from digits.data.raw import"
    repository.replace("stages/fetch.py", imports, f"from digits.results import calibration\n{imports}")
    assert complaints_about_code(repository.path, "fetch") == ["imports digits/results, undeclared"]
    repository.replace("dvc.yaml", "    - stages/plot.py\n", "    - stages/plot.py\n    - digits/network\n")
    assert complaints_about_code(repository.path, "plot") == ["declares digits/network, never imported"]


@pytest.mark.slow
def test_what_is_touched_undeclared_and_declared_untouched_is_found(repository: Repository, tmp_path: Path):
    planted = '    open("dvc.lock").close(), open("stray.txt", "w").close()\n    whole.threads\n'
    repository.replace(
        "stages/plot.py",
        "    plot = read_parameters().plot\n",
        f"    whole = read_parameters()\n    plot = whole.plot\n{planted}",
    )
    repository.replace(
        "dvc.yaml",
        "    - models/first_kernel.npy\n    - models/layers.csv\n    - plots/history.csv\n",
        "    - models\n    - metrics/data.json\n    - plots/history.csv\n",
    )
    repository.replace("dvc.yaml", "    - plot\n", "    - plot\n    - seed\n")
    repository.replace(
        "dvc.yaml", "    - plots/images\n\n  page:", "    - plots/images\n    - plots/missing.csv\n\n  page:"
    )
    report = tmp_path / "plot.json"
    audit = ("-B", str(ROOT / "tests/audit.py"))
    repository.run("python", *audit, "plot", str(report))
    assert complaints_about_run(repository.path, "plot", report) == [
        "plot reads dvc.lock, undeclared",
        "plot declares metrics/data.json, never reads it",
        "plot writes stray.txt, undeclared",
        "plot declares plots/missing.csv, never writes it",
        "plot reads threads, undeclared",
        "plot declares seed, never reads it",
    ]
