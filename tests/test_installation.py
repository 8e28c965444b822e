"""`make` installs what is pinned, whatever the machine has: uv or pip, a Python or none, a network or none."""

import base64
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MadeOnce, Repository
from tests.test_make import executable, interrupted

INSTALL = ("make", ".venv/installed")
PYTHON = Path(sys.executable).resolve()
UV = Path(sys.prefix) / "bin" / "uv"

pytestmark = pytest.mark.slow


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> str:
    """Write a wheel of the given files; what a requirements file says of it."""
    information = f"{name}-{version}.dist-info"
    files = files | {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(content)}")
    files[f"{information}/RECORD"] = "\n".join([*record, f"{information}/RECORD,,", ""])
    folder.mkdir(exist_ok=True)
    archive = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(archive, "w") as packed:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            packed.writestr(entry, content)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="session")
def python(made_once: MadeOnce) -> Path:
    """This Python, as a program that makes an environment at once: a copy of one that was made before."""

    def make(folder: Path) -> None:
        subprocess.run([PYTHON, "-m", "venv", folder / "environment"], check=True)
        executable(
            folder / "python3",
            f"""
            for last; do :; done
            case "$*" in
            "-m venv "*) exec cp -a {folder}/environment "$last" ;; # with pip, for which it takes six seconds
            *) exec {PYTHON} "$@" ;;
            esac""",
        )

    return made_once("python", make) / "python3"


@pytest.fixture
def machine(fresh: Repository, python: Path, tmp_path: Path) -> Repository:
    """A fresh clone that needs one package, on a machine without network, uv and any Python but one, as python3."""
    repository = fresh.copy(tmp_path / "repository")
    kept = {name: value for name, value in fresh.environment.items() if not name.startswith(("PIP_", "UV_", "VIRTUAL"))}
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in os.get_exec_path():
        for program in Path(folder).iterdir() if Path(folder).is_dir() else []:
            if not program.name.startswith(("python", "pip", "uv")) and not os.path.lexists(programs / program.name):
                (programs / program.name).symlink_to(program)
    (programs / "python3").symlink_to(python)
    shelf = tmp_path / "shelf"
    repository.environment = kept | {
        "PATH": str(programs),
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home" / "cache"),
        "XDG_DATA_HOME": str(tmp_path / "home" / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "home" / "config"),
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(shelf),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(shelf),
    }
    (repository.path / "requirements.txt").write_text(wheel(shelf, "kestrel", "1.0", {"kestrel.py": "SPEED = 3\n"}))
    return repository


def with_uv(machine: Repository, script: str = f'exec {UV} "$@"') -> None:
    """Put uv on PATH, or a script in its place."""
    executable(Path(machine.environment["PATH"]) / "uv", script)


def pinned_uv(machine: Repository) -> None:
    """Put uv, as a wheel, where pip finds it, and pin it."""
    scripts = {"uv-9.9.data/scripts/uv": f'#!/bin/sh\nexec {UV} "$@"\n'}
    (machine.path / "requirements-uv.txt").write_text(
        wheel(Path(machine.environment["PIP_FIND_LINKS"]), "uv", "9.9", scripts)
    )


def with_python(machine: Repository, script: str) -> None:
    """Put a script in the place of Python."""
    executable(Path(machine.environment["PATH"]) / "python3", script)


def works(machine: Repository) -> bool:
    """Whether the package is there."""
    return machine.run(".venv/bin/python", "-c", "import kestrel; print(kestrel.SPEED)") == "3\n"


def another_hash(machine: Repository, file: str) -> None:
    """Change a hash in a requirements file."""
    path = machine.path / file
    path.write_text(re.sub("sha256:....", "sha256:0000", path.read_text()))


def errors(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("error: ")]


def test_uv_installs_where_it_is_on_the_path(machine: Repository):
    with_uv(machine)
    printed = machine.run(*INSTALL)
    assert "uv pip install" in printed
    assert works(machine)
    assert not (machine.path / ".uv").exists()
    assert "up to date" in machine.run(*INSTALL)


@pytest.mark.parametrize("on_path", ["nothing", "an old one"])
def test_pip_brings_the_pinned_uv_where_there_is_none(machine: Repository, on_path: str):
    if on_path == "an old one":
        with_uv(machine, "exit 2")
    pinned_uv(machine)
    printed = machine.run(*INSTALL)
    assert ".uv/bin/uv pip install" in printed
    assert "pip does" not in printed
    assert works(machine)


def test_pip_brings_it_too_where_the_only_python_is_called_by_its_version(machine: Repository):
    pinned_uv(machine)
    programs = Path(machine.environment["PATH"])
    (programs / "python3").rename(programs / f"python3.{sys.version_info.minor}")
    printed = machine.run(*INSTALL)
    assert ".uv/bin/uv pip install" in printed
    assert "pip does" not in printed
    assert works(machine)


