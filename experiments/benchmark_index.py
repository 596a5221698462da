"""Measure how long a large data set takes to be indexed, and how much memory.

    python -m experiments.benchmark_index                    # 100,000 images
    python -m experiments.benchmark_index --images=2000      # a quick test

The command makes links to a few small images, a third of which are anomalous with a mask, and loads them
twice, each time in a process of its own: without an index, and with the stored one. It needs a file system
with links, and takes about a minute. It prints both, and writes OUT/index.json.
"""

from pathlib import Path

from absl import flags

from vlmad_jax.benchmark import index_speed
from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.machine import describe

IMAGES = flags.DEFINE_integer("images", 100_000, "Images of the data set.", lower_bound=200)
SIZE = flags.DEFINE_integer("size", 32, "Side of the images in pixels.", lower_bound=8)
SEED = flags.DEFINE_integer("seed", 0, "Seed of the images.", lower_bound=0)
OUT = define_path("out", "results/benchmark_index", "Directory of index.json.")


def main() -> None:
    """Measure as the flags say."""
    results = index_speed.measure(IMAGES.value, SIZE.value, SEED.value)
    print(index_speed.text(results))
    config = {"images": IMAGES.value, "size": SIZE.value, "seed": SEED.value}
    write_json(Path(OUT.value) / "index.json", {"machine": describe(), "config": config, **results})


if __name__ == "__main__":
    common.main(main)
