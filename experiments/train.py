r"""Train the learned parameters of a method on one data set, for use on others.

    python -m experiments.train --method=anomalyclip --dataset=visa --data_dir=~/visa \
        --weights=openai/clip-vit-large-patch14-336

Training uses the images and masks of the data set's test split, as the authors do. If it has no anomalous
images, --auxiliary=cutpaste trains on its normal training images, with synthetic defects pasted into them.
The parameters are written to OUT/params; give them to `experiments.zero_shot --params`. A run can be stopped
at any time, and the same command resumes it from its last checkpoint. Several devices share every batch. On
several hosts, start the command on each of them with --coordinator, --processes and --process; each host
reads its own part of the batch.
"""

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common, training
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError

training.define()
DATASET = flags.DEFINE_string("dataset", None, "visa, mvtec_ad, synthetic_train, folder, or another.")
DATA_DIR = define_path("data_dir", None, "Folder of the data set; the synthetic ones and elpv need none.")
CATEGORIES = flags.DEFINE_list("categories", [], "Categories to train on; all if not given.")
OUT = define_path("out", None, "Directory of the run; by default results/train/<a name of the run>.")


def main() -> None:
    """Train as the flags say."""
    training.join_processes()
    if DATASET.value is None:
        raise InputError("--dataset is missing; give the data set to train on, for example visa")
    config = training.config(DATASET.value, DATA_DIR.value, tuple(CATEGORIES.value))
    out = Path(OUT.value) if OUT.value else common.folder("train", config, config.method, config.dataset)
    training.run(config, out)


if __name__ == "__main__":
    common.main(main)
