"""Compiled programs kept from one run to the next, by JAX's persistent compilation cache.

JAX knows a program by what it computes, constants included, the processor and the versions of JAX, so what is
found is what compiling would have made. Settings of JAX go before ours: `JAX_COMPILATION_CACHE_DIR` and
`JAX_ENABLE_COMPILATION_CACHE`.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from vlmad_jax.runtime.cache import cache_folder, is_kept

DIRECTORY = "jax_compilation_cache_dir"
# Fetching a program takes some hundredths of a second: what compiles sooner is not kept.
SHORTEST_COMPILATION = 0.2
# Of all programs together, in bytes; those unused for longest go first.
LARGEST_FOLDER = 2**30
# Bytes of weights that are constants of a program: fetching a larger one would take as long as compiling it.
LARGEST_WEIGHTS = 2**26
# Seconds after which an entry that is still half written never will be whole.
ABANDONED = 60.0


def keep_programs(weights: int = 0) -> None:
    """From here on, keeps compiled programs below the cache's folder, unless asked not to.

    Does nothing where a user has chosen a folder, or with `VLMAD_JAX_KEEP=0`, or the folder cannot be made.

    Args:
      weights: bytes that programs will hold as constants, which decide whether keeping them pays.
    """
    folder, current = cache_folder() / "programs", getattr(jax.config, DIRECTORY)
    if not is_kept() or current not in (None, str(folder)):
        return
    wanted = str(folder) if weights <= LARGEST_WEIGHTS and _is_ready(folder) else None
    if wanted == current:
        return
    if wanted:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_COMPILATION)
        jax.config.update("jax_compilation_cache_max_size", LARGEST_FOLDER)
    jax.config.update(DIRECTORY, wanted)
    compilation_cache.reset_cache()  # JAX otherwise stays with the folder of its first compilation


def _is_ready(folder: Path) -> bool:
    """Makes the folder, and removes what a process that was killed while writing has left half written.

    JAX writes an entry, then beside it the time of its use; an entry without one stops it from ever writing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in folder.glob("*-cache"):
            used = entry.with_name(entry.name.removesuffix("-cache") + "-atime")
            with contextlib.suppress(FileNotFoundError):
                if not used.exists() and time.time() - entry.stat().st_mtime > ABANDONED:
                    entry.unlink()
    except OSError:
        return False
    return os.access(folder, os.W_OK)
