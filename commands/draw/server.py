"""The page's addresses: what is asked for, and what comes back."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from commands.draw import drawings
from commands.draw.drawings import Kept
from commands.draw.reader import Reader
from digits.foundation.command import Refusal

HERE = Path(__file__).parent
MOST_WAITING = 128  # pictures; at 20 ms each, whoever comes after them would wait for seconds
MOST_SHOWN = 12  # of the drawings that are kept
T = TypeVar("T")


class Answer(BaseModel):
    """What the network says of a picture, with the fields of `commands.predict --json`, or `error` for no digit."""

    path: str
    label: str | None = Field(None, alias="class")
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    error: str | None = None
    says: str
    """The answer in words: `7`, `7, or perhaps 1`, `I see no digit`."""
    seen: str | None = None
    """What the network saw: a data URL of a PNG."""


class Drawing(BaseModel):
    """A drawing that is kept in data/own/images/CLASS/."""

    label: str = Field(alias="class")
    name: str


class Collection(BaseModel):
    """How many pictures each class has, and the drawings that were kept last, newest first."""

    counts: dict[str, int]
    last: list[Drawing]


class Health(BaseModel):
    """Which network answers."""

    network: str | None
    """Its name in params.yaml where dvc.lock knows the file, or that of the file that `--model` names."""
    dataset: str | None
    accuracy: float | None
    """On the test images."""
    classes: list[str]
    framing: str
    assumed: str
    """What had to be of a network that was trained elsewhere, or nothing."""
    trouble: str
    """Why the network is not the one that is in the file now, or nothing."""


class Error(BaseModel):
    """What was wrong, in a sentence."""

    error: str


PICTURE = {
    "requestBody": {
        "required": True,
        "description": "The bytes of a PNG, JPEG, GIF, WebP, BMP or TIFF, up to 8 MB.",
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Label = Annotated[str, Query(alias="class", description="The class's name, one of those that the network knows.")]


def application(reader: Reader) -> FastAPI:
    """The application that answers with this network."""
    app = FastAPI(
        title="A page to draw on",
        description="Reads drawn and photographed digits, and keeps them as data.",
        docs_url=None, redoc_url=None,  # they would load their scripts from another host
        responses={status: {"model": Error} for status in (403, 408, 413, 415, 422, 503)},
    )  # fmt: skip
    at_work = worker()

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(HERE / "page.html")

    @app.get("/page.js", include_in_schema=False)
    async def script() -> FileResponse:
        return FileResponse(HERE / "page.js", media_type="text/javascript")

    @app.get("/page.css", include_in_schema=False)
    async def style() -> FileResponse:
        return FileResponse(HERE / "page.css")

    @app.post("/predict", openapi_extra=PICTURE, response_model_exclude_none=True)
    async def predict(request: Request) -> Answer:
        """Read a picture."""
        content = await picture(request)
        return Answer.model_validate(await at_work(lambda: reader.read(content)))

    @app.post("/keep", openapi_extra=PICTURE, status_code=201)
    async def keep(request: Request, label: Label) -> Drawing:
        """Keep a picture under its class, as a PNG in data/own/images/CLASS/."""
        content = await picture(request)

        def kept() -> Kept:
            drawings.check_label(label, reader.classes)
            png = drawings.as_png(content)
            told = reader.read(png)
            if "error" in told:
                raise Refusal(f"{told['error']}, so it is not kept")
            return drawings.keep(png, label, reader.classes)

        return drawing(await at_work(kept))

    @app.get("/kept")
    async def kept() -> Collection:
        """What is kept."""
        counts, last = await at_work(lambda: drawings.survey(reader.classes, MOST_SHOWN))
        return Collection(counts=counts, last=[drawing(kept) for kept in last])

    @app.get("/kept/{label}/{name}", response_class=Response, responses={200: {"content": {"image/png": {}}}})
    async def kept_drawing(label: str, name: str) -> Response:
        """A kept drawing."""
        return Response(await at_work(lambda: drawings.read(Kept(label, name)), missing=404), media_type="image/png")

    @app.delete("/kept/{label}/{name}", status_code=204)
    async def take_back(label: str, name: str) -> None:
        """Delete a kept drawing."""
        await at_work(lambda: drawings.take_back(Kept(label, name)), missing=404)

    @app.get("/health")
    async def health() -> Health:
        """Which network answers."""
        return Health.model_validate(await at_work(reader.about))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        known = {404: "there is nothing at this address", 405: "this address does not take this method"}
        sentence = known.get(error.status_code, error.detail) if is_phrase(error) else error.detail
        return JSONResponse({"error": sentence}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def incomplete(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"error": "the query lacks class=, which says under which class to keep the picture"}, 422)

    return app


def is_phrase(error: HTTPException) -> bool:
    """Whether a refusal says no more than its status, as Starlette's own do."""
    return error.detail == HTTPStatus(error.status_code).phrase


def drawing(kept: Kept) -> Drawing:
    return Drawing.model_validate({"class": kept.label, "name": kept.name})


async def picture(request: Request) -> bytes:
    """A request's body.

    Raises:
        HTTPException: it is of a type that is no picture's. A form of another site can send no other types.
    """
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind != "application/octet-stream":
        raise HTTPException(415, "the Content-Type is not an image's, expected image/png or another image/*")
    return await request.body()


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
