"""The sizes of the processor's caches, as TensorFlow believes them: the same on every processor.

By them oneDNN, TensorFlow's kernels for it and Eigen decide how many threads share a matrix product and where its sums
are cut: with 105 rows of 576 numbers the last bits are others where the second-level cache has 256 KiB than where it
has 512. No setting says the sizes, so they are written where the libraries keep them.
"""

import ctypes
import mmap
import os
import struct
from pathlib import Path

import numpy as np

SIZES = (32 * 1024, 512 * 1024, 2 * 1024**2)  # bytes of the first, second and third level, for Eigen

# The names in TensorFlow's library, as C++ spells them.
# libtensorflow_framework has sizes of Eigen's too, but no matrix products.
EIGEN = "_ZZN5Eigen8internal20manage_caching_sizesENS_6ActionEPlS2_S2_E12m_cacheSizes"
EIGEN_IS_SET = "_ZGVZN5Eigen8internal20manage_caching_sizesENS_6ActionEPlS2_S2_E12m_cacheSizes"
KERNELS = "_ZN10tensorflowL11cache_sizesE"  # several, one for each file of kernels
ONEDNN = "_ZZN4dnnl4impl3cpu3x643cpuEvE4cpu_"
ONEDNN_LEVELS = (
    0x6C  # bytes from its beginning to the number of cache levels, without which oneDNN goes by what is usual
)
ONEDNN_SIZE = "_ZN4dnnl4impl3cpu8platform23get_per_core_cache_sizeEi"
ONEDNN_USUAL = (32 * 1024, 512 * 1024, 1024 * 1024)

SYMBOL = np.dtype([("name", "<u4"), ("kind", "<u2"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")])
SYMBOL_TABLE = 2  # a section's type


class UnknownLibraryError(Exception):
    """TensorFlow's library is another than the one that requirements.txt pins; says what is missing."""


def fix_cache_sizes(library: Path) -> None:
    """Let TensorFlow take the caches for as large as SIZES says. To be called before it computes.

    Args:
        library: the path of libtensorflow_cc.so.2, which this process has loaded.

    Raises:
        UnknownLibraryError: it does not hold what it should.
    """
    try:
        places = symbols(library, [EIGEN, EIGEN_IS_SET, KERNELS, ONEDNN, ONEDNN_SIZE])
    except (OSError, ValueError, struct.error) as error:
        raise UnknownLibraryError(f"{library} cannot be read: {error}") from error
    base = loaded_at(library)
    for place in places[EIGEN] + places[KERNELS]:
        (ctypes.c_ssize_t * 3).from_address(base + place)[:] = list(SIZES)
    ctypes.c_uint8.from_address(base + places[EIGEN_IS_SET][0]).value = 1

    cache_size = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int)(base + places[ONEDNN_SIZE][0])
    cache_size(1)  # which lets oneDNN look at the processor now, if it has not yet
    ctypes.c_uint32.from_address(base + places[ONEDNN][0] + ONEDNN_LEVELS).value = 0
    if tuple(map(cache_size, (1, 2, 3))) != ONEDNN_USUAL:
        raise UnknownLibraryError(f"{library} keeps the caches' sizes elsewhere")


def symbols(library: Path, names: list[str]) -> dict[str, list[int]]:
    """Where the symbols of these names stand in a 64-bit ELF library, those that it does not export included.

    Raises:
        UnknownLibraryError: one of them is missing.
    """
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        (headers,) = struct.unpack_from("<Q", content, 0x28)
        size, count = struct.unpack_from("<HH", content, 0x3A)
        sections = [struct.unpack_from("<IIQQQQI", content, headers + number * size) for number in range(count)]
        found: dict[str, list[int]] = {}
        for _, kind, _, _, offset, length, linked in sections:
            if kind != SYMBOL_TABLE:
                continue
            begin = sections[linked][4]
            end = begin + sections[linked][5]
            table = np.frombuffer(content, SYMBOL, length // SYMBOL.itemsize, offset)
            for name in names:
                spelled, at = b"\0" + name.encode() + b"\0", begin
                found[name] = []
                while (at := content.find(spelled, at, end) + 1) > 0:
                    found[name] += table["value"][table["name"] == at - begin].tolist()
            del table  # which holds the mapping
    for name in names:
        if not found.get(name):
            raise UnknownLibraryError(f"{library} has no symbol {name}")
    return found


def loaded_at(library: Path) -> int:
    """The address at which this process has the library.

    Raises:
        UnknownLibraryError: it has not loaded it.
    """
    for line in Path("/proc/self/maps").read_text().splitlines():
        address, _, offset, _, _, *path = line.split(maxsplit=5)
        if path and int(offset, 16) == 0 and os.path.realpath(path[0]) == os.path.realpath(library):
            return int(address.split("-")[0], 16)
    raise UnknownLibraryError(f"{library} is not loaded")
