"""The time and memory of indexing a large data set, measured in a process of its own.

The data set has the MVTec layout. Its images are hard links to a few small ones, which are read like separate
files and take no space.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlmad_jax.data import load_dataset
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.child_process import in_process
from vlmad_jax.runtime.machine import peak_memory

CATEGORIES = 20
DIFFERENT = 20
# The largest number of links to one file in common file systems.
MAX_LINKS = 50_000
# The shares of training and of normal test images; the rest is anomalous.
TRAIN, NORMAL = 0.25, 0.4


def make_folder(folder: Path, images: int, size: int, seed: int) -> None:
    """Make a data set of `images` images of `size` pixels a side, a third of them anomalous with a mask.

    Raises:
      InputError: Links cannot be created in `folder`.
    """
    rng = np.random.default_rng(seed)
    sources = [folder / f".image{number}.png" for number in range(DIFFERENT)]
    for path in sources:
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 4 : size // 2] = 255
    masks = [folder / f".mask{number}.png" for number in range(images // MAX_LINKS + 1)]
    for path in masks:
        Image.fromarray(mask).save(path)
    each = images // CATEGORIES
    for number in range(each * CATEGORIES):
        category, rank = folder / f"category{number // each:02}", number % each
        split = "train/good" if rank < TRAIN * each else "test/good"
        anomalous = rank >= (TRAIN + NORMAL) * each
        place = category / ("test/scratch" if anomalous else split)
        _link(sources[number % DIFFERENT], place / f"{rank:06}.png")
        if anomalous:
            mask_place = category / "ground_truth/scratch"
            _link(masks[number // MAX_LINKS], mask_place / f"{rank:06}_mask.png")


def _link(source: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, link)
    except OSError as error:
        raise InputError(f"{link}: cannot be created as a link ({error.strerror}); set TMPDIR") from None


class Indexing:
    """Loading a folder in a process whose cache is the folder `cache`."""

    def __init__(self, folder: str, cache: str) -> None:
        self.folder = folder
        os.environ["VLMAD_JAX_CACHE"] = cache

    def load(self) -> dict[str, Any]:
        """Load the data set, and return the number of samples, the seconds and the peak memory in bytes."""
        began, worked = time.perf_counter(), time.process_time()
        samples = len(load_dataset("folder", self.folder).samples)
        return {
            "samples": samples,
            "seconds": time.perf_counter() - began,
            "processor_seconds": time.process_time() - worked,
            "peak_memory_bytes": peak_memory(),
        }


def measure(images: int, size: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return what loading a folder takes "first", without an index, and "again", with the stored one."""
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name, "images"), Path(name, "cache")
        folder.mkdir()
        make_folder(folder, images, size, seed)
        results = {}
        for time_of in ("first", "again"):
            with in_process(Indexing, str(folder), str(cache)) as call:
                results[time_of] = call("load")
    return results


def text(results: dict[str, dict[str, Any]]) -> str:
    """Return the results as two lines of text."""
    return "\n".join(
        f"{name}: {found['samples']:,} samples in {found['seconds']:.1f} s "
        f"({found['processor_seconds']:.1f} s of processors),"
        f" at most {found['peak_memory_bytes'] / 1e6:.0f} MB"
        for name, found in results.items()
    )
