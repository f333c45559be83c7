"""Compiled programs are kept between runs, in a folder of the user.

Path:    [compilation_cache] -> launchers
Errors:  OSError from `enable_cache` if the folder cannot be written.
Source:  JAX's persistent compilation cache.
Differs: JAX has it off; here every command turns it on, and SURGJAX_CACHE_DIR moves it.
"""

import os
import sys
import tempfile
from pathlib import Path

VARIABLE = "SURGJAX_CACHE_DIR"


def cache_folder() -> Path:
    """Where compiled programs go: $SURGJAX_CACHE_DIR, else the user's cache folder."""
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "surgjax" / "compiled"


def enable_cache() -> Path:
    """Turns the cache on, before the first compilation. Returns its folder."""
    import jax

    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # JAX itself only warns, at every compilation
        pass
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return folder
