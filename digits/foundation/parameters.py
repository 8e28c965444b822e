"""params.yaml, read once into typed objects that refuse what makes no sense."""

import math
import reprlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from digits.foundation.command import Refusal
from digits.foundation.processor import Instructions
from digits.foundation.yaml import parse_yaml

PATH = Path("params.yaml")
OVERLOOKED = frozenset(["size", "nfiles"])
"""Keys that DVC's run cache leaves out however deep they stand, as they are its own of a file (dvc#10296)."""


class Section(BaseModel):
    """A part of params.yaml: no unknown keys, no values of another type, no changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Seed = Annotated[int, Field(ge=0, lt=2**32)]

MOST_CLASSES = 1000

AUTO: Final = "auto"
Auto = Literal["auto"]
"""Left to what the pictures are, see digits/pictures/automatic.py."""

Framing = Literal["digit", "whole"]
"""How a picture becomes an image: the digit found on it, in MNIST's form, or the whole of it, padded and scaled."""


class Fetch(Section):
    """Which dataset to take."""

    dataset: str


def _named_classes(classes: object) -> object:
    """Ten classes may be given as `10`: they are then called by their numbers."""
    match classes:
        case bool():
            pass
        case int() if 2 <= classes <= MOST_CLASSES:
            return [str(number) for number in range(classes)]
        case [*names] if 2 <= len(names) <= MOST_CLASSES and len(set(map(str, names))) == len(names):
            return names
    raise ValueError(f"{reprlib.repr(classes)} is neither a count nor a list of names, from 2 to {MOST_CLASSES:,}")