@pytest.mark.parametrize(("target", "kept"), [("install", True), (".venv/installed", False)])
def test_where_python_is_to_keep_nothing_make_install_alone_compiles_all(machine: Repository, target: str, kept: bool):
    with_uv(machine)
    machine.environment["PYTHONDONTWRITEBYTECODE"] = "1"
    machine.run("make", target)
    assert works(machine)
    assert bool(list((machine.path / ".venv").rglob("kestrel.*.pyc"))) == kept


def test_uv_trusts_the_certificates_that_the_system_trusts(machine: Repository):
    with_uv(machine, f'test "$UV_SYSTEM_CERTS $UV_NATIVE_TLS" = "1 1" || exit 1; exec {UV} "$@"')
    assert "pip does" not in machine.run(*INSTALL)


def test_pip_installs_where_uv_cannot_and_a_line_says_so(machine: Repository):
    with_uv(machine)
    with_python(machine, f'exec {PYTHON} "$@"')  # whose environments have no pip unless they are given one
    del machine.environment["UV_FIND_LINKS"], machine.environment["PIP_FIND_LINKS"], machine.environment["PIP_NO_INDEX"]
    settings = Path(machine.environment["XDG_CONFIG_HOME"]) / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\nno-index = true\nfind-links = {machine.path.parent / 'shelf'}\n")
    printed = machine.run(*INSTALL)
    assert [line for line in printed.splitlines() if line.startswith("uv cannot install here (")]
    assert works(machine)


def test_where_neither_can_install_a_sentence_says_why(machine: Repository):
    with_uv(machine)
    del machine.environment["UV_FIND_LINKS"], machine.environment["PIP_FIND_LINKS"]
    printed = machine.run(*INSTALL, fails=True)
    assert errors(printed) == [
        "error: requirements.txt could not be installed: No matching distribution found for kestrel==1.0"
    ]
    assert not (machine.path / ".venv" / "installed").exists()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_package_with_another_hash_is_not_installed(machine: Repository, installer: str):
    if installer == "uv":
        with_uv(machine)
    another_hash(machine, "requirements.txt")
    printed = machine.run(*INSTALL, fails=True)
    assert errors(printed) == [
        "error: requirements.txt has another hash for kestrel==1.0 than what was delivered: nothing was installed"
    ]
    assert ("pip does" in printed) == (installer == "pip")
    assert not (machine.path / ".venv" / "installed").exists()
    machine.run(".venv/bin/python", "-c", "import kestrel", fails=True)


def test_a_uv_with_another_hash_is_not_installed(machine: Repository):
    pinned_uv(machine)
    another_hash(machine, "requirements-uv.txt")
    printed = machine.run(*INSTALL, fails=True)
    assert errors(printed) == [
        "error: requirements-uv.txt has another hash for uv==9.9 than what was delivered: nothing was installed"
    ]
    assert not (machine.path / ".venv" / "installed").exists()


def test_a_requirement_without_a_hash_is_not_installed(machine: Repository):
    with_uv(machine)
    (machine.path / "requirements.txt").write_text("kestrel==1.0\n")
    (error,) = errors(machine.run(*INSTALL, fails=True))
    assert "hash" in error.lower()


def killed_while_it_unpacked(machine: Repository) -> None:
    (machine.path / ".venv" / "installed").unlink()
    for module in (machine.path / ".venv").rglob("kestrel.py"):
        module.unlink()


def killed_while_it_made_the_environment(machine: Repository) -> None:
    shutil.rmtree(machine.path / ".venv")
    (machine.path / ".venv" / "bin").mkdir(parents=True)


def python_is_another_one(machine: Repository) -> None:
    executable(machine.path / ".venv" / "bin" / "python", "exit 1")


def python_is_gone(machine: Repository) -> None:
    (machine.path / ".venv" / "bin" / "python").unlink()
    (machine.path / ".venv" / "bin" / "python").symlink_to("/nowhere/python3")


@pytest.mark.parametrize(
    "damage", [killed_while_it_unpacked, killed_while_it_made_the_environment, python_is_another_one, python_is_gone]
)
def test_the_next_installation_repairs_what_the_last_one_left(
    machine: Repository, damage: Callable[[Repository], None]
):
    with_uv(machine)
    machine.run(*INSTALL)
    damage(machine)
    machine.run(*INSTALL)
    assert works(machine)


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_ctrl_c_while_uv_installs_does_not_start_pip(machine: Repository, shell: str):
    path = shutil.which(shell)
    if not path:
        pytest.skip(f"needs {shell}")
    (Path(machine.environment["PATH"]) / "sh").unlink()
    (Path(machine.environment["PATH"]) / "sh").symlink_to(path)
    with_uv(
        machine,
        """
        case "$*" in
        "pip install --help") echo --build-constraint ;;
        "cache dir") echo /nowhere ;;
        *) trap 'exit 1' INT; touch at-work; while :; do sleep 0.02; done ;;
        esac""",
    )
    assert "pip does" not in interrupted(machine, *INSTALL)
    assert not (machine.path / ".venv" / "installed").exists()


