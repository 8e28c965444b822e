"""Downloads that end: within a bound of bytes, and soon where a source is silent or slow."""

import sys
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import TypeVar

import pooch

from digits.foundation.command import Refusal

PATIENCE = 5.0  # seconds a source may go without sending SLOWEST bytes a second; four silent ones make 20 s
SLOWEST = 5_000

T = TypeVar("T")


class Received:
    """What a source has sent so far, to be written to as to a file; refuses to grow beyond a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.content = bytearray()

    def write(self, chunk: bytes) -> None:
        """Take in what was sent.

        Raises:
            Refusal: it is more than the limit.
        """
        if len(self.content) + len(chunk) > self.limit:
            raise Refusal(f"sends more than {self.limit:,} bytes")
        self.content += chunk

    def flush(self) -> None:
        """Nothing waits to be written."""


def patiently(task: Callable[[], T], received: Received | None = None, patience: float | None = None) -> T:
    """What the task returns or raises, unless it falls silent.

    The task runs in a thread that is left behind when it is given up: no time-out of sockets covers a slow name server,
    headers that never end and a body that drips.

    Args:
        task: what to do.
        received: what it fills; without it, the task has `patience` seconds for the whole.
        patience: seconds.
    """
    patience = patience or PATIENCE
    outcome: Future[T] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(task())
        except Exception as error:
            outcome.set_exception(error)

    Thread(target=attempt, daemon=True).start()
    while True:
        before = len(received.content) if received else 0
        try:
            return outcome.result(timeout=patience)
        except TimeoutError:
            if outcome.done():
                raise
            arrived = len(received.content) - before if received else 0
            if arrived < patience * SLOWEST:
                raise Refusal(f"sent {arrived:,} bytes in {patience:.0f} s") from None


def download(url: str, limit: int) -> bytes:
    """The bytes at an HTTP address, at most `limit` of them."""
    received = Received(limit)
    get = pooch.HTTPDownloader(
        progressbar=sys.stderr.isatty(), timeout=PATIENCE, headers={"Accept-Encoding": "identity"}
    )
    patiently(partial(get, url, received, None), received)
    return bytes(received.content)