def _tellable(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ValueError(f"{name!r} is no name that can be shown, expected letters, digits, signs and spaces")
    return name


Side = Annotated[int, Field(ge=1, le=256)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Idx(Section):
    """A dataset that is published as four IDX files: training images and labels, test images and labels."""

    kind: Literal["idx"]
    mirrors: list[str]
    """Folders or base URLs that hold each file as .gz."""
    copies: list[Literal["keras", "openml"]] = []
    """Where the same images are to be had in another form: MNIST alone."""
    classes: Annotated[list[Annotated[str, AfterValidator(_tellable)]], BeforeValidator(_named_classes)]
    height: Side
    width: Side
    train: int = Field(ge=1, le=100_000_000)
    test: int = Field(ge=1, le=100_000_000)
    framing: Framing
    transposed: bool = False
    """Whether the files hold each image with rows and columns exchanged, as EMNIST's do."""
    first_label: int = Field(default=0, ge=0, le=255)
    """By which the files call the first class: 1 for EMNIST's letters."""
    files: list[str] = Field(min_length=4, max_length=4)
    """Their published names, in that order."""
    sha256: list[Sha256] = Field(min_length=4, max_length=4)
    """Of each file: of the .gz where its name ends so, else of what the .gz holds."""

    @property
    def origin(self) -> list[str]:
        """What its images and labels follow from: the files' SHA-256, and how they are read where that is unusual."""
        transposed = ["transposed"] if self.transposed else []
        return self.sha256 + transposed + ([f"first label {self.first_label}"] if self.first_label else [])

    @model_validator(mode="after")
    def _framed_as_large(self) -> Self:
        _check_framing(self.framing, (self.height, self.width, 1))
        return self


class Embedded(Section):
    """The digits that come with scikit-learn."""

    kind: Literal["embedded"]


class Folder(Section):
    """The images of a person's own, below data/own/images/CLASS/."""

    kind: Literal["folder"]
    framing: Framing | Auto = AUTO
    side: Annotated[int, Field(ge=8, le=256)] | Auto = AUTO
    """Pixels of the images that the pictures are brought to, both ways."""
    color: bool | Auto = AUTO
    test: float = Field(default=0.2, ge=0, lt=1)
    """The share of the images, by their content, that are test images."""
    group: Literal["none", "folder"] = "none"
    """Which images stand on one side of the split together: those of folders of one name below the classes."""
    unreadable: Literal["refuse", "skip"] = "refuse"

    @model_validator(mode="after")
    def _framed_as_large(self) -> Self:
        if self.framing == "digit":
            side = 28 if self.side == AUTO else self.side
            _check_framing(self.framing, (side, side, 3 if self.color is True else 1))
        return self

    def as_in(self, other: "Idx | Embedded") -> "Folder":
        """The same with what is open decided as in another dataset, so that the two can be joined."""
        framing, side = (other.framing, other.height) if isinstance(other, Idx) else ("digit", 28)
        found = {"framing": framing, "side": side, "color": False}
        return self.model_copy(update={name: value for name, value in found.items() if getattr(self, name) == AUTO})


class Join(Section):
    """Several datasets as one."""

    kind: Literal["join"]
    of: list[str] = Field(min_length=2)
    repeat: dict[str, Annotated[int, Field(ge=0, le=1000)]] = {}
    """How many times an entry's training images are taken in an epoch; 0 only tests on it, nothing said means once."""

    @model_validator(mode="after")
    def _of_different_entries(self) -> Self:
        if len(set(self.of)) < len(self.of):
            raise ValueError(f"of names {_first_twice(self.of)!r} twice, expected different datasets")
        for name in self.repeat.keys() - set(self.of):
            raise ValueError(f"repeat names {name!r}, expected one of {', '.join(self.of)}")
        if not any(self.repeat.get(name, 1) for name in self.of):
            raise ValueError("repeat has 0 for each dataset, expected one at least to train on")
        return self


Dataset = Annotated[Idx | Embedded | Folder | Join, Field(discriminator="kind")]


def _first_twice(names: list[str]) -> str:
    return next(name for place, name in enumerate(names) if name in names[:place])


def _check_framing(framing: Framing, shape: tuple[int, int, int]) -> None:
    if framing == "digit" and shape != (28, 28, 1):
        height, width, channels = shape
        raise ValueError(
            f"framing is 'digit' for images of {height} x {width}{' in color' if channels > 1 else ''}, "
            "expected 'whole': a digit is framed in 28 x 28 grey pixels"
        )


def _count_or_share(size: object) -> object:
    match size:
        case bool():
            pass
        case int() if size >= 0:
            return size
        case float() if 0 <= size < 1:
            return size
    raise ValueError(f"{reprlib.repr(size)} is neither a count from 0 up nor a share from 0.0 to below 1.0")


class Validation(Section):
    """How many of the training images are held out, and which."""

    hold_out: Annotated[int | float, BeforeValidator(_count_or_share)]
    """A count, or a share of the training images."""
    take: Literal["stratified", "first", "last"]
    seed: Seed
    """Of a stratified choice."""


class Prepare(Section):
    """What is done to the images before training."""

    validation: Validation


class KerasObject(Section):
    """A Keras class by its name, with the arguments to make it with."""

    name: str
    arguments: dict[str, Any]


def _named(entry: object) -> object:
    """`Flatten` and `{Dense: {units: 10}}`, as they stand in params.yaml, as the fields of a KerasObject."""
    match entry:
        case str(name):
            return {"name": name, "arguments": {}}
        case dict() if len(entry) == 1:
            ((name, arguments),) = entry.items()
            return {"name": name, "arguments": {} if arguments is None else arguments}
    raise ValueError(
        f"{reprlib.repr(entry)} stands where a Keras class by its name, or one name with its arguments, is expected"
    )


def _with_sane_learning_rate(optimizer: KerasObject) -> KerasObject:
    if "learning_rate" not in optimizer.arguments:
        return optimizer  # Keras has one for each
    rate = optimizer.arguments["learning_rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate <= 10:
        raise ValueError(f"learning_rate is {reprlib.repr(rate)}, expected a number above 0 and up to 10")
    return KerasObject(name=optimizer.name, arguments=optimizer.arguments | {"learning_rate": float(rate)})


def _without_size(layer: KerasObject) -> KerasObject:
    for name in OVERLOOKED & layer.arguments.keys():
        raise ValueError(
            f"{layer.name}'s argument {name} has a name that DVC's run cache overlooks: after a change it would bring "
            "back the results from before; expected a layer without it, as Resizing or Conv2DTranspose"
        )
    return layer


Layer = Annotated[KerasObject, BeforeValidator(_named), AfterValidator(_without_size)]
Optimizer = Annotated[KerasObject, BeforeValidator(_named), AfterValidator(_with_sane_learning_rate)]


class OneCycle(Section):
    """A learning rate that rises linearly to the optimizer's own, then falls along half a cosine to near zero."""

    warm_up: float = Field(ge=0, lt=1)
    """The share of all steps that it rises."""


class Network(Section):
    """A network whole: its layers and the recipe that trains it."""

    layers: list[Layer] = Field(min_length=1)
    optimizer: Optimizer
    one_cycle: OneCycle | None = None
    epochs: int = Field(ge=1, le=1000)
    least_steps: int = Field(default=0, ge=0, le=10_000_000)
    """Where the epochs come to fewer steps, as of few images they do, there are as many more as make these."""
    keep: Literal["last", "best"] = "last"
    """Of which epoch the weights are kept: the last one's, or those with the lowest `val_cross_entropy`."""
    patience: int = Field(default=0, ge=0, le=1000)
    """So many epochs in a row without a lower `val_cross_entropy` end the training; 0 ends it after all epochs."""
    batch_size: int = Field(ge=1, le=65_536)
    jit_compile: bool = False

    def epochs_on(self, images: int) -> int:
        """How many epochs it trains on so many images: its own, or what comes to its `least_steps`."""
        return max(self.epochs, math.ceil(self.least_steps / math.ceil(images / self.batch_size)))


class ForOwn(Section):
    """Which network a folder of a person's own images takes, if nobody asks for another."""

    instead_of: str
    take: str


class Plot(Section):
    """How the pictures are drawn."""

    dpi: int = Field(ge=50, le=600)
    mistakes: int = Field(ge=1, le=200)


class Parameters(Section):
    """The whole of params.yaml."""

    seed: Seed
    threads: int = Field(ge=1, le=256)
    instructions: Instructions
    fetch: Fetch
    datasets: dict[str, Dataset]
    """Of which the chosen one is kept, with those that it joins."""
    prepare: Prepare
    network: str
    for_own: ForOwn | None = None
    networks: dict[str, Network]
    """Of which the chosen one is kept, and the one that `for_own` may choose."""
    plot: Plot

    def chosen_network(self) -> str:
        """The name of the network to train: `network`, or what `for_own` has in its place for a folder alone."""
        own, alone = self.for_own, self.datasets[self.fetch.dataset].kind == "folder"
        return own.take if own and alone and self.network == own.instead_of else self.network

    def sources(self) -> dict[str, Idx | Embedded | Folder]:
        """What the chosen dataset is made of, by name: those that it joins, in order, or itself."""
        chosen = self.datasets[self.fetch.dataset]
        names = chosen.of if isinstance(chosen, Join) else [self.fetch.dataset]
        of = {name: found for name in names if not isinstance(found := self.datasets[name], Join)}
        published = next((found for found in of.values() if not isinstance(found, Folder)), None)
        return {
            name: found.as_in(published) if isinstance(found, Folder) and published else found
            for name, found in of.items()
        }

    @model_validator(mode="after")
    def _open_settings_fit(self) -> Self:
        """Where a join decides what a folder leaves open, that is to fit what the folder says."""
        for name, source in self.sources().items():
            if isinstance(source, Folder) and source.framing == "digit":
                side = 28 if source.side == AUTO else source.side
                try:
                    _check_framing(source.framing, (side, side, 3 if source.color is True else 1))
                except ValueError as error:
                    raise ValueError(f"datasets.{name}: {error}, as {self.fetch.dataset} joins them") from error
        return self

    @model_validator(mode="before")
    @classmethod
    def _only_the_chosen(cls, content: Any) -> Any:
        """Check no other entry: in a class, the networks of all stand in one file."""
        match content:
            case {"fetch": {"dataset": str(chosen)}, "datasets": dict(datasets)}:
                kept = {chosen: _entry("fetch.dataset", chosen, "datasets", datasets)}
                match kept[chosen]:
                    case {"kind": "join", "of": list(names)}:
                        kept |= {name: _joined(chosen, name, datasets) for name in names if isinstance(name, str)}
                content = content | {"datasets": kept}
        match content:
            case {"network": str(chosen), "networks": dict(networks)}:
                kept = {chosen: _entry("network", chosen, "networks", networks)}
                match content:
                    case {"for_own": {"instead_of": str(replaced), "take": str(taken)}} if replaced == chosen:
                        kept[taken] = _entry("for_own.take", taken, "networks", networks)
                content = content | {"networks": kept}
        return content


def _entry(key: str, chosen: str, section: str, entries: dict[Any, Any]) -> Any:
    for name in entries:
        if not isinstance(name, str) or not name or set(".[]") & set(name):
            raise ValueError(f"{section}: {name!r} cannot be chosen, expected a name without dots and brackets")
        if name in OVERLOOKED:
            raise ValueError(f"{section}: {name!r} is a name that DVC's run cache overlooks, expected another")
    if chosen not in entries:
        raise ValueError(f"{key}: {chosen!r} is unknown, expected one of {', '.join(entries)}")
    return entries[chosen]


def _joined(join: str, name: str, datasets: dict[Any, Any]) -> Any:
    found = _entry(f"datasets.{join}.of", name, "datasets", datasets)
    if isinstance(found, dict) and found.get("kind") == "join":
        raise ValueError(f"datasets.{join}.of names {name!r}, a join itself, expected the datasets that it joins")
    return found


def read_parameters(path: Path = PATH) -> Parameters:
    """Read and check params.yaml.

    Raises:
        Refusal: the file is missing, is not YAML, or holds what cannot be meant; names the key and the value.
    """
    if not path.is_file():
        raise Refusal(f"{path} is missing; `git checkout {path}` brings it back")
    content = parse_yaml(path.read_bytes(), path)
    if not isinstance(content, dict):
        raise Refusal(
            f"{path} holds {'nothing' if content is None else reprlib.repr(content)}, expected keys with values"
        )
    try:
        return Parameters.model_validate(content)
    except ValidationError as error:
        raise Refusal(f"{path}: {sentence(error)}") from error


def read_networks(path: Path = PATH) -> dict[str, Network]:
    """Every network of params.yaml, whichever is chosen.

    Raises:
        ValidationError: one of them cannot be meant.
    """
    return TypeAdapter(dict[str, Network]).validate_python(parse_yaml(path.read_bytes(), path)["networks"])


def sentence(error: ValidationError) -> str:
    """The first thing wrong: its key, its value, what was expected."""
    first = error.errors()[0]
    where = [*first["loc"]]
    if where[:1] == ["datasets"]:
        del where[2:3]  # the kind, which pydantic counts as a key
    key = ".".join(map(str, where))
    message = first["msg"].removeprefix("Value error, ")
    match first["type"]:
        case "missing" if key == "instructions":  # which an older file does not have
            return "instructions is missing; the line to add is `instructions: avx2`"
        case "missing" if key == "prepare.validation.hold_out":  # which was `size` once
            return f"{key} is missing; a file from before has it as `size`, a name that DVC's run cache overlooks"
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is an unknown key"
        case "value_error":
            return f"{key}: {message}".removeprefix(": ")
        case _:
            return f"{key} is {reprlib.repr(first['input'])}, {message.replace('Input should be', 'expected')}"
