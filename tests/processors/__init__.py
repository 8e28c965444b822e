"""Other processors than this one, for programs that ask which they run on.

Copies of the libraries, in which the instruction that asks is replaced by one that a signal handler answers as another
processor would: other_cpuid.c has the handler. It works on x86-64 Linux of any maker, at native speed.
"""

import os
import re
import shutil
import struct
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

KIB, MIB = 2**10, 2**20


def _processor(family: int, model: int, l1: int, l2: int, l3: int, *able: str) -> dict[str, str]:
    numbers = {"FAMILY": family, "MODEL": model, "L1": l1, "L2": l2, "L3": l3} | dict.fromkeys(able, 1)
    return {f"CPUID_{name}": str(number) for name, number in numbers.items()}


PROCESSORS = {
    "haswell": _processor(6, 60, 32 * KIB, 256 * KIB, 8 * MIB),
    "skylake": _processor(6, 94, 32 * KIB, 256 * KIB, 6 * MIB),
    "zen": _processor(23, 1, 32 * KIB, 512 * KIB, 8 * MIB, "AMD"),
    "skylake-x": _processor(6, 85, 32 * KIB, 1 * MIB, 35 * MIB, "AVX512"),
    "zen4": _processor(25, 97, 32 * KIB, 1 * MIB, 32 * MIB, "AMD", "AVX512", "VNNI"),
    "sapphire-rapids": _processor(6, 143, 48 * KIB, 2 * MIB, 105 * MIB, "AVX512", "VNNI"),
}
"""By CPUID: families and models, and caches as their makers give them."""

# What asks for the processor, and those of its functions that do, where the library is too large to look everywhere.
LIBRARIES = {
    "tensorflow/libtensorflow_cc.so.2": (
        r"Xbyak4util3Cpu|cpuinfo_x86|x86CPUInfo|SupportedTargets|queryCacheSizes|get_available_features|"
        r"__cpu_indicator_init|3x643amx.*(palette|max_)"
    ),
    "tensorflow/libtensorflow_framework.so.2": (
        r"sys14getHostCPUName|getHostCPUFeatures|getVendorSignature|queryCacheSizes|port.*CPUID"
    ),
    "numpy/_core/_multiarray_umath*.so": "",
    "numpy.libs/libscipy_openblas*.so": "",
    "scipy.libs/libscipy_openblas*.so": "",
}
INSTRUCTIONS = {"cpuid": (b"\x0f\xa2", b"\x0f\x0b"), "xgetbv": (b"\x0f\x01\xd0", b"\x0f\x0b\xcc")}


PACKAGES, HANDLER = "packages", "other_cpuid.so"


def furnish(folder: Path) -> None:
    """Put into the folder what it takes to run Python as on another processor. Needs gcc and binutils."""
    source = Path(__file__).parent / "other_cpuid.c"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", source, "-o", folder / HANDLER, "-ldl"], check=True)
    installed = Path(sysconfig.get_path("platlib"))
    for package in sorted({Path(library).parts[0] for library in LIBRARIES} | {"scipy"}):
        shutil.copytree(installed / package, folder / PACKAGES / package, copy_function=_link_or_copy)
    for pattern, functions in LIBRARIES.items():
        for library in (folder / PACKAGES).glob(pattern):
            content = bytearray(library.read_bytes())
            for place, instruction in asking(library, content, functions):
                old, new = INSTRUCTIONS[instruction]
                assert content[place : place + len(old)] == old, f"{library} has no {instruction} at {place:#x}"
                content[place : place + len(old)] = new
            library.unlink()  # the other name of the installed file
            library.write_bytes(content)


def environment(folder: Path, name: str) -> dict[str, str]:
    """Variables for a program that is to see that processor; the folder is furnished."""
    return PROCESSORS[name] | {"LD_PRELOAD": str(folder / HANDLER), "PYTHONPATH": str(folder / PACKAGES)}


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def asking(library: Path, content: bytes | bytearray, functions: str) -> Iterator[tuple[int, str]]:
    """Where in the file the instructions stand, by disassembling those of its functions that hold their bytes."""
    named = subprocess.run(["nm", "-S", "--defined-only", library], check=True, capture_output=True)
    some = subprocess.run(["grep", "-E", functions], input=named.stdout, check=False, capture_output=True).stdout
    found = set(re.findall(r"^(\w+) (\w+) [tTwWiu] ", some.decode(), re.MULTILINE))
    assert found, f"{library} has none of the functions {functions}"
    segments = list(loaded(content))
    with tempfile.NamedTemporaryFile() as function:
        for address, size in sorted((int(address, 16), int(size, 16)) for address, size in found):
            offset, begin = next((at, begin) for at, begin, length in segments if begin <= address < begin + length)
            place = address - begin + offset
            code = content[place : place + size]
            if not any(old in code for old, _ in INSTRUCTIONS.values()):
                continue
            Path(function.name).write_bytes(code)
            command = ["objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", function.name]
            listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for at, instruction in re.findall(r"^\s*(\w+):\s+(cpuid|xgetbv)", listing, re.MULTILINE):
                yield place + int(at, 16), instruction


def loaded(content: bytes | bytearray) -> Iterator[tuple[int, int, int]]:
    """The segments that an ELF file is loaded in: offset in the file, address, bytes."""
    (headers,) = struct.unpack_from("<Q", content, 0x20)
    size, count = struct.unpack_from("<HH", content, 0x36)
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", content, headers + number * size)
        if kind == 1:
            yield offset, address, length
