"""The page's addresses: what is asked for, and what comes back."""

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import BaseModel

from commands.review.decisions import Review, View
from commands.serving import application as serving

HERE = Path(__file__).parent


class About(BaseModel):
    """What is reviewed."""

    classes: list[str]
    framing: str
    """`digit` where images are ink, `whole` where they are light."""
    doubtful: int
    commands: list[str]
    """What to type when labels are corrected."""


class Decision(BaseModel):
    """What an image is."""

    dataset: str
    image: str
    label: str
    """Its class, or nothing to leave it out."""


def application(review: Review, commands: list[str]) -> FastAPI:
    """The application that shows these labels, and writes down what is decided of them.

    Args:
        review: the doubtful labels.
        commands: what to type when some are corrected.
    """
    app = serving.application(
        "Doubtful labels",
        "Shows the labels that are least believed, and writes into data/corrections.csv what they are.",
        HERE,
        "the request lacks what this address needs; /openapi.json says what that is",
    )
    at_work = serving.worker()

    @app.get("/about")
    async def about() -> About:
        """What is reviewed."""
        return About(classes=review.classes, framing=review.framing, doubtful=len(review), commands=commands)

    @app.get("/view")
    async def view(start: Annotated[int, Query(alias="from")] = 0) -> View:
        """The first doubtful label from a position on that nobody has decided on."""
        return await at_work(lambda: review.view(start))

    @app.post("/decide")
    async def decide(decision: Decision) -> View:
        """Write down what an image is, and show the next."""
        return await at_work(lambda: review.decide(decision.dataset, decision.image, decision.label))

    @app.post("/undo")
    async def undo() -> View:
        """Take the last decision back, and show its image again."""
        return await at_work(review.undo)

    return app
