"""Pictures are decoded by processes that can be ended, so that none of them takes the page from the others."""

import sys
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException

from commands.serving.application import MOST_WAITING
from digits.foundation.command import Refusal
from digits.pictures.ink import NoDigit
from digits.pictures.reading import SLOWEST, TooSlow, Worker

SOON = 2  # seconds: a drawing takes a hundredth, a photograph of a phone a third; more where others compute too
MOST_LATE = 16  # pictures that took longer, and wait for each other
WAY = "spawn" if sys.platform == "win32" else "forkserver"  # neither of which copies the page's connections


class Decoding:
    """Two processes: one for all pictures in turn, and one for those that it has not read within SOON."""

    def __init__(self) -> None:
        get_context(WAY).set_forkserver_preload(["commands.draw.drawings", "digits.pictures.reading"])
        self._lanes = [(Worker(WAY), CapacityLimiter(1), SOON, MOST_WAITING)]
        self._lanes += [(Worker(WAY), CapacityLimiter(1), SLOWEST, MOST_LATE)]

    async def call(self, function: Callable[..., Any], *arguments: object) -> Any:
        """What the function makes of a picture, called there.

        Raises:
            NoDigit: as the function does.
            HTTPException: it refuses the picture, takes too long, or too many are waiting.
        """
        for worker, limiter, seconds, most in self._lanes:
            if limiter.statistics().tasks_waiting >= most:
                raise HTTPException(503, "too many pictures are waiting already; send it again in a few seconds")
            try:
                return await to_thread.run_sync(
                    partial(worker.call, function, *arguments, seconds=seconds), limiter=limiter
                )
            except NoDigit:
                raise
            except TooSlow as refusal:
                too_slow = refusal
            except Refusal as refusal:
                raise HTTPException(422, f"the picture {refusal}") from refusal
        raise HTTPException(422, f"the picture {too_slow}") from too_slow
