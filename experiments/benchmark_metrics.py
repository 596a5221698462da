"""Time the pixel metrics of a category, and compare times and values with scikit-learn's and anomalib's.

    python -m experiments.benchmark_metrics --images=150 --sides=256,1024

The command needs scikit-learn, anomalib and torch, best in a separate environment. With 150 maps of
1024 x 1024 their metrics need about 20 GB of memory, and the command takes a few minutes. It prints a table
and writes OUT/metrics.json.
"""

from __future__ import annotations

import pathlib

from absl import flags

from vlmad_jax.benchmark import metrics_speed
from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json

IMAGES = flags.DEFINE_integer("images", 150, "Number of maps in the category.", lower_bound=4)
SIDES = flags.DEFINE_list("sides", ["256"], "Sides of the maps in pixels, each of which is measured.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of times that every metric is computed.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the synthetic maps.", lower_bound=0)
OUT = define_path("out", "results/benchmark_metrics", "Directory of metrics.json.")


def run(
    images: int, sides: tuple[int, ...], rounds: int, seed: int, out: pathlib.Path
) -> metrics_speed.Results:
    """Measure, print the table, write OUT/metrics.json and return its contents."""
    if not sides or min(sides) < 4 * metrics_speed.PATCH:
        raise InputError(
            f"--sides: a map is smaller than {4 * metrics_speed.PATCH} pixels; give for example 256,1024"
        )
    results = metrics_speed.measure(images, sides, rounds, seed)
    print(metrics_speed.table(results))
    write_json(out / "metrics.json", results)
    return results


def main() -> None:
    """Measure as the flags say."""
    sides = common.numbers_from("sides", SIDES.value)
    run(IMAGES.value, sides, ROUNDS.value, SEED.value, pathlib.Path(OUT.value))


if __name__ == "__main__":
    common.main(main)
