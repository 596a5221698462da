r"""Train on one data set and evaluate on another, as in the protocol of AnomalyCLIP.

    python -m experiments.transfer --method=anomalyclip --train=visa --train_data_dir=~/visa \
        --test=mvtec_ad --test_data_dir=~/mvtec_ad --weights=openai/clip-vit-large-patch14-336

The test set has no influence on training: training runs for all its epochs, and the last parameters are
evaluated once. The results are in OUT/train and OUT/test. `experiments.train` and `experiments.zero_shot` do
the same in two commands. --auxiliary=cutpaste changes the training data, not the test data.
"""

from pathlib import Path

import jax
from absl import flags

from vlmad_jax.commands import common, training
from vlmad_jax.commands.paths import define_path
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.methods import MethodOptions

training.define()
TRAIN = flags.DEFINE_string("train", None, "Data set to train on.")
TRAIN_DIR = define_path("train_data_dir", None, "Folder of --train; the synthetic sets and elpv need none.")
TEST = flags.DEFINE_string("test", None, "Data set to test on.")
TEST_DIR = define_path("test_data_dir", None, "Folder of --test.")
OUT = define_path("out", None, "Folder of both results; by default results/transfer/<a name of the run>.")
RESUME = flags.DEFINE_bool("resume", True, "Keep the categories that an interrupted evaluation finished.")
SAVE_MAPS = flags.DEFINE_bool("save_maps", False, "Also write a heat map of each image.")


def main() -> None:
    """Train and test as the flags say."""
    if TRAIN.value is None or TEST.value is None:
        raise InputError("--train or --test is missing; give both, for example --train=visa --test=mvtec_ad")
    if TRAIN.value == TEST.value and TRAIN_DIR.value == TEST_DIR.value:
        raise InputError(f"--train and --test are both {TEST.value}; give two different data sets")
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
