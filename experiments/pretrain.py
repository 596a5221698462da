"""Pretrains the bundled small CLIP on procedurally rendered images.

    python -m experiments.pretrain --out=results/pretrain

Needs nothing but the package and 7 GB of disk. On two cores of an AMD EPYC, as two devices with
XLA_FLAGS=--xla_force_host_platform_device_count=2, a step takes 1.3 s once all is rendered, and 1.0 s with
memory in large pages, by GLIBC_TUNABLES=glibc.malloc.hugetlb=1 (Linux). weights/README.md has the data and
losses of weights/tiny. A run can be stopped at any time and goes on from the last checkpoint when started
again with the same flags; `--steps` stops early. The model is in OUT/weights, the loss in OUT/losses.png.
"""

import pathlib

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path, define_paths
from vlmad_jax.pretraining.contrastive import WEIGHTS
from vlmad_jax.pretraining.pretrain import PretrainConfig, pretrain

DEFAULT = PretrainConfig()
FLAGS = flags.FLAGS
OUT = define_path("out", "results/pretrain", "Directory of the run.")
STEPS = flags.DEFINE_integer(
    "steps", None, "Step to stop at; the end of the schedule if not given.", lower_bound=1
)
SAVE_EVERY = flags.DEFINE_integer("save_every", 100, "Steps between checkpoints.", lower_bound=1)
WORKERS = flags.DEFINE_integer("workers", 2, "Processes that render; 0 renders in this one.", lower_bound=0)
SCHEDULE = flags.DEFINE_integer(
    "schedule_steps", DEFAULT.schedule_steps, "Step where the rate is zero.", lower_bound=1
)
PAIRS = flags.DEFINE_integer("pairs", DEFAULT.pairs, "Pairs of images in a batch.", lower_bound=1)
POOL = flags.DEFINE_integer("pool", DEFAULT.pool, "Number of different pairs.", lower_bound=1)
RATE = flags.DEFINE_float("learning_rate", DEFAULT.learning_rate, "Adam's, at most.", lower_bound=0.0)
MUON_LEARNING_RATE = flags.DEFINE_float(
    "muon_learning_rate", DEFAULT.muon_learning_rate, "Muon's, at most.", lower_bound=0.0
)
SEED = flags.DEFINE_integer(
    "seed", DEFAULT.seed, "Of the images, captions and first parameters.", lower_bound=0
)
DTYPE = flags.DEFINE_string("dtype", DEFAULT.dtype, "float32 or bfloat16: what matrix products read.")
LEAVE_OUT = flags.DEFINE_list("leave_out", [], f"Terms of the loss to do without: {', '.join(WEIGHTS)}.")
REFERENCES = flags.DEFINE_bool(
    "references", DEFAULT.references, "Also learn from another good image of each product."
)
SCALE = flags.DEFINE_float(
    "scale", DEFAULT.scale, "Of cosines, kept; learned if not given.", lower_bound=1.0, upper_bound=1000.0
)
EVEN_DISTANCE = flags.DEFINE_float(
    "even_distance",
    DEFAULT.even_distance,
    "With --references: distance of a patch to the nearest good one where it may as well be defective.",
    lower_bound=0.01,
    upper_bound=1.0,
)
INVENTIONS = flags.DEFINE_float(
    "inventions",
    DEFAULT.inventions,
    "Share of pairs that show objects no one has made.",
    lower_bound=0.0,
    upper_bound=1.0,
)
IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", DEFAULT.image_size, "Side of the images in pixels.", lower_bound=1
)
START = define_paths(
    "start",
    DEFAULT.start,
    "Directory of weights to begin with, or several, by commas, for their mean; fresh ones if not given.",
)


def run() -> None:
    """Flags in, a trained model out."""
    config = PretrainConfig(
        schedule_steps=SCHEDULE.value,
        pairs=PAIRS.value,
        pool=POOL.value,
        learning_rate=RATE.value,
        muon_learning_rate=MUON_LEARNING_RATE.value,
        seed=SEED.value,
        dtype=DTYPE.value,
        leave_out=tuple(LEAVE_OUT.value),
        image_size=IMAGE_SIZE.value,
        start=START.value,
        references=REFERENCES.value,
        scale=SCALE.value,
        even_distance=EVEN_DISTANCE.value,
        inventions=INVENTIONS.value,
    )
    out = pathlib.Path(OUT.value)
    pretrain(config, out, STEPS.value or config.schedule_steps, SAVE_EVERY.value, WORKERS.value)
    print(f"the model is in {out / 'weights'}, the curve of its loss in {out / 'losses.png'}")


if __name__ == "__main__":
    common.main(run)
