"""Measure the false alarms and misses of fitted detectors on a data set with labels.

    python -m experiments.false_alarms --method=winclip --dataset=elpv --shots=4,16,64 --seeds=0,1,2

It fits a detector of each category to --shots reference images, as experiments.fit does, and scores all test
images with it. This data set needs `pip install -e '.[elpv]'`, and the command takes some minutes. It prints
a table, and writes OUT/false_alarms.json and the detectors.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.data import DATASETS, load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.inspection.fit import FitConfig
from vlmad_jax.inspection.trial import Trial, table, trials
from vlmad_jax.methods import METHODS
from vlmad_jax.runtime.files import write_json

common.define_model_flags()
common.define_workers_flag()
METHOD = flags.DEFINE_string("method", "winclip", f"The method: {', '.join(METHODS)}.")
DATASET = flags.DEFINE_string("dataset", "elpv", f"The data set: {', '.join(DATASETS)}.")
DATA_DIR = define_path("data_dir", None, "Folder of the data set, if it needs one.")
CATEGORIES = flags.DEFINE_list("categories", [], "Categories; all by default.")
SHOTS = flags.DEFINE_list("shots", ["4", "16", "64"], "Numbers of reference images.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the draws of reference images.")
FALSE_ALARMS = flags.DEFINE_float("false_alarms", 0.01, "Wanted rate of false alarms.")
OUT = define_path("out", "results/false_alarms", "Folder of false_alarms.json and the detectors.")


def main() -> None:
    """Print the table and write the files."""
    shots = common.numbers_from("shots", SHOTS.value)
    seeds = common.numbers_from("seeds", SEEDS.value)
    dataset = load_dataset(DATASET.value, DATA_DIR.value, tuple(CATEGORIES.value))
    print_notices(dataset, consequence=None)
    config = FitConfig(
        METHOD.value,
        "product",
        weights=flags.FLAGS.weights,
        dtype=flags.FLAGS.dtype,
        false_alarms=FALSE_ALARMS.value,
    )
    out = Path(OUT.value)
    done: list[Trial] = list(trials(dataset, config, shots, seeds, out, flags.FLAGS.workers))
    write_json(out / "false_alarms.json", [dataclasses.asdict(trial) for trial in done])
    print(table(done, config.false_alarms))


if __name__ == "__main__":
    common.main(main)
