"""The page's addresses: what is asked for, and what comes back."""

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from commands.draw import drawings
from commands.draw.decoding import Decoding
from commands.draw.drawings import Kept
from commands.draw.reader import Reader, without_digit
from commands.serving import application as serving
from digits.pictures.framing import read_picture
from digits.pictures.ink import NoDigit

HERE = Path(__file__).parent
MOST_SHOWN = 12  # of the drawings that are kept


class Digit(BaseModel):
    """One of several digits on a picture."""

    label: str = Field(alias="class")
    confidence: float
    probabilities: dict[str, float]
    line: int
    box: tuple[float, float, float, float]
    """Left, top, right and bottom, as shares of the picture's width and height."""


class Answer(BaseModel):
    """What the network says of a picture, with the fields of `commands.predict --json`, or `error` for no digit.

    Of several digits those of `--several --json`.
    """

    path: str
    text: str | None = None
    digits: list[Digit] | None = None
    label: str | None = Field(None, alias="class")
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    error: str | None = None
    says: str
    """The answer in words: `7`, `7, or perhaps 1`, `I see no digit`, `1250`."""
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
    at_work, decoding = serving.worker(), Decoding()
    app = serving.application(
        "A page to draw on",
        "Reads drawn and photographed digits, and keeps them as data.",
        HERE,
        "the query lacks class=, which says under which class to keep the picture",
        decoding,
    )

    async def read(request: Request, content: bytes) -> dict[str, object]:
        network = await at_work(reader.network)
        try:
            readings = await decoding.call(request.is_disconnected, read_picture, content, network.task, network.shape)
        except NoDigit as refusal:
            return without_digit(refusal)
        return await at_work(lambda: network.answer(readings))

    @app.post("/predict", openapi_extra=PICTURE, response_model_exclude_none=True)
    async def predict(request: Request) -> Answer:
        """Read a picture."""
        return Answer.model_validate(await read(request, await picture(request)))

    @app.post("/keep", openapi_extra=PICTURE, status_code=201)
    async def keep(request: Request, label: Label) -> Drawing:
        """Keep a picture under its class, as a PNG in data/own/images/CLASS/."""
        content = await picture(request)
        await at_work(lambda: drawings.check_label(label, reader.classes))
        png = await decoding.call(request.is_disconnected, drawings.as_png, content)
        told = await read(request, png)
        if "error" in told:
            raise HTTPException(422, f"{told['error']}, so it is not kept")
        if "text" in told:
            said = f"the picture shows several digits, {told['text']}, so it is not kept; expected one"
            raise HTTPException(422, said)
        return drawing(await at_work(lambda: drawings.keep(png, label, reader.classes)))

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

    return app


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
