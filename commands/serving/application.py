"""What each page's addresses begin with: its files, its refusals, and the one thread that works."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from digits.foundation.command import Refusal

HERE = Path(__file__).parent
MOST_WAITING = 128  # requests; at 20 ms each, whoever comes after them would wait for seconds
T = TypeVar("T")


class Error(BaseModel):
    """What was wrong, in a sentence."""

    error: str


def application(
    title: str, description: str, folder: Path, incomplete: str, at_hand: AbstractAsyncContextManager[Any] | None = None
) -> FastAPI:
    """An application with a page's files, which refuses in sentences.

    Args:
        title: what the page is.
        description: what it does.
        folder: has page.html, page.js and page.css.
        incomplete: the sentence for a request that lacks what its address needs.
        at_hand: what is entered before the first request, and left after the last one.
    """
    app = FastAPI(
        title=title,
        description=description,
        lifespan=(lambda app: at_hand) if at_hand else None,
        docs_url=None, redoc_url=None,  # they would load their scripts from another host
        responses={status: {"model": Error} for status in (403, 408, 413, 415, 422, 503)},
    )  # fmt: skip
    for path, file in {
        "/": folder / "page.html",
        "/page.js": folder / "page.js",
        "/page.css": folder / "page.css",
        "/base.js": HERE / "base.js",
        "/base.css": HERE / "base.css",
    }.items():
        app.add_api_route(path, _giving(file), include_in_schema=False)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        known = {404: "there is nothing at this address", 405: "this address does not take this method"}
        sentence = known.get(error.status_code, error.detail) if is_phrase(error) else error.detail
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def lacking(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": incomplete}, 422)

    return app


def _giving(file: Path) -> Callable[[], Awaitable[FileResponse]]:
    kind = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}[file.suffix]

    async def give() -> FileResponse:
        return FileResponse(file, media_type=kind)

    return give


def is_phrase(error: HTTPException) -> bool:
    """Whether a refusal says no more than its status, as Starlette's own do."""
    return error.detail == HTTPStatus(error.status_code).phrase


def worker() -> Callable[..., Awaitable[Any]]:
    """One thread for all that takes time or touches the disk: requests wait for it in turn, and not endlessly.

    Gives what runs a function there. A `Refusal` becomes a status, 422 where nothing else is said, and its sentence.
    """
    one = CapacityLimiter(1)

    async def at_work(function: Callable[[], T], missing: int = 422) -> T:
        if one.statistics().tasks_waiting >= MOST_WAITING:
            raise HTTPException(503, f"{MOST_WAITING} requests are waiting already; send it again in a second")
        try:
            return await to_thread.run_sync(function, limiter=one)
        except Refusal as refusal:
            raise HTTPException(missing, str(refusal)) from refusal

    return at_work
