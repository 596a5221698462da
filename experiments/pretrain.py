"""Pretrain the bundled small CLIP on procedurally rendered images and on photographs.

    python -m experiments.pretrain --out=results/pretrain

The run needs the package alone and 7 GB of disk. On two cores of an AMD EPYC, used as two devices with
XLA_FLAGS=--xla_force_host_platform_device_count=2, a step takes 1.5 s once all pairs are rendered, and 1.2 s
with GLIBC_TUNABLES=glibc.malloc.hugetlb=1 (Linux), which puts memory in large pages. docs/pretraining.md
describes the data and losses of weights/tiny.

    python -m experiments.pretrain --out=results/pretrain --photographs=FOLDER --photographed_pairs=0.5

Half of the pairs are then cut from photographs and have drawn or pasted defects.

    python -m experiments.pretrain --out=results/pretrain --photographs=FOLDER --teacher=efficientnet-lite2

With a teacher the model also learns to predict the features of another network on crops of photographs. The
errors on those of --held_out are written to OUT/held_out.json.

With --draw the command only draws the pairs, and the crops with the teacher's features, so that training does
not wait for them later. Images that are complete when training begins are copied to an accelerator once if it
has room, and not with every batch.

A run can be stopped at any time, and the same command resumes it from its last checkpoint; `--steps` stops it
early. The model is written to OUT/weights and the loss curves to OUT/losses.png.
"""

import pathlib

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path, define_path_list, define_paths
from vlmad_jax.pretraining.contrastive import WEIGHTS
from vlmad_jax.pretraining.pretrain import PretrainConfig, pretrain, start_run

DEFAULT = PretrainConfig()
FLAGS = flags.FLAGS
OUT = define_path("out", "results/pretrain", "Directory of the run.")
STEPS = flags.DEFINE_integer(
    "steps", None, "Step to stop at; the end of the schedule if not given.", lower_bound=1
)
DRAW = flags.DEFINE_bool(
    "draw", False, "Only draw the run's images; --steps and --save_every then have no effect."
)
SAVE_EVERY = flags.DEFINE_integer("save_every", 100, "Steps between checkpoints.", lower_bound=1)
WORKERS = flags.DEFINE_integer(
    "workers", 2, "Processes that draw pairs and crops; 0 uses this process.", lower_bound=0
)
SCHEDULE = flags.DEFINE_integer(
    "schedule_steps", DEFAULT.schedule_steps, "Step at which the learning rates reach zero.", lower_bound=1
)
PAIRS = flags.DEFINE_integer("pairs", DEFAULT.pairs, "Pairs of images in a batch.", lower_bound=1)
POOL = flags.DEFINE_integer("pool", DEFAULT.pool, "Number of different pairs.", lower_bound=1)
RATE = flags.DEFINE_float(
    "learning_rate", DEFAULT.learning_rate, "Largest learning rate of Adam.", lower_bound=0.0
)
MUON_LEARNING_RATE = flags.DEFINE_float(
    "muon_learning_rate", DEFAULT.muon_learning_rate, "Largest learning rate of Muon.", lower_bound=0.0
)
SEED = flags.DEFINE_integer(
    "seed", DEFAULT.seed, "Seed of the images, captions and initial parameters.", lower_bound=0
)
DTYPE = flags.DEFINE_string("dtype", DEFAULT.dtype, "Type of matrix products: float32 or bfloat16.")
LEAVE_OUT = flags.DEFINE_list("leave_out", [], f"Loss terms to leave out: {', '.join(WEIGHTS)}.")
SECOND_NORMAL_IMAGE = flags.DEFINE_bool(
    "second_normal_image",
    DEFAULT.second_normal_image,
    "Also train on a second normal image of each pair's product.",
)
LOGIT_SCALE = flags.DEFINE_float(
    "logit_scale",
    DEFAULT.logit_scale,
    "Fixed logit scale; learned if not given.",
    lower_bound=1.0,
    upper_bound=1000.0,
)
EVEN_ODDS_DISTANCE = flags.DEFINE_float(
    "even_odds_distance",
    DEFAULT.even_odds_distance,
    "With --second_normal_image: distance to the nearest normal patch, 0 to 1, at which a patch is equally "
    "likely normal or anomalous.",
    lower_bound=0.01,
    upper_bound=1.0,
)
INVENTED_SHARE = flags.DEFINE_float(
    "invented_share",
    DEFAULT.invented_share,
    "Share of rendered pairs that show invented objects, 0 to 1.",
    lower_bound=0.0,
    upper_bound=1.0,
)
PHOTOGRAPHED_PAIRS = flags.DEFINE_float(
    "photographed_pairs",
    DEFAULT.photographed_pairs,
    "Share of pairs that are cut from --photographs, 0 to 1.",
    lower_bound=0.0,
    upper_bound=1.0,
)
IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", DEFAULT.image_size, "Side of the images in pixels.", lower_bound=1
)
TEACHER = define_path(
    "teacher",
    DEFAULT.teacher,
    "Backbone whose features the model also learns to predict, such as efficientnet-lite2.",
)
PHOTOGRAPHS = define_path_list(
    "photographs",
    [],
    "Folders of photographs, each equally likely, of which --photographed_pairs and the crops for --teacher "
    "are cut.",
)
HELD_OUT = define_path_list(
    "held_out", [], "With --teacher: folders of other photographs, for the error of the trained model."
)
CROPS = flags.DEFINE_integer(
    "crops", DEFAULT.crops, "With --teacher: number of different crops.", lower_bound=1
)
CROPS_PER_PAIR = flags.DEFINE_integer(
    "crops_per_pair", DEFAULT.crops_per_pair, "With --teacher: crops in a batch for each pair.", lower_bound=1
)
RENDERED_CROPS = flags.DEFINE_float(
    "rendered_crops",
    DEFAULT.rendered_crops,
    "With --teacher: share of crops that are rendered images, 0 to 1.",
    lower_bound=0.0,
    upper_bound=1.0,
)
START = define_paths(
    "start",
    DEFAULT.start,
    "Directory of initial weights, or several, separated by commas, for their mean; random if not given.",
)


def run() -> None:
    """Pretrain as the flags say."""
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
        second_normal_image=SECOND_NORMAL_IMAGE.value,
        logit_scale=LOGIT_SCALE.value,
        even_odds_distance=EVEN_ODDS_DISTANCE.value,
        invented_share=INVENTED_SHARE.value,
        photographed_pairs=PHOTOGRAPHED_PAIRS.value,
        teacher=TEACHER.value,
        photographs=tuple(PHOTOGRAPHS.value),
        held_out=tuple(HELD_OUT.value),
        crops=CROPS.value,
        crops_per_pair=CROPS_PER_PAIR.value,
        rendered_crops=RENDERED_CROPS.value,
    )
    out = pathlib.Path(OUT.value)
    if DRAW.value:
        start_run(config, out).draw(WORKERS.value)
        print(f"the images are in {out}; train on them by the same command without --draw")
        return
    pretrain(config, out, STEPS.value or config.schedule_steps, SAVE_EVERY.value, WORKERS.value)
    print(f"the model is in {out / 'weights'}, and the loss curves in {out / 'losses.png'}")


if __name__ == "__main__":
    common.main(run)
