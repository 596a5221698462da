"""How many images a second the reading pipeline alone decodes and resizes, by number of workers.

The images are made: fractal colour with a camera's noise, which PNG and JPEG compress about as they do the
photographs of MVTec AD. They stay in the memory of the file system, so no disk is measured.
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

# Suffix -> how the images are saved.
FORMATS: dict[str, dict[str, Any]] = {"png": {"compress_level": 6}, "jpg": {"quality": 95}}
# Different images; they are read again and again.
FILES = 16
# Times that each is hashed.
DIGESTS = 20
BATCH = 16
# The standard deviation of a camera's noise, of 255.
NOISE = 2.0
# Images a second that keep a GPU busy, and the cores beside it.
WANTED, CORES = 400, 16

Results = dict[str, Any]


def measure(
    images: int,
    sides: Sequence[int],
    formats: Sequence[str],
    workers: Sequence[int],
    size: int,
    seed: int,
) -> Results:
    """Reads made images with each number of workers, with a progress bar.

    Args:
      images: that each of them reads.
      sides: of the files, in pixels.
      formats: keys of `FORMATS`.
      workers: processes that decode; 0 decodes in threads.
      size: S, the side that images are resized to.
      seed: of the images.

    Raises:
      InputError: an unknown format.
    """
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"format {name!r} is not one of {', '.join(FORMATS)}; give one of these")
    rows: list[Results] = []
    with tempfile.TemporaryDirectory() as folder, tqdm(disable=None, unit=" images") as bar:
        warm_up = made_images(Path(folder), size, next(iter(FORMATS)), seed)
        read([*warm_up, *warm_up], size, 0, bar)  # imports grain
        bar.reset(images * len(sides) * len(formats) * len(workers))
        for side in sides:
            for name in formats:
                samples = made_images(Path(folder), side, name, seed)
                size_on_disk = sum(Path(sample.path).stat().st_size for sample in samples) / len(samples)
                known = {"bytes": size_on_disk, "digests_per_second": digest_rate(samples)}
                stream = [samples[number % len(samples)] for number in range(images)]
                for count in workers:
                    row = {"side": side, "format": name, **known, "workers": count}
                    rows.append(row | read(stream, size, count, bar))
    return {"machine": describe(), "images": images, "size": size, "seed": seed, "rows": rows}


def read(samples: Sequence[Sample], size: int, workers: int, bar: tqdm[Any]) -> Results:
    """Reads the images once: how long until the first batch, and the rate from there on.

    "cpu_seconds" is what that takes of all cores; None with processes, of which it is not known.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    with contextlib.closing(batches([samples], size, BATCH, workers, with_masks=False)) as stream:  # type: ignore[type-var]
        bar.update(int(next(stream).readable.sum()))
        first = time.perf_counter()
        for batch in stream:
            bar.update(int(batch.readable.sum()))
        ended = time.perf_counter()
    return {
        "start_seconds": first - began,
        "images_per_second": (len(samples) - BATCH) / (ended - first),
        "cpu_seconds": None if workers else time.process_time() - cpu_began,
    }


def digest_rate(samples: Sequence[Sample]) -> float:
    """Files a second whose content is hashed, in threads, as a data set is known by."""
    paths = [sample.path for sample in samples] * DIGESTS
    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(digest, paths))
    return len(paths) / (time.perf_counter() - began)


def made_images(folder: Path, side: int, suffix: str, seed: int) -> list[Sample]:
    """`FILES` images of that side, saved in that format."""
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
    """The results of `measure`, and what they would come to on more cores."""
    machine, images = results["machine"], results["images"]
    lines = [
        f"{machine['cpu']}, {machine['cores']} cores; {images} images to {results['size']} pixels",
        "",
        f"{'side':>6}{'format':>8}{'MB':>7}{'workers':>9}{'images/s':>12}{'start s':>9}{'a core':>9}",
    ]
    foretold: list[str] = []
    kinds = {(row["side"], row["format"]): row["digests_per_second"] for row in results["rows"]}
    for (side, name), rate in kinds.items():
        foretold.append(f"files of {side} pixels in {name} hashed, to know their content: {rate:.0f}/s")
    for row in results["rows"]:
        lines.append(
            f"{row['side']:6}{row['format']:>8}{row['bytes'] / 1e6:7.2f}{row['workers'] or 'threads':>9}"
            f"{row['images_per_second']:12.1f}{row['start_seconds']:9.2f}"
        )
        if row["cpu_seconds"] is not None:
            rate = images / row["cpu_seconds"]
            lines[-1] += f"{rate:9.1f}"
            foretold.append(
                f"extrapolated, not measured: {WANTED}/s of {row['side']} pixels in {row['format']} take "
                f"{WANTED / rate:.1f} cores; {CORES} cores give {CORES * rate:.0f}/s"
            )
    return "\n".join([*lines, "", *foretold])
