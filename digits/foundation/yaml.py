"""YAML as DVC reads it: version 1.2, where `010` is ten, `1e-3` a number and `no` a word."""

import copy
import functools
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from digits.foundation.command import Refusal


def parse_yaml(content: bytes, path: Path) -> Any:
    """The content of a YAML file as dictionaries, lists, strings, numbers, bools and None.

    Args:
        content: of the file.
        path: of the file, for what is said of a mistake.

    Raises:
        Refusal: it is not YAML.
    """
    try:
        return copy.deepcopy(_parsed(content))
    except Exception as error:  # the parser raises what it meets too: !!bool x is a KeyError, !!int "" an IndexError
        raise Refusal(f"{path} is not YAML: {' '.join(str(error).split())}") from error


@functools.lru_cache(maxsize=4)  # a stage looks at params.yaml when it begins, when it reads it, and when it ends
def _parsed(content: bytes) -> Any:
    return YAML(typ="safe").load(content.decode())
