"""The Ray that runs the trials: one of our own on this machine, or a cluster that is there, if it can."""

import contextlib
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import ray
from filelock import FileLock, Timeout
from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from digits.foundation.command import Refusal

ANSWER_S = 10
NODE_ANSWER_S = 60
LOOK = 0.05  # seconds between two looks at processes that end
STORE_BYTES = 100 * 2**20  # of shared memory: what goes through it are bundles
HELD = "held"  # a file in the folder of a sweep that lives, which has it locked
WRONG_TOKEN = "InvalidAuthToken"  # in what Ray says
PINNED = ("requirements.txt", "requirements-sweep.txt")


@contextlib.contextmanager
def own_ray(cores: int) -> Iterator[Path]:
    """A Ray on this machine alone, for trials that share so many cores, and a folder; gone after the block."""
    clear_what_was_killed()
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    held = FileLock(folder / HELD)
    held.acquire()
    before, os.environ["TMPDIR"], tempfile.tempdir = os.environ.get("TMPDIR"), str(folder), str(folder)
    try:
        ray.init(
            num_cpus=cores, object_store_memory=STORE_BYTES, include_dashboard=False, log_to_driver=False,
            logging_level=logging.CRITICAL, _node_ip_address="127.0.0.1", _temp_dir=str(folder),
        )  # fmt: skip
        yield folder
    finally:
        tempfile.tempdir = None
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before
        ray.shutdown()
        while processes := _whose_temporary_folder_is_in(folder):  # as the Git of a trial that Ray has killed
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(LOOK)
        shutil.rmtree(folder)
        held.release()
        clear_what_was_killed()  # once more: just before this sweep, some of its processes were still ending


def clear_what_was_killed() -> None:
    """Remove the folders of sweeps that ended without a chance to do so themselves."""
    for mark in Path(tempfile.gettempdir()).glob(f"sweep-*/{HELD}"):
        with contextlib.suppress(Timeout, OSError), FileLock(mark, timeout=0):
            if not _whose_temporary_folder_is_in(mark.parent):
                shutil.rmtree(mark.parent, ignore_errors=True)


def _whose_temporary_folder_is_in(folder: Path) -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["environ"])
        if process.pid != os.getpid() and (process.info["environ"] or {}).get("TMPDIR", "").startswith(str(folder))
    ]


@contextlib.contextmanager
def cluster(address: str) -> Iterator[None]:
    """The Ray at an address, HOST:PORT of its head.

    Raises:
        Refusal: no Ray answers there, or one of another version, or its nodes have other packages.
    """
    _check_answers(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except RuntimeError as error:
        raise Refusal(f"{address}: {_in_a_line(error)}") from error
    except (ConnectionError, ValueError) as error:
        raise Refusal(
            f"{address}: no node of that Ray is on this machine, expected `ray start --address {address}` before "
            f"({_in_a_line(error)})"
        ) from error
    try:
        _check_packages()
        yield
    finally:
        ray.shutdown()


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _check_answers(address: str) -> None:
    """Ask Ray's own health check, as `ray.init` waits for two minutes and writes about it."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Refusal(f"--address is {address!r}, expected HOST:PORT of a Ray that runs")
    trouble = _trouble(host, int(port))
    if WRONG_TOKEN in trouble and maybe_enable_token_auth_if_token_available(warn_if_disabled=False):
        trouble = _trouble(host, int(port))  # with the token, which a Ray that wants none would take amiss
    if WRONG_TOKEN in trouble:
        raise Refusal(f"the Ray at {address} wants another token, expected its ~/.ray/auth_token here")
    if trouble:
        raise Refusal(f"no Ray answers at {address} within {ANSWER_S} s, expected the address that `ray start` told")


def _trouble(host: str, port: int) -> str:
    """What is wrong with the Ray at an address, in Ray's own words; nothing if it is well."""
    asked = ["-m", "ray.scripts.scripts", "health-check", "--skip-version-check", "--address", f"{host}:{port}"]
    try:
        socket.create_connection((host, port), timeout=ANSWER_S).close()
        done = subprocess.run([sys.executable, *asked], capture_output=True, text=True, timeout=ANSWER_S, check=False)
    except (OSError, OverflowError, subprocess.TimeoutExpired) as error:
        return str(error) or "no answer"
    return f"code {done.returncode}: {done.stderr}" if done.returncode else ""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def room(cpus: int, memory_gb: float | None) -> int:
    """How many trials run at a time.

    Raises:
        Refusal: a trial takes more than any node of the Ray has, for which it would wait without end.
    """
    rooms = [(int(node["Resources"]["CPU"]), node["Resources"].get("memory", 0) / 2**30) for node in _nodes()]
    if places := sum(int(min(cores // cpus, memory // memory_gb if memory_gb else cores)) for cores, memory in rooms):
        return places
    there = "; ".join(f"cpus {cores}, memory_gb {memory:.1f}" for cores, memory in sorted(set(rooms), reverse=True)[:5])
    taken = f"cpus {cpus}" + (f", memory_gb {memory_gb:g}" if memory_gb else "")
    raise Refusal(
        f"resources: a trial takes {taken}, expected what a node has ({there or 'no node has any'}); "
        "without resources.cpus it takes `threads` of params.yaml"
    )


def _nodes() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) > 0]


def _check_packages() -> None:
    text = "".join(Path(file).read_text() for file in PINNED)
    names = sorted(set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE)))
    here, look = _versions(names), ray.remote(num_cpus=0)(_versions)
    asked = {
        node["NodeManagerHostname"] + " " + node["NodeManagerAddress"]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(names)
        for node in _nodes()
    }
    for node, answer in asked.items():
        try:
            there = ray.get(answer, timeout=NODE_ANSWER_S)
        except ray.exceptions.RayError as error:
            raise Refusal(f"node {node} does not answer: {_in_a_line(error)}") from error
        differ = [
            f"{name} {there.get(name, 'none')} instead of {expected}"
            for name, expected in here.items()
            if there.get(name) != expected
        ]
        if differ:
            more = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
            raise Refusal(f"node {node} has {', '.join(differ[:5])}{more}: install the requirements there")


def _versions(names: list[str]) -> dict[str, str]:
    """The version here of each package, as far as it is installed, and of Python."""
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
