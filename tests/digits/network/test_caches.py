import ctypes
import sys
from pathlib import Path

import pytest

from digits.foundation import processor
from digits.network import caches
from digits.network.tensorflow import tf

LIBRARY = Path(tf.__file__).parent / "libtensorflow_cc.so.2"

pytestmark = pytest.mark.skipif(processor.shortcoming() is not None, reason=f"{processor.shortcoming()}")


def test_tensorflow_takes_the_caches_for_as_large_as_it_is_told():
    caches.fix_cache_sizes(LIBRARY)
    base, places = caches.loaded_at(LIBRARY), caches.symbols(LIBRARY, [caches.KERNELS, caches.ONEDNN_SIZE])
    assert len(places[caches.KERNELS]) == 3
    for place in places[caches.KERNELS]:
        assert tuple((ctypes.c_ssize_t * 3).from_address(base + place)) == caches.SIZES
    size = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int)(base + places[caches.ONEDNN_SIZE][0])
    assert size(2) == caches.ONEDNN_USUAL[1]


def test_a_library_of_another_make_is_refused():
    with pytest.raises(caches.UnknownLibraryError, match=r"has no symbol .*m_cacheSizes"):
        caches.fix_cache_sizes(Path(sys.executable).resolve())


def test_a_library_that_is_not_loaded_is_refused(tmp_path: Path):
    with pytest.raises(caches.UnknownLibraryError, match="other.so is not loaded"):
        caches.loaded_at(tmp_path / "other.so")
