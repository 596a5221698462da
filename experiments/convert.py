"""Write a data set in the layout that others' code reads.

    python -m experiments.convert --dataset=visa --data_dir=~/visa --to=meta_json --out=~/visa
    python -m experiments.convert --dataset=ksdd2 --data_dir=~/KolektorSDD2 --to=mvtec --out=~/ksdd2_mvtec

--to=meta_json writes OUT/meta.json, the list of images that the code of AnomalyCLIP and of methods built on
it reads. --to=mvtec copies the images into the folders of MVTec AD. Both are read again by
--dataset=meta_json and --dataset=folder.
"""

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.data import DATASETS, load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.data.convert import FORMATS, convert
from vlmad_jax.errors import InputError

DATASET = flags.DEFINE_string("dataset", None, f"Data set to convert: {', '.join(DATASETS)}.")
DATA_DIR = define_path("data_dir", None, "Folder of the data set, by default below $VLMAD_JAX_DATA.")
CATEGORIES = flags.DEFINE_list("categories", [], "Categories to convert; all if not given.")
TO = flags.DEFINE_enum("to", "meta_json", FORMATS, "The layout to write.")
OUT = define_path("out", None, "Folder to write to.")


def main() -> None:
    """Convert as the flags say."""
    if DATASET.value is None or OUT.value is None:
        raise InputError("--dataset or --out is missing; give for example --dataset=visa --out=converted")
    dataset = load_dataset(DATASET.value, DATA_DIR.value, CATEGORIES.value)
    print_notices(dataset)
    written = convert(dataset, TO.value, Path(OUT.value))
    print(f"{len(dataset.samples)} images of {len(dataset.categories)} categories are listed in {written}")


if __name__ == "__main__":
    common.main(main)
