"""Trains what a method learns on images and masks of one data set, for use on others.

    python -m experiments.train --method=anomalyclip --dataset=visa --data_dir=~/visa \\
        --weights=openai/clip-vit-large-patch14-336

Learns from the test images of the data set, as the authors do; with --auxiliary=cutpaste from its good
training images alone, into which synthetic defects are pasted, where there are no real ones. What was
learned is in OUT/params and goes to `experiments.zero_shot --params`. The run can be stopped at any time and
goes on from its last checkpoint when started again. Of several devices each takes a part of the batch; of
several hosts each reads its own part: start the command on all of them with --coordinator, --processes and
--process.
"""

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common, training
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError

training.define()
DATASET = flags.DEFINE_string("dataset", None, "visa, mvtec_ad, synthetic_train, folder, or another.")
DATA_DIR = define_path("data_dir", None, "Where it is; the synthetic ones and elpv need none.")
CATEGORIES = flags.DEFINE_list("categories", [], "Categories to learn from; all if not given.")
OUT = define_path("out", None, "Directory of the run; results/train/<a name of the run>.")


def main() -> None:
    """Flags in, learned parameters out."""
    training.join_processes()
    if DATASET.value is None:
        raise InputError("--dataset is missing; give what to learn from, for example visa")
    config = training.config(DATASET.value, DATA_DIR.value, tuple(CATEGORIES.value))
    out = Path(OUT.value) if OUT.value else common.folder("train", config, config.method, config.dataset)
    training.run(config, out)


if __name__ == "__main__":
    common.main(main)
