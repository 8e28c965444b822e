"""What a processor may decide of a result: under `instructions: avx2` nothing, under `native` what it likes.

The libraries look at the processor and choose: which instructions to use, so in which order a sum is added up; into how
many parts to cut a matrix product, by the size of the caches. Here stands what keeps them from it, or lets them.
docs/byte-for-byte.md tells which processors agree, and how that was tried.
"""

import functools
import platform
import re
import sys
from pathlib import Path
from typing import Literal

PARAMETERS = Path("params.yaml")

Instructions = Literal["avx2", "native"]
"""What of a processor TensorFlow may compute with."""

NUMERICAL = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # all that NumPy has code for beyond AVX2
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
}
"""For NumPy and SciPy, whatever `instructions` says: what they compute here takes no time, and is data too."""

TENSORFLOW: dict[Instructions, dict[str, str]] = {
    "avx2": {
        # Else TensorFlow uses oneDNN where the processor has AVX512_VNNI, and only there.
        "TF_ENABLE_ONEDNN_OPTS": "1",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        # XLA compiles for the very processor, be it Zen or Haswell, unless that has more than it may use: beyond AVX
        # all of them have. Its matrix products, YNNPACK's, are told to add up in one order, which costs no speed.
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX --xla_cpu_enable_platform_dependent_math=false",
    },
    "native": {"TF_ENABLE_ONEDNN_OPTS": "1"},
}
"""For TensorFlow."""


@functools.cache
def shortcoming() -> str | None:
    """Why this processor cannot give the bytes that `instructions: avx2` means, in a clause; None where it can."""
    machine = platform.machine()
    if (sys.platform, machine) != ("linux", "x86_64"):
        return f"this is {platform.system()} on {machine}, expected Linux on x86_64"
    try:
        missing = {"avx2", "fma"} - processor_flags(Path("/proc/cpuinfo"))
    except OSError as error:
        return f"/proc/cpuinfo cannot be read: {error.strerror}"
    return f"this processor has no {' and no '.join(sorted(map(str.upper, missing)))}" if missing else None


def processor_flags(path: Path) -> set[str]:
    """What Linux says that its processors can do.

    Args:
        path: of /proc/cpuinfo.
    """
    flags = re.search(r"^flags\s*:(.*)$", path.read_text(), re.MULTILINE)
    return set(flags[1].split()) if flags else set()


def is_alike_everywhere(instructions: Instructions) -> bool:
    """Whether these instructions, on this processor, give the bytes that they give on every other."""
    return instructions == "avx2" and not shortcoming()


def settings(instructions: Instructions) -> dict[str, str]:
    """Environment variables for the libraries, to be set before they are imported; none where they mean nothing."""
    return {} if shortcoming() else NUMERICAL | TENSORFLOW[instructions]


def chosen_instructions(path: Path) -> Instructions:
    """What params.yaml chooses, seen at a glance: before TensorFlow is imported, and that is before the file is read.

    `network.compute_reproducibly` compares it with what the file says.
    """
    try:
        content = path.read_bytes()
    except OSError:  # which whoever needs the file tells
        return "avx2"
    return "native" if re.search(rb"^instructions: +(['\"]?)native\1 *(#.*)?\r?$", content, re.MULTILINE) else "avx2"


def remark(instructions: Instructions) -> str | None:
    """What to tell of results that are not the same everywhere; None of those that are."""
    if why := shortcoming():
        return f"The weights will be right, but differ from other machines' in the last bits: {why}."
    if instructions == "native":
        return "instructions: native: the weights will be right, but the same only on processors of this kind."
    return None
