"""Times the pixel metrics of a category beside scikit-learn's and anomalib's, and compares their values.

    python -m experiments.benchmark_metrics --images=150 --sides=256,1024

Needs scikit-learn, anomalib and torch, best in an environment of its own; with 150 maps of 1024 x 1024 some
20 GB of memory, for theirs, and some minutes. Prints a table, writes OUT/metrics.json.
"""

from __future__ import annotations

import pathlib

from absl import flags

from vlmad_jax.benchmark import metrics_speed
from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_json

IMAGES = flags.DEFINE_integer("images", 150, "Maps of the category.", lower_bound=4)
SIDES = flags.DEFINE_list("sides", ["256"], "Sides of the maps in pixels, one after another.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Times that everything is computed.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the maps, which are made.", lower_bound=0)
OUT = define_path("out", "results/benchmark_metrics", "Directory of metrics.json.")


def run(
    images: int, sides: tuple[int, ...], rounds: int, seed: int, out: pathlib.Path
) -> metrics_speed.Results:
    """Measures, prints the table, writes OUT/metrics.json and returns what it holds."""
    if not sides or min(sides) < 4 * metrics_speed.PATCH:
        raise InputError(f"--sides: a map is smaller than {4 * metrics_speed.PATCH} pixels; give 256,1024")
    results = metrics_speed.measure(images, sides, rounds, seed)
    print(metrics_speed.table(results))
    write_json(out / "metrics.json", results)
    return results


def main() -> None:
    """Flags in, a measurement out."""
    sides = common.numbers_from("sides", SIDES.value)
    run(IMAGES.value, sides, ROUNDS.value, SEED.value, pathlib.Path(OUT.value))


if __name__ == "__main__":
    common.main(main)
