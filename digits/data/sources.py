"""What a dataset is made of: its sources, joined and corrected, and which images are held out for validation."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from digits.data import corrections
from digits.data.corrections import Corrected, Correction
from digits.data.identity import draw
from digits.data.raw import FETCHED, GATHERED, Raw, Split, read_raw
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.parameters import Embedded, Folder, Idx, Join, Parameters, Validation

MOST_NAMED = 5


@dataclass(frozen=True)
class Source:
    """A dataset, alone or one of those that are joined."""

    name: str
    raw: Raw
    held_out: np.ndarray
    """bool of shape (n,), which of its training images are for validation."""
    repeat: int
    """How many times the others are taken in an epoch."""
    corrections: list[Correction] = field(default_factory=list)
    """Of its images; some may be of images that it does not have."""

    @cached_property
    def train(self) -> Corrected:
        """The labels of its training images; a Refusal where the corrections do not fit them, as for `test`."""
        return corrections.apply(self.corrections, self.raw.train, self.raw.description.task.classes)

    @cached_property
    def test(self) -> Corrected:
        """The labels of its test images."""
        return corrections.apply(self.corrections, self.raw.test, self.raw.description.task.classes)

    def rows_to_train_on(self) -> np.ndarray:
        """Their places, ascending, as often one after the other as they are repeated."""
        return np.tile(np.flatnonzero(~self.held_out & self.train.kept), self.repeat)

    def rows_to_validate_with(self) -> np.ndarray:
        """Their places, ascending."""
        return np.flatnonzero(self.held_out & self.train.kept)

    def rows_to_test_on(self, left_out: bool = False) -> np.ndarray:
        """Their places, ascending, or those of the images that are left out."""
        return np.flatnonzero(self.test.kept != left_out)

    def delivered(self, split: str) -> Split:
        """The images that a split is taken from."""
        return self.raw.test if split == "test" else self.raw.train

    def corrected(self, split: str) -> Corrected:
        """Their labels with the corrections."""
        return self.test if split == "test" else self.train


def read_sources(parameters: Parameters) -> list[Source]:
    """What the chosen dataset is made of, with the labels of the first one's classes, and what is held out of it.

    Raises:
        Refusal: they do not go together, or with the corrections, or no image is left to train on, or to test on.
    """
    name = parameters.fetch.dataset
    chosen = parameters.datasets[name]
    repeat = chosen.repeat if isinstance(chosen, Join) else {}
    together = joined(name, {of: read_raw(folder_of(of, source)) for of, source in parameters.sources().items()})
    validation = parameters.prepare.validation
    written = corrections.read_corrections().values()
    sources = []
    for of, raw in together.items():
        times = repeat.get(of, 1)  # what is not trained on validates nothing either
        of_it = [row for row in written if row.dataset == of]
        sources.append(Source(of, raw, hold_out(raw, validation) & (times > 0), times, of_it))
    for split, counts in (
        ("training", [len(source.rows_to_train_on()) for source in sources]),
        ("test", [len(source.rows_to_test_on()) for source in sources]),
    ):
        if not sum(counts):
            raise Refusal(f"{name} has no {split} images; add images")
    task = sources[0].raw.description.task
    untaught = classes_without([source.train.labels[source.rows_to_train_on()] for source in sources], task)
    if untaught:
        raise Refusal(f"{name} has no image to train on of {untaught}; add images")
    return sources


def classes_without(labels: list[np.ndarray], task: Task) -> str:
    """The classes that none of these labels are of, as they are told; nothing where there are none."""
    counts = np.bincount(np.concatenate(labels), minlength=len(task.classes))
    missing = [repr(known) for known, found in zip(task.classes, counts, strict=True) if not found]
    return ", ".join(missing[:MOST_NAMED]) + (f" and {len(missing) - MOST_NAMED} more" * (len(missing) > MOST_NAMED))


def folder_of(name: str, dataset: Idx | Embedded | Folder) -> Path:
    """Where a dataset lies in data/raw/."""
    return (GATHERED if isinstance(dataset, Folder) else FETCHED) / name


def joined(name: str, raws: dict[str, Raw]) -> dict[str, Raw]:
    """The same datasets with the labels of the first one's classes.

    A folder may lack some of the classes, as a person's first images do.

    Raises:
        Refusal: they differ in their images' size or channels, or one has a class that the first does not have.
    """
    (first, of_first), *others = raws.items()
    task = of_first.description.task
    together = {first: of_first}
    for other, raw in others:
        sizes = [_told(of.train.images.shape) for of in (of_first, raw)]
        if sizes[0] != sizes[1]:
            raise Refusal(f"datasets.{name}: the images of {first} are {sizes[0]}, those of {other} {sizes[1]}")
        theirs = raw.description.task.classes
        unknown = [known for known in theirs if known not in task.classes]
        missing = [] if raw.description.by_content else [known for known in task.classes if known not in theirs]
        for which, whose, whose_not in ((unknown, other, first), (missing, first, other)):
            if which:
                named = ", ".join(map(repr, which[:MOST_NAMED])) + (", ..." if len(which) > MOST_NAMED else "")
                raise Refusal(f"datasets.{name}: {whose} has the classes {named}, {whose_not} does not")
        places = np.array([task.classes.index(known) for known in theirs], of_first.train.labels.dtype)
        train, test = (replace(split, labels=places[split.labels]) for split in (raw.train, raw.test))
        together[other] = Raw(replace(raw.description, task=task), train, test)
    return together


def _told(shape: tuple[int, ...]) -> str:
    return f"{shape[1]} x {shape[2]}{' in color' if len(shape) > 3 else ' in grey'}"


def split(labels: np.ndarray, validation: Validation) -> np.ndarray:
    """Choose the validation examples.

    Args:
        labels: shape (n,), integer classes.
        validation: how many, and whether they keep the class proportions, come first or come last; its seed fixes a
            stratified choice, on every machine the same.

    Returns:
        bool of shape (n,), true where an example is held out.

    Raises:
        Refusal: nothing would be left to train on, or too few are asked for to keep the class proportions.
    """
    key = f"params.yaml: prepare.validation.hold_out is {validation.hold_out}"
    size = validation.hold_out if isinstance(validation.hold_out, int) else round(validation.hold_out * len(labels))
    if size >= len(labels):
        raise Refusal(f"{key}, expected less than the {len(labels):,} training images")
    chosen = np.zeros(len(labels), bool)
    if size == 0:
        return chosen
    match validation.take:
        case "first":
            chosen[:size] = True
        case "last":
            chosen[-size:] = True
        case "stratified":
            try:
                _, held_out = train_test_split(
                    np.arange(len(labels)), test_size=size, stratify=labels, random_state=validation.seed
                )
            except ValueError as error:
                raise Refusal(f"{key}, which leaves no stratified split: {error}") from error
            chosen[held_out] = True
    return chosen


def split_by_content(identities: np.ndarray, validation: Validation) -> np.ndarray:
    """Choose the validation examples of a dataset that grows: each by its own identity, whatever the others are.

    Args:
        identities: uint8 of shape (n, 8), of the images, or of the groups that stand on one side together.
        validation: its size, a share.

    Returns:
        bool of shape (n,), true where an example is held out.

    Raises:
        Refusal: the size is a count, which cannot be kept while images come and go, or nothing is left to train on.
    """
    key = f"params.yaml: prepare.validation.hold_out is {validation.hold_out}"
    if validation.hold_out and isinstance(validation.hold_out, int):
        raise Refusal(f"{key}, expected a share: images of a folder are held out by the content of each")
    chosen = draw(identities, "validation") < validation.hold_out
    if len(chosen) and chosen.all():
        raise Refusal(f"{key}, which holds out all {len(chosen):,} training images of a folder; add images")
    return chosen


def hold_out(raw: Raw, validation: Validation) -> np.ndarray:
    """Choose the validation examples among a dataset's training images: bool of shape (n,), true where held out."""
    if raw.description.by_content:
        groups = raw.train.groups
        return split_by_content(raw.train.identities if groups is None else groups, validation)
    return split(raw.train.labels, validation)
