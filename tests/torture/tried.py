"""A repository in which a case of tests/torture/pairs.py is tried, under its eyes."""

import os
import re
import select
import subprocess
import time

import psutil

from tests.conftest import Repository

SILENCE, HANG = 60, 600  # seconds


class FellOut(Exception):
    """What should not have come of a case."""


class Tried:
    """A repository in which a case is tried."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def run(self, *command: str) -> tuple[int, str]:
        """How a command ended and what it printed, which it may not have ended or been silent without."""
        began = heard = time.monotonic()
        said, words = b"", " ".join(command)
        with subprocess.Popen(
            command, cwd=self.repository.path, env=self.repository.warm_environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
        ) as process:  # fmt: skip
            assert process.stdout
            while True:
                if select.select([process.stdout], [], [], 1)[0]:
                    part = os.read(process.stdout.fileno(), 2**16)
                    if not part:
                        break
                    said, heard = said + part, time.monotonic()
                if time.monotonic() - heard > SILENCE or time.monotonic() - began > HANG:
                    process.kill()
                    raise FellOut(f"{words}: silent for {SILENCE} s, or over {HANG} s:\n{said[-2000:]!r}")
        printed = said.decode(errors="replace")
        if "Traceback" in printed:
            raise FellOut(f"{words}:\n{printed[-5000:]}")
        if process.returncode and not sentences(printed):
            raise FellOut(f"{words} ended with {process.returncode} and without a sentence:\n{printed[-3000:]}")
        return process.returncode, printed

    def must(self, *command: str) -> str:
        """What a command printed that cannot fail."""
        code, printed = self.run(*command)
        if code:
            raise FellOut(f"{' '.join(command)}:\n{printed[-3000:]}")
        return printed


def sentences(printed: str) -> list[str]:
    """What was said of why it did not go."""
    return re.findall(r"(?im)^(?:error|ERROR).*", printed)


def left(repository: Repository) -> list[str]:
    """The processes that were begun in a repository and are still there, given some seconds to end."""
    for _ in range(40):
        there = []
        for process in psutil.process_iter(["environ", "cmdline"]):
            if (process.info["environ"] or {}).get("XDG_CACHE_HOME") == str(repository.home / "cache"):
                there.append(" ".join(process.info["cmdline"] or [])[:200])
        if not there:
            return []
        time.sleep(0.5)
    return there
