"""Large arrays that are needed for a while: in memory, or in a temporary file."""

from __future__ import annotations

import math
import shutil
import tempfile
from pathlib import Path

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import cache_folder

# Larger arrays are put in a file. 8 GiB hold the features of 380 images of 518 pixels of a ViT-L/14.
IN_MEMORY = 2**33


def scratch_array(shape: tuple[int, ...]) -> np.ndarray:
    """Return a float32 array of any content.

    One of more than `IN_MEMORY` bytes is mapped from a temporary file in the cache folder, which vanishes
    with the array.

    Raises:
      InputError: The folder has no room for it.
    """
    size = math.prod(shape) * 4
    if size <= IN_MEMORY:
        return np.empty(shape, np.float32)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        check_room(folder, size)
        with tempfile.TemporaryFile(dir=folder) as file:
            return np.memmap(file, np.float32, "w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"{folder}: cannot hold {size / 1e9:.1f} GB ({error.strerror}); "
            "set VLMAD_JAX_CACHE to another folder"
        ) from error


def check_room(folder: Path, size: int) -> None:
    """Check that a folder has room for a number of bytes, since a mapped file that has none ends the process.

    Raises:
      InputError: It has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise InputError(
            f"{folder}: has {free / 1e9:.1f} GB left, and {size / 1e9:.1f} GB are needed; "
            "set VLMAD_JAX_CACHE to another folder"
        )
