"""The images a second that the data pipeline decodes and resizes, by the number of workers.

The synthetic images have fractal colours and camera noise, which PNG and JPEG compress about as well as the
photographs of MVTec AD. They stay in the file system's cache, so that no disk is measured.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.data.pipeline import batches
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.contents import THREADS, digest
from vlmad_jax.runtime.machine import describe

# The options for saving images, by suffix.
FORMATS: dict[str, dict[str, Any]] = {"png": {"compress_level": 6}, "jpg": {"quality": 95}}
# The number of distinct images, which are read repeatedly.
FILES = 16
# The number of times that each file is hashed.
DIGESTS = 20
BATCH = 16
# The standard deviation of the camera noise, on a scale of 255.
NOISE = 2.0
# The images a second that keep a GPU busy, and the CPU cores of such a machine.
TARGET_RATE, CORES = 400, 16

Results = dict[str, Any]


def measure(
    images: int,
    sides: Sequence[int],
    formats: Sequence[str],
    workers: Sequence[int],
    size: int,
    seed: int,
) -> Results:
    """Read synthetic images with each number of workers, with a progress bar.

    Args:
      images: The number of images to read with each number of workers.
      sides: The sides of the files in pixels.
      formats: Keys of `FORMATS`.
      workers: The numbers of processes that decode. 0 decodes in threads.
      size: S, the side to which images are resized.
      seed: The seed of the images.

    Raises:
      InputError: A format is unknown.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"format {name!r} is not one of {', '.join(FORMATS)}; give one of these")
    rows: list[Results] = []
    with tempfile.TemporaryDirectory() as folder, tqdm(disable=None, unit=" images") as bar:
        warm_up = make_images(Path(folder), size, next(iter(FORMATS)), seed)
        read([*warm_up, *warm_up], size, 0, bar)  # imports grain
        bar.reset(images * len(sides) * len(formats) * len(workers))
        for side in sides:
            for name in formats:
                samples = make_images(Path(folder), side, name, seed)
                size_on_disk = sum(Path(sample.path).stat().st_size for sample in samples) / len(samples)
                known = {"bytes": size_on_disk, "digests_per_second": digest_rate(samples)}
                stream = [samples[number % len(samples)] for number in range(images)]
                for count in workers:
                    row = {"side": side, "format": name, **known, "workers": count}
                    rows.append(row | read(stream, size, count, bar))
    return {"machine": describe(), "images": images, "size": size, "seed": seed, "rows": rows}


def read(samples: Sequence[Sample], size: int, workers: int, bar: tqdm[Any]) -> Results:
    """Read the images once, and return the time to the first batch and the rate after it.

    "cpu_seconds" is the time summed over all cores, or None with worker processes, whose time is unknown.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    with contextlib.closing(batches([samples], size, BATCH, workers, with_masks=False)) as stream:  # type: ignore[type-var]
        bar.update(int(next(stream).readable.sum()))
        first = time.perf_counter()
        for batch in stream:
            bar.update(int(batch.readable.sum()))
        ended = time.perf_counter()
    return {
        "start_seconds": first - started,
        "images_per_second": (len(samples) - BATCH) / (ended - first),
        "cpu_seconds": None if workers else time.process_time() - cpu_started,
    }


def digest_rate(samples: Sequence[Sample]) -> float:
    """Return the files a second that threads hash, as for a data set's fingerprint."""
    paths = [sample.path for sample in samples] * DIGESTS
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(digest, paths))
    return len(paths) / (time.perf_counter() - started)


def make_images(folder: Path, side: int, suffix: str, seed: int) -> list[Sample]:
    """Save `FILES` images of that side and format, and return their samples."""
    found = []
    for number in range(FILES):
        rng = np.random.default_rng([seed, number])
        pixels = np.zeros((side, side, 3), np.float32)
        for cells in (2**octave for octave in range(2, 9)):
            colours = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
            pixels += np.asarray(colours.resize((side, side), Image.Resampling.BICUBIC)) / np.sqrt(cells)
        pixels += NOISE * rng.standard_normal(pixels.shape, np.float32)
        path = folder / f"{side}-{number}.{suffix}"
        saved = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        saved.save(path, **FORMATS[suffix])
        found.append(Sample(str(path), "made", "test", GOOD))
    return found


def table(results: Results) -> str:
    """Return the results of `measure` as text, with an extrapolation to more cores."""
    machine, images = results["machine"], results["images"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores; {images} images to {results['size']} pixels",
        "",
        f"{'side':>6}{'format':>8}{'MB':>7}{'workers':>9}{'images/s':>12}{'start s':>9}{'per core':>9}",
    ]
    extrapolated: list[str] = []
    kinds = {(row["side"], row["format"]): row["digests_per_second"] for row in results["rows"]}
    for (side, name), rate in kinds.items():
        extrapolated.append(f"hashing files of {side} pixels in {name}: {rate:.0f}/s")
    for row in results["rows"]:
        lines.append(
            f"{row['side']:6}{row['format']:>8}{row['bytes'] / 1e6:7.2f}{row['workers'] or 'threads':>9}"
            f"{row['images_per_second']:12.1f}{row['start_seconds']:9.2f}"
        )
        if row["cpu_seconds"] is not None:
            rate = images / row["cpu_seconds"]
            lines[-1] += f"{rate:9.1f}"
            extrapolated.append(
                f"extrapolated, not measured: {TARGET_RATE}/s of {row['side']} pixels in {row['format']} "
                f"take {TARGET_RATE / rate:.1f} cores; {CORES} cores give {CORES * rate:.0f}/s"
            )
    return "\n".join([*lines, "", *extrapolated])
