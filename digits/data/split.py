"""Which images are held out for validation."""

import numpy as np
from sklearn.model_selection import train_test_split

from digits.data.identity import draw
from digits.data.raw import Raw
from digits.foundation.command import Refusal
from digits.foundation.parameters import Validation


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
