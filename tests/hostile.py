"""An environment and a home that ask the libraries for other results than the pipeline wants."""

from pathlib import Path

KERAS_JSON = """{"backend": "jax", "floatx": "float64", "epsilon": 0.5, "image_data_format": "channels_first"}"""
HOSTILE = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "XLA_FLAGS": "--xla_cpu_enable_fast_math=true",
    "TF_NUM_INTRAOP_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F",
    "MPLBACKEND": "no such backend",
    "MATPLOTLIBRC": "/nonexistent",
}


def furnish(home: Path) -> dict[str, str]:
    """Put the settings into a new home, and give the environment of whoever lives there."""
    (home / ".keras").mkdir(parents=True)
    (home / ".keras/keras.json").write_text(KERAS_JSON)
    (home / ".config/matplotlib").mkdir(parents=True)
    (home / ".config/matplotlib/matplotlibrc").write_text("figure.figsize: 3, 3\nfont.size: 30\n")
    return HOSTILE | {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")}
