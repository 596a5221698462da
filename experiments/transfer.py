r"""Train on one data set and evaluate on another, as in the protocol of AnomalyCLIP.

    python -m experiments.transfer --method=anomalyclip --train=visa --train_data_dir=~/visa \
        --test=mvtec_ad --test_data_dir=~/mvtec_ad --weights=openai/clip-vit-large-patch14-336
    VLMAD_JAX_DATA=~/data python -m experiments.transfer --method=anomalyclip --train=visa \
        --test=mvtec_ad,mpdd,btad,isic --weights=openai/clip-vit-large-patch14-336

The test sets have no influence on training: training runs for all its epochs, and the last parameters are
evaluated once on each. The results are in OUT/train and OUT/test, or OUT/test/<data set> if there are
several; then OUT/transfer.json and the last table have the means of each. `experiments.train` and
`experiments.zero_shot` do the same in two commands. --auxiliary=cutpaste changes the training data, not the
test data.
"""

from pathlib import Path

import jax
from absl import flags

from vlmad_jax.commands import common, training, transfer
from vlmad_jax.commands.paths import define_path, define_path_list
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.methods import MethodOptions

training.define()
TRAIN = flags.DEFINE_string("train", None, "Data set to train on.")
TRAIN_DIR = define_path("train_data_dir", None, "Folder of --train; the synthetic sets and elpv need none.")
TEST = flags.DEFINE_list("test", None, "Data sets to test on.")
TEST_DIRS = define_path_list(
    "test_data_dir", [], "Folder of each of --test; by default its folder below $VLMAD_JAX_DATA."
)
OUT = define_path("out", None, "Folder of both results; by default results/transfer/<a name of the run>.")
RESUME = flags.DEFINE_bool("resume", True, "Keep the categories that an interrupted evaluation finished.")
SAVE_MAPS = flags.DEFINE_bool("save_maps", False, "Also write a heat map of each image.")


def main() -> None:
    """Train and test as the flags say."""
    if TRAIN.value is None or not TEST.value:
        raise InputError("--train or --test is missing; give both, for example --train=visa --test=mvtec_ad")
    targets = transfer.pair_folders(TEST.value, TEST_DIRS.value)
    if (TRAIN.value, TRAIN_DIR.value) in targets.items():
        raise InputError(f"--train and --test are both {TRAIN.value}; give two different data sets")
    training.join_processes()
    config = training.config(TRAIN.value, TRAIN_DIR.value)
    names = f"{TRAIN.value}-to-{'-'.join(targets)}"
    out = Path(OUT.value) if OUT.value else common.folder("transfer", config, config.method, names)
    params = training.run(config, out / "train")
    if params is None or jax.process_index() > 0:
        return
    means = {}
    for dataset, data_dir in targets.items():
        evaluation = EvaluationConfig(
            method=config.method,
            weights=config.weights,
            dataset=dataset,
            data_dir=data_dir,
            batch_size=config.batch_size,
            dtype=config.dtype,
            options=MethodOptions(params=str(params)),
        )
        means[dataset] = common.run(evaluation, transfer.test_folder(out, dataset, targets))["mean"]
    if len(means) > 1:
        print(f"\n{transfer.write_matrix(out, TRAIN.value, means)}")


if __name__ == "__main__":
    common.main(main)