def unsupported_python(machine: Repository, python: Path) -> None:
    """Have only a Python 3.14: it says so to make and uv, and makes environments."""
    version, minor = platform.python_version(), f"3.{sys.version_info.minor}"
    with_python(
        machine,
        f"""
        case "$1" in
        -m) exec {python} "$@" ;;
        -c) exit 1 ;;
        *) {PYTHON} "$@" | sed 's/{version}/3.14.0/g; s/"{minor}"/"3.14"/g' ;;
        esac""",
    )


def test_an_unsupported_python_alone_without_a_network_is_one_sentence(machine: Repository, python: Path):
    unsupported_python(machine, python)
    with_uv(machine)
    (error,) = errors(machine.run(*INSTALL, fails=True))
    assert error.startswith("error: no Python 3.11, 3.12 or 3.13 is here, and uv, which downloads one, failed: ")
    assert not (machine.path / ".venv").exists()


def downloadable_python(machine: Repository, folder: Path) -> None:
    """Have uv find this Python, as an archive to be downloaded."""
    minor = sys.version_info.minor
    library = folder / "python" / "lib" / f"python3.{minor}"
    library.mkdir(parents=True)
    for settings in Path(sysconfig.get_path("stdlib")).glob("_sysconfigdata_*.py"):
        shutil.copy(settings, library)
    executable(folder / "python" / "bin" / f"python3.{minor}", f'exec {PYTHON} "$@"')
    with tarfile.open(folder / "python.tar.gz", "w:gz") as archive:
        archive.add(folder / "python", "python")
    system = platform.system().lower()
    python = {
        "name": "cpython", "major": 3, "minor": minor, "patch": sys.version_info.micro, "prerelease": "",
        "variant": None, "build": None, "os": system, "libc": "gnu" if system == "linux" else "none",
        "arch": {"family": platform.machine().replace("arm64", "aarch64"), "variant": None},
        "url": (folder / "python.tar.gz").as_uri(),
        "sha256": hashlib.sha256((folder / "python.tar.gz").read_bytes()).hexdigest(),
    }  # fmt: skip
    (folder / "downloads.json").write_text(json.dumps({"cpython": python}))
    del machine.environment["UV_OFFLINE"]
    (folder / "index").mkdir()
    machine.environment |= {
        "UV_INDEX_URL": (folder / "index").as_uri(),
        "UV_PYTHON_DOWNLOADS_JSON_URL": str(folder / "downloads.json"),
    }


def test_an_unsupported_python_alone_brings_uv_which_brings_a_supported_one(
    machine: Repository, python: Path, tmp_path: Path
):
    unsupported_python(machine, python)
    pinned_uv(machine)
    downloadable_python(machine, tmp_path)
    machine.run(*INSTALL)
    assert works(machine)
    assert (tmp_path / "home" / "data" / "uv" / "python").is_dir()


def test_a_python_without_pip_and_no_uv_is_one_sentence(machine: Repository):
    with_python(machine, f'case "$*" in "-m "*) echo "$0: No module named $2" >&2; exit 1 ;; esac\nexec {PYTHON} "$@"')
    (error,) = errors(machine.run(*INSTALL, fails=True))
    assert error.startswith(
        "error: needs uv, or Python 3.11, 3.12 or 3.13 with venv and pip (python3-venv on Debian): "
    )
    assert error.endswith("No module named venv")


def test_a_python_without_pip_will_do_for_uv(machine: Repository):
    with_python(machine, f'case "$*" in "-m "*) exit 1 ;; esac\nexec {PYTHON} "$@"')
    with_uv(machine)
    machine.run(*INSTALL)
    assert works(machine)


def test_the_python_that_is_asked_for_must_be_supported(machine: Repository):
    printed = machine.run(*INSTALL, "PYTHON=/bin/false", fails=True)
    assert errors(printed) == ["error: PYTHON is /bin/false, expected Python 3.11, 3.12 or 3.13"]


def test_a_home_that_cannot_be_written_to_is_no_hindrance(machine: Repository, tmp_path: Path):
    with_uv(machine)
    (tmp_path / "home").write_text("no folder")
    for name in [name for name in machine.environment if name.startswith("XDG_")]:
        del machine.environment[name]
    assert "pip does" not in machine.run(*INSTALL)
    assert works(machine)
