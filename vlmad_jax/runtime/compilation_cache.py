"""Set up JAX's persistent compilation cache, which stores compiled programs between runs.

JAX identifies a program by its computation, its constants, the processor and the versions of JAX, so a cached
program equals a newly compiled one. The user's settings of JAX take precedence: `JAX_COMPILATION_CACHE_DIR`
and `JAX_ENABLE_COMPILATION_CACHE`.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from vlmad_jax.runtime.cache import cache_enabled, cache_folder

DIRECTORY = "jax_compilation_cache_dir"
# Seconds. Loading a program takes a few hundredths of a second, so faster compilations are not stored.
SHORTEST_COMPILATION = 0.2
# Bytes of all programs; the least recently used are removed first.
LARGEST_FOLDER = 2**30
# Bytes of constant weights in a program. Loading a larger program takes as long as compiling it.
LARGEST_WEIGHTS = 2**26
# Seconds after which an incomplete entry counts as abandoned.
ABANDONED = 60.0


def keep_programs(weights: int = 0) -> None:
    """Store the programs that are compiled from now on in the cache folder.

    This does nothing if the user has chosen a folder for JAX or has set `VLMAD_JAX_KEEP=0`. It turns the
    compilation cache off if the folder cannot be made or the weights are too large.

    Args:
      weights: Bytes of the weights that programs will hold as constants.
    """
    folder, current = cache_folder() / "programs", getattr(jax.config, DIRECTORY)
    if not cache_enabled() or current not in (None, str(folder)):
        return
    wanted = str(folder) if weights <= LARGEST_WEIGHTS and _is_ready(folder) else None
    if wanted == current:
        return
    if wanted:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_COMPILATION)
        jax.config.update("jax_compilation_cache_max_size", LARGEST_FOLDER)
    jax.config.update(DIRECTORY, wanted)
    compilation_cache.reset_cache()  # otherwise JAX stays with the folder of its first compilation


def _is_ready(folder: Path) -> bool:
    """Make the folder, remove abandoned entries, and return whether the folder can be written.

    JAX writes an entry and then a file with the time of its last use. If a process was killed in between, the
    entry without a time makes all later writing fail.
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
