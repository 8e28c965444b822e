"""Which images are held out for validation, and how often the others are trained on."""

import numpy as np
from sklearn.model_selection import train_test_split

from digits.command import Refusal
from digits.dataset import Source
from digits.parameters import Validation


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
    key = f"params.yaml: prepare.validation.size is {validation.size}"
    size = validation.size if isinstance(validation.size, int) else round(validation.size * len(labels))
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


def split_by_content(hashes: np.ndarray, validation: Validation) -> np.ndarray:
    """Choose the validation examples of a dataset that grows: each by its own content, whatever the others are.

    Args:
        hashes: uint64 of shape (n,), of the images.
        validation: its size, a share.

    Returns:
        bool of shape (n,), true where an example is held out.

    Raises:
        Refusal: the size is a count, which cannot be kept while images come and go, or nothing is left to train on.
    """
    key = f"params.yaml: prepare.validation.size is {validation.size}"
    if validation.size and isinstance(validation.size, int):
        raise Refusal(f"{key}, expected a share: images of a folder are held out by the content of each")
    chosen = hashes / 2.0**64 < validation.size
    if chosen.all():
        raise Refusal(f"{key}, which holds out all {len(hashes):,} training images of a folder; add images")
    return chosen


def hold_out(labels: np.ndarray, hashes: np.ndarray, sources: list[Source], validation: Validation) -> np.ndarray:
    """Choose the validation examples, of each source as if it were alone.

    Args:
        labels: shape (n,), integer classes of the training images.
        hashes: uint64 of shape (n,), of the images.
        sources: of runs of them, in order.
        validation: how many, and which.

    Returns:
        bool of shape (n,), true where an example is held out.
    """
    ends = np.cumsum([source.train for source in sources])[:-1]
    parts = zip(sources, np.split(labels, ends), np.split(hashes, ends), strict=True)
    return np.concatenate([
        split_by_content(some_hashes, validation) if source.by_content else split(some_labels, validation)
        for source, some_labels, some_hashes in parts
    ])  # fmt: skip


def rows_to_train_on(held_out: np.ndarray, sources: list[Source]) -> np.ndarray:
    """The training examples' places, ascending, but those of a source that is repeated as often one after the other."""
    ends = np.cumsum([source.train for source in sources])
    kept = np.split(np.flatnonzero(~held_out), np.searchsorted(np.flatnonzero(~held_out), ends[:-1]))
    return np.concatenate([np.tile(rows, source.repeat) for source, rows in zip(sources, kept, strict=True)])
