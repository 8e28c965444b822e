"""Gather a person's own images from data/own/images/CLASS/, where the chosen dataset holds them, to data/raw/gathered/.

Takes data/own/ and the entry of `datasets` that fetch.dataset names, with those that it joins.
Gives data/raw/gathered/, a folder a dataset in the form of digits/data/raw.py; an empty one where the chosen dataset
has nothing of a person's own, so that whatever happens in data/own/ changes nothing.
"""

from digits.data.raw import GATHERED, OWN, Loaded, keep_only, write_raw
from digits.foundation.parameters import Folder, read_parameters
from stages import inputs, run


def load(folder: Folder, alone: bool) -> Loaded:
    """The images, by what decodes pictures, which takes its time to be imported."""
    from digits.pictures.folder import gather

    return gather(OWN, folder, alone=alone)


def main() -> None:
    parameters = read_parameters()
    wanted = {name: of for name, of in parameters.sources().items() if isinstance(of, Folder)}
    if not wanted:
        print(f"{parameters.fetch.dataset} takes nothing from {OWN.parent}: there is nothing to gather")
    elif inputs:
        inputs.take_down(OWN.parent)
    for name, folder in wanted.items():
        write_raw(GATHERED / name, load(folder, alone=name == parameters.fetch.dataset))
    keep_only(GATHERED, wanted)


if __name__ == "__main__":
    run(main)
