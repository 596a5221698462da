"""Measure the images a second that the data pipeline decodes and resizes, by the number of workers.

    python -m experiments.benchmark_pipeline --workers=0,1,2

The command needs the package alone and takes half a minute. It prints a table with an extrapolation to 16
cores from the time that one core needs for an image, and writes OUT/pipeline.json.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags

from vlmad_jax.benchmark import pipeline_speed
from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json

IMAGES = flags.DEFINE_integer("images", 160, "Images to read with each number of workers.", lower_bound=32)
SIDES = flags.DEFINE_list("sides", ["900", "1024"], "Sides of the files in pixels; MVTec AD has 700 to 1024.")
FORMATS = flags.DEFINE_list("formats", ["png", "jpg"], "Formats of the files: png, jpg.")
WORKERS = flags.DEFINE_list("workers", ["0", "1", "2"], "Processes that decode; 0 decodes in threads.")
SIZE = flags.DEFINE_integer("size", 240, "Side to which images are resized, in pixels.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the synthetic images.", lower_bound=0)
OUT = define_path("out", "results/benchmark_pipeline", "Directory of pipeline.json.")


def run(
    images: int,
    sides: Sequence[int],
    formats: Sequence[str],
    workers: Sequence[int],
    size: int,
    seed: int,
    out: pathlib.Path,
) -> pipeline_speed.Results:
    """Measure, print the table, write OUT/pipeline.json and return its contents."""
    if not sides or min(sides) < 1:
        raise InputError("--sides: give one or more, in pixels, for example 900,1024")
    results = pipeline_speed.measure(images, sides, formats, workers, size, seed)
    print(pipeline_speed.table(results))
    write_json(out / "pipeline.json", results)
    return results


def main() -> None:
    """Measure as the flags say."""
    sides, workers = (common.numbers_from(flag.name, flag.value) for flag in (SIDES, WORKERS))
    out = pathlib.Path(OUT.value)
    run(IMAGES.value, sides, FORMATS.value, workers, SIZE.value, SEED.value, out)


if __name__ == "__main__":
    common.main(main)
