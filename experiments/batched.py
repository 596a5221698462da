r"""Evaluate a method that scores the whole unlabelled test set of a category at once.

    python -m experiments.batched --method=musc
    python -m experiments.batched --method=musc --dataset=mvtec_ad --data_dir=~/mvtec_ad \
        --weights=openai/clip-vit-large-patch14-336

Each test image is scored by the others, so a score is not that of one image, and the results do not compare
with those of experiments.zero_shot and experiments.few_shot, whose methods see one test image at a time.

The first command needs no download. Once the images are rendered, it takes 4 min of CPU time on an AMD EPYC,
and reports a mean image AUROC of 0.974 and a mean pixel AUROC of 0.978. docs/running.md says what memory and
work larger sets need.
"""

from vlmad_jax.commands import common
from vlmad_jax.methods import BATCHED

common.define_flags(methods=BATCHED, default="musc")


def main() -> None:
    """Evaluate as the flags say."""
    config = common.config_from_flags("batched")
    common.run(config, common.out_from_flags("batched", config), common.shard_from_flags())


if __name__ == "__main__":
    common.main(main)
