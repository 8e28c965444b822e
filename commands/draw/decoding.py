"""Pictures are decoded by processes that can be ended, so that none of them takes the page from the others."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from multiprocessing import get_context
from typing import Any, NamedTuple

from anyio import to_thread
from starlette.exceptions import HTTPException

from commands.serving.application import MOST_WAITING
from digits.foundation.command import Refusal
from digits.pictures.ink import NoDigit
from digits.pictures.reading import SLOWEST, TooSlow, Worker

SOON = 2  # seconds: a drawing takes a hundredth, a photograph of a phone a third; more where others compute too
MOST_LATE = 16  # pictures that took longer, and wait for each other
WAY = "spawn" if sys.platform == "win32" else "forkserver"  # neither of which copies the page's connections


class Waiting(NamedTuple):
    """A picture that waits for its turn."""

    size: int
    call: Callable[[], Any]
    answer: asyncio.Future[Any]
    is_gone: Callable[[], Awaitable[bool]]
    """Whether nobody waits for it any more."""


class Lane:
    """A process that reads a picture at a time: the smallest file that waits, and each third time the oldest.

    So a drawing waits for one or two photographs, however many came before it, and a photograph not for all drawings.

    Args:
        seconds: that a picture may take.
        most: pictures that may wait.
    """

    def __init__(self, seconds: float, most: int) -> None:
        self._worker, self._seconds, self._most = Worker(WAY), seconds, most
        self._waiting: list[Waiting] = []  # the oldest first
        self._some = asyncio.Semaphore(0)

    async def call(
        self, is_gone: Callable[[], Awaitable[bool]], function: Callable[..., Any], content: bytes, *arguments: object
    ) -> Any:
        """What the function makes of a picture, or raises, as `Worker.call`; HTTPException: too many wait."""
        if len(self._waiting) >= self._most:
            raise HTTPException(503, "too many pictures are waiting already; send it again in a few seconds")
        call = partial(self._worker.call, function, content, *arguments, seconds=self._seconds)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(len(content), call, answer, is_gone))
        self._some.release()
        return await answer

    async def work(self) -> None:
        """Read what waits, until this is cancelled."""
        for turn in count():
            await self._some.acquire()
            sizes = [waiting.size for waiting in self._waiting]
            one = self._waiting.pop(0 if turn % 3 == 2 else sizes.index(min(sizes)))
            try:
                if await one.is_gone():
                    raise HTTPException(408, "nobody waits for the answer")
                result = await to_thread.run_sync(one.call)
            except Exception as error:
                if not one.answer.cancelled():
                    one.answer.set_exception(error)
            else:
                if not one.answer.cancelled():
                    one.answer.set_result(result)

    def end(self) -> None:
        """End the process, whatever it reads."""
        self._worker.end()


class Decoding:
    """Two processes: one for all pictures in turn, and one for those that it has not read within SOON."""

    def __init__(self) -> None:
        get_context(WAY).set_forkserver_preload(["commands.draw.drawings", "digits.pictures.reading"])
        self._lanes = Lane(SOON, MOST_WAITING), Lane(SLOWEST, MOST_LATE)

    async def __aenter__(self) -> None:
        self._work = [asyncio.create_task(lane.work()) for lane in self._lanes]

    async def __aexit__(self, *_: object) -> None:
        for task, lane in zip(self._work, self._lanes, strict=True):
            task.cancel()
            lane.end()

    async def call(
        self, is_gone: Callable[[], Awaitable[bool]], function: Callable[..., Any], content: bytes, *arguments: object
    ) -> Any:
        """What the function makes of a picture, called there.

        Args:
            is_gone: asked before: what nobody waits for any more is not read.
            function: takes the picture, and the arguments.
            content: of the picture's file.
            arguments: as well.

        Raises:
            NoDigit: as the function does.
            HTTPException: it refuses the picture, takes too long, or too many are waiting.
        """
        for lane in self._lanes:
            try:
                return await lane.call(is_gone, function, content, *arguments)
            except NoDigit:
                raise
            except TooSlow as refusal:
                too_slow = refusal
            except Refusal as refusal:
                raise HTTPException(422, f"the picture {refusal}") from refusal
        raise HTTPException(422, f"the picture {too_slow}") from too_slow
