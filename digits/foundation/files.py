"""Files that are whole: a name never stands for half of what was to be written, nor is half of it ever read."""

import json
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from digits.foundation.command import Refusal

T = TypeVar("T")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to that takes the place of `path` once the block has ended well.

    Raises:
        Refusal: the disk is full, read-only or otherwise unwilling. `path` is then what it was before.
    """
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise Refusal(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, numbers: Mapping[str, object]) -> None:
    """Write numbers as JSON, a line each, in the order given."""
    write_bytes(path, (json.dumps(numbers, indent=2) + "\n").encode())


def read_json(path: Path, kind: type[T]) -> T:
    """Read a dataclass from the JSON that `dataclasses.asdict` makes of it.

    Raises:
        Refusal: the file is no JSON of it.
    """
    content = path.read_bytes()
    if not content.endswith(b"}\n"):
        raise Refusal(f"{path} is no whole {kind.__name__.lower()}: it ends too early; `dvc repro` makes it anew")
    try:
        return TypeAdapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refusal(
            f"{path} is no whole {kind.__name__.lower()}: {'.'.join(map(str, first['loc']))} {first['msg']}; "
            "`dvc repro` makes it anew"
        ) from error


def read_array(path: Path) -> np.ndarray:
    """Map a .npy file into memory: it is read as it is used, and changes to the array do not reach it.

    Raises:
        Refusal: the file is no such array, or is not as long as its header says.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="c")
    except OSError:
        raise
    except Exception as error:  # NumPy's header parser raises what it meets: SyntaxError, ValueError, EOFError, ...
        raise Refusal(f"{path} is no .npy array that can be read: {str(error).splitlines()[0]}") from error
    size, expected = path.stat().st_size, array.offset + array.nbytes
    if size != expected:
        raise Refusal(f"{path} has {size:,} bytes, its header asks for {expected:,}")
    return array


def release(array: np.ndarray) -> None:
    """Give back the memory into which a mapped file was read; what is used again is read again."""
    owner: object = array.base  # which NumPy's types take for an array
    if isinstance(owner, mmap.mmap) and hasattr(owner, "madvise"):  # Windows has none
        owner.madvise(mmap.MADV_DONTNEED)
