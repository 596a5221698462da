"""Images a second that the reading pipeline alone decodes and resizes, by number of workers.

    python -m experiments.benchmark_pipeline --workers=0,1,2

Needs nothing but the package, and half a minute. Prints a table with what the same would come to on 16 cores,
which is extrapolated from the time that an image takes of a core; writes OUT/pipeline.json.
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

IMAGES = flags.DEFINE_integer("images", 160, "Images read with each number of workers.", lower_bound=32)
SIDES = flags.DEFINE_list("sides", ["900", "1024"], "Sides of the files in pixels; MVTec AD has 700 to 1024.")
FORMATS = flags.DEFINE_list("formats", ["png", "jpg"], "Formats of the files: png, jpg.")
WORKERS = flags.DEFINE_list("workers", ["0", "1", "2"], "Processes that decode; 0 decodes in threads.")
SIZE = flags.DEFINE_integer("size", 240, "Side that images are resized to.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the images, which are made.", lower_bound=0)
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
    """Measures, prints the table, writes OUT/pipeline.json and returns what it holds."""
    if not sides or min(sides) < 1:
        raise InputError("--sides: give one or more, in pixels, for example 900,1024")
    results = pipeline_speed.measure(images, sides, formats, workers, size, seed)
    print(pipeline_speed.table(results))
    write_json(out / "pipeline.json", results)
    return results


def main() -> None:
    """Flags in, a measurement out."""
    sides, workers = (common.numbers_from(flag.name, flag.value) for flag in (SIDES, WORKERS))
    out = pathlib.Path(OUT.value)
    run(IMAGES.value, sides, FORMATS.value, workers, SIZE.value, SEED.value, out)


if __name__ == "__main__":
    common.main(main)
