"""Trains on one data set and evaluates on another: the cross-data protocol of AnomalyCLIP.

    python -m experiments.transfer --method=anomalyclip --train=visa --train_data_dir=~/visa \\
        --test=mvtec_ad --test_data_dir=~/mvtec_ad --weights=openai/clip-vit-large-patch14-336

The test set chooses nothing: training ends after its epochs, and the last parameters are evaluated once. The
two results are in OUT/train and OUT/test. `experiments.train` and `experiments.zero_shot` do the same in two
commands. --auxiliary=cutpaste changes what is learned from, not what is evaluated on.
"""

from pathlib import Path

import jax
from absl import flags

from vlmad_jax.commands import common, training
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.evaluate import EvaluationConfig
from vlmad_jax.methods import MethodOptions

training.define()
TRAIN = flags.DEFINE_string("train", None, "The data set to learn from.")
TRAIN_DIR = define_path("train_data_dir", None, "Where it is; the synthetic ones and elpv need none.")
TEST = flags.DEFINE_string("test", None, "The data set to evaluate on.")
TEST_DIR = define_path("test_data_dir", None, "Where it is.")
OUT = define_path("out", None, "Directory of both; results/transfer/<a name of the run>.")
RESUME = flags.DEFINE_bool("resume", True, "Keep the categories that an interrupted evaluation finished.")
SAVE_MAPS = flags.DEFINE_bool("save_maps", False, "Also write an image of each anomaly map.")


def main() -> None:
    """Flags in, parameters and a table out."""
    if TRAIN.value is None or TEST.value is None:
        raise InputError("give two data sets, for example --train=visa --test=mvtec_ad")
    if TRAIN.value == TEST.value and TRAIN_DIR.value == TEST_DIR.value:
        raise InputError(f"--train and --test are both {TEST.value}; test on what was not learned from")
    training.join_processes()
    config = training.config(TRAIN.value, TRAIN_DIR.value)
    names = f"{TRAIN.value}-to-{TEST.value}"
    out = Path(OUT.value) if OUT.value else common.folder("transfer", config, config.method, names)
    params = training.run(config, out / "train")
    if params is None or jax.process_index() > 0:
        return
    evaluation = EvaluationConfig(
        method=config.method,
        weights=config.weights,
        dataset=TEST.value,
        data_dir=TEST_DIR.value,
        batch_size=config.batch_size,
        dtype=config.dtype,
        options=MethodOptions(params=str(params)),
    )
    common.run(evaluation, out / "test")


if __name__ == "__main__":
    common.main(main)
