"""Data sets: indexes of their samples (TFDS), and batches of their images (grain)."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlmad_jax.data.checks import check_dataset, select_categories
from vlmad_jax.data.datasets import DATASETS
from vlmad_jax.data.index import MOST_EXAMPLES, has_array_record, read_plain_index, survey
from vlmad_jax.data.samples import DataSet, Sample
from vlmad_jax.data.signs import SIGNS
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError

__all__ = ["DATASETS", "DataSet", "Sample", "load_dataset"]

# The environment variable with a folder that holds a folder for each data set, named after it.
DATA = "VLMAD_JAX_DATA"


def load_dataset(name: str, data_dir: str | Path | None = None, categories: Sequence[str] = ()) -> DataSet:
    """Load the samples of a data set and check them; `checks.print_notices` prints what may surprise a user.

    Args:
      name: A key of `DATASETS`.
      data_dir: The folder or archive of the data set. None means the folder `name` below $VLMAD_JAX_DATA, and
        for elpv, textures and the synthetic sets that none is needed.
      categories: The categories to load; all if empty.

    Raises:
      InputError: An argument is wrong, or files or masks of the data set are missing or damaged.
    """
    if name not in DATASETS:
        raise InputError(f"--dataset: unknown data set {name!r}; choose one of {', '.join(DATASETS)}")
    source = DATASETS[name]
    root = source.locate(_folder(name, data_dir))
    samples = _read_index(source, root)
    found = DataSet(
        name,
        str(root),
        samples,
        source.homepage,
        source.citation,
        source.object_names,
        one_class=source.one_class,
        apart=source.apart,
        by_folder=source.by_folder,
    )
    dataset = replace(found, samples=select_categories(found, categories), whole=not categories)
    skipped = source.skipped(root, samples)
    private = source.private(root)
    if categories:
        skipped = [entry for entry in skipped if entry.category in dataset.categories]
        private = [sample for sample in private if sample.category in dataset.categories]
    dataset = replace(dataset, skipped=tuple(skipped), private=tuple(private))
    check_dataset(dataset)
    return dataset


def _folder(name: str, data_dir: str | Path | None) -> Path | None:
    """Return `data_dir`, or else the folder of the data set below $VLMAD_JAX_DATA if it is set."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    above = os.environ.get(DATA)
    return Path(above).expanduser() / name if above and name in SIGNS else None


def _read_index(source: Source, root: Path) -> tuple[Sample, ...]:
    """Read the index of the data set in the folder `root`, after writing it if necessary."""
    key, files = survey(root)
    if files > MOST_EXAMPLES or not has_array_record():
        return tuple(read_plain_index(source, root, key))
    from vlmad_jax.data.builder import builder_at, read_samples  # imports TFDS, which is slow

    return tuple(read_samples(builder_at(source, root, key)))
