"""Data sets: what is in them (TFDS indexes of paths), and reading their images in batches (grain)."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlmad_jax.data.checks import check, choose_categories
from vlmad_jax.data.datasets.elpv import ELPV
from vlmad_jax.data.datasets.folder import FOLDER
from vlmad_jax.data.datasets.mvtec_ad import MVTEC_AD
from vlmad_jax.data.datasets.synthetic import SYNTHETIC, SYNTHETIC_TRAIN
from vlmad_jax.data.datasets.textures import TEXTURES
from vlmad_jax.data.datasets.visa import VISA
from vlmad_jax.data.index import has_array_record, plain_samples
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
    """The samples of a data set, checked, restricted to `categories` unless that is empty.

    `name` is a key of DATASETS and `data_dir` what it needs: none for elpv, textures, synthetic*. What people
    have to be told of it is told by `notices.tell`.
    Raises InputError for everything that is wrong with them, with the files or with the images' masks.
    """
    if name not in DATASETS:
        raise InputError(f"--dataset: unknown data set {name!r}; choose one of {', '.join(DATASETS)}")
    source = DATASETS[name]
    place = None if data_dir is None else Path(data_dir).expanduser()
    if has_array_record():
        from vlmad_jax.data.builder import make_builder, read_samples  # imports TFDS, which is slow

        builder = make_builder(source, place)
        root, samples = builder.root, tuple(read_samples(builder))
    else:
        root = source.locate(place)
        samples = tuple(plain_samples(source, root))
    names = source.object_names
    found = DataSet(name, str(root), samples, source.homepage, source.citation, names)
    dataset = replace(found, samples=choose_categories(found, categories))
    left_out = source.left_out(root, samples)
    if categories:
        left_out = [entry for entry in left_out if entry.category in dataset.categories]
    dataset = replace(dataset, left_out=tuple(left_out))
    check(dataset)
    return dataset
