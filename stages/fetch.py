"""Bring the published datasets that the chosen one is made of to data/raw/fetched/.

Takes fetch.dataset and the entry of `datasets` that it names, with those that it joins. Published files come from the
first source that delivers their very bytes; what is there already, and right, stays and is asked for nowhere.
Gives data/raw/fetched/, a folder a dataset in the form of digits/data/raw.py; an empty one where all is a person's own.
"""

from pathlib import Path

import numpy as np

from digits.data.identity import of_pixels
from digits.data.raw import FETCHED, Loaded, keep_only, read_description, write_raw
from digits.data.task import Task
from digits.foundation.command import Refusal
from digits.foundation.parameters import Embedded, Folder, Idx, read_parameters
from stages import run


def load(name: str, dataset: Idx | Embedded) -> Loaded:
    """The dataset, by its kind.

    Raises:
        NoSource: it is published and nobody delivers it.
        Refusal: what is delivered has another shape than params.yaml says.
    """
    if isinstance(dataset, Embedded):
        from digits.published.embedded import embedded_digits  # which takes scikit-learn

        return embedded_digits()
    from digits.published.sources import fetch_published

    images, labels, test_images, test_labels = fetch_published(name, dataset)
    return Loaded(
        Task(dataset.classes, dataset.framing),
        np.concatenate([images, test_images])[..., None],
        np.concatenate([labels, test_labels]),
        np.concatenate([of_pixels(images), of_pixels(test_images)]),
        np.arange(len(images) + len(test_images)) >= len(images),
        published=dataset.origin,
    )


def is_there(folder: Path, dataset: Idx | Embedded) -> bool:
    """Whether a published dataset lies in its folder whole, as params.yaml has it."""
    try:
        description = read_description(folder)
    except (Refusal, OSError):
        return False
    return isinstance(dataset, Idx) and (description.published, description.task) == (
        dataset.origin, Task(dataset.classes, dataset.framing)
    )  # fmt: skip


def main() -> None:
    parameters = read_parameters()
    wanted = {name: of for name, of in parameters.sources().items() if not isinstance(of, Folder)}
    if not wanted:
        print(f"{parameters.fetch.dataset} is a person's own: there is nothing to fetch")
    for name, dataset in wanted.items():
        if is_there(FETCHED / name, dataset):
            print(f"{name} is there already")
        else:
            write_raw(FETCHED / name, load(name, dataset))
    keep_only(FETCHED, wanted)


if __name__ == "__main__":
    run(main)
