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


def keep_programs() -> None:
    """Store the programs that are compiled from now on in the cache folder.

    Entry points call this; importing the package and loading weights change no setting of JAX. It does
    nothing if the user has chosen a folder for JAX or has set `VLMAD_JAX_KEEP=0`, or if the folder cannot be
    made.
    """
    folder, current = cache_folder() / "programs", getattr(jax.config, DIRECTORY)
    if not cache_enabled() or current not in (None, str(folder)):
        return
    if not is_ready(folder):
        _change_folder(None)
    elif current is None:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_COMPILATION)
        jax.config.update("jax_compilation_cache_max_size", LARGEST_FOLDER)
        _change_folder(str(folder))


def limit_programs(weights: int) -> None:
    """Undo `keep_programs`, where it was called, if programs will hold too many bytes of constant weights."""
    if weights > LARGEST_WEIGHTS and getattr(jax.config, DIRECTORY) == str(cache_folder() / "programs"):
        _change_folder(None)


def _change_folder(folder: str | None) -> None:
    jax.config.update(DIRECTORY, folder)
    compilation_cache.reset_cache()  # otherwise JAX stays with the folder of its first compilation


def is_ready(folder: Path) -> bool:
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
