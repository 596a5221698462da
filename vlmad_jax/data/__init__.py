"""Data sets: indexes of their samples (TFDS), and batches of their images (grain)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlmad_jax.data.checks import check_dataset, select_categories
from vlmad_jax.data.datasets.elpv import ELPV
from vlmad_jax.data.datasets.folder import FOLDER
from vlmad_jax.data.datasets.mvtec_ad import MVTEC_AD
from vlmad_jax.data.datasets.synthetic import SYNTHETIC, SYNTHETIC_TRAIN
from vlmad_jax.data.datasets.textures import TEXTURES
from vlmad_jax.data.datasets.visa import VISA
from vlmad_jax.data.index import has_array_record, read_plain_index
from vlmad_jax.data.samples import DataSet, Sample
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError

__all__ = ["DATASETS", "DataSet", "Sample", "load_dataset"]

DATASETS: dict[str, Source] = {
    "mvtec_ad": MVTEC_AD,
    "visa": VISA,
    "elpv": ELPV,
    "synthetic": SYNTHETIC,
    "synthetic_train": SYNTHETIC_TRAIN,
    "textures": TEXTURES,
    "folder": FOLDER,
}


def load_dataset(name: str, data_dir: str | Path | None = None, categories: Sequence[str] = ()) -> DataSet:
    """Load the samples of a data set and check them; `checks.print_notices` prints what may surprise a user.

    Args:
      name: A key of `DATASETS`.
      data_dir: The folder or archive of the data set; None for elpv, textures and the synthetic sets.
      categories: The categories to load; all if empty.

    Raises:
      InputError: An argument is wrong, or files or masks of the data set are missing or damaged.
    """
    if name not in DATASETS:
        raise InputError(f"--dataset: unknown data set {name!r}; choose one of {', '.join(DATASETS)}")
    source = DATASETS[name]
    folder = None if data_dir is None else Path(data_dir).expanduser()
    if has_array_record():
        from vlmad_jax.data.builder import make_builder, read_samples  # imports TFDS, which is slow

        builder = make_builder(source, folder)
        root, samples = builder.root, tuple(read_samples(builder))
    else:
        root = source.locate(folder)
        samples = tuple(read_plain_index(source, root))
    names = source.object_names
    found = DataSet(name, str(root), samples, source.homepage, source.citation, names)
    dataset = replace(found, samples=select_categories(found, categories))
    skipped = source.skipped(root, samples)
    if categories:
        skipped = [entry for entry in skipped if entry.category in dataset.categories]
    dataset = replace(dataset, skipped=tuple(skipped))
    check_dataset(dataset)
    return dataset
