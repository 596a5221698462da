"""The TFDS builder that all data sets share, and the index that it prepares.

An example of the index holds the path and the properties of an image, but not its pixels. Therefore TFDS
needs no TensorFlow, preparing the index takes a second, and only the reading pipeline decodes images.

    builder = SampleIndex(source, root, data_dir)
    builder.download_and_prepare()
    builder.as_data_source("test")[0]   # {"path": b"/data/bottle/test/good/000.png", "masks": b"", ...}
"""

import tempfile
from pathlib import Path

import tensorflow_datasets as tfds

from vlmad_jax.data.index import (
    FIELDS,
    cache_error,
    examine_masks,
    sort_samples,
    survey,
    to_example,
    to_sample,
)
from vlmad_jax.data.samples import Sample
from vlmad_jax.data.source import Source
from vlmad_jax.runtime.cache import cache_folder
from vlmad_jax.runtime.names import printable

SPLITS = ("train", "test")


class LocalInfo(tfds.core.DatasetInfo):
    """The description of a data set that TFDS does not publish."""

    def initialize_from_bucket(self) -> None:
        """Look nothing up: TFDS would leave an empty temporary folder behind."""


class SampleIndex(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder of the samples that `source` finds below `root`; the index is stored below `data_dir`.

    The splits are "train" and "test"; an empty split is absent. The order is that of `source.scan`. Every
    feature is text, and names are the bytes on disk. The feature `masks` holds paths separated by zero bytes.
    `masks`, `marked` and `fault` are empty if there are no masks. `download_and_prepare` raises the errors of
    `source.scan`.
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "sample_index"

    def __init__(self, source: Source, root: Path, data_dir: Path) -> None:
        self.name = source.name
        self.source = source
        self.root = root
        self.index = data_dir
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        return LocalInfo(
            builder=self,
            description=f"The samples of {self.source.name} in {printable(str(self.root))}",
            features=tfds.features.FeaturesDict({field: tfds.features.Text() for field in FIELDS}),
            homepage=self.source.homepage,
            citation=self.source.citation,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        samples = examine_masks(self.source.scan(self.root))
        chosen = {split: [s for s in samples if s.split == split] for split in SPLITS}
        return {split: self._generate_examples(part) for split, part in chosen.items() if part}

    def _generate_examples(self, samples: list[Sample]):
        for number, sample in enumerate(samples):
            yield number, to_example(sample)

    def _log_download_bytes(self) -> None:
        """Print nothing, because nothing is downloaded."""

    def _log_download_done(self) -> None:
        """Print nothing, because users need not know about the index."""


def make_builder(source: Source, data_dir: Path | None) -> SampleIndex:
    """Return the builder of a data set, whose index is stored in the cache.

    The folder of the index depends on the path and the signature of every file of the data set, so a changed
    file leads to a new index.

    Raises:
      InputError: From `source.locate`.
    """
    root = source.locate(data_dir)
    return builder_at(source, root, survey(root)[0])


def builder_at(source: Source, root: Path, key: str) -> SampleIndex:
    """Return the builder of the data set in the folder `root`, whose key is from `index.survey`."""
    return SampleIndex(source, root, cache_folder() / "index" / key)


def read_samples(builder: SampleIndex) -> list[Sample]:
    """Read the index, after preparing it if necessary, and return the samples in the order of `sort_samples`.

    Raises:
      InputError: From `source.scan`, or if the cache cannot be written.
    """
    tfds.disable_progress_bar()
    if not builder.data_path.exists():
        builder = _prepare(builder)
    samples = [
        to_sample(example) for split in builder.info.splits for example in builder.as_data_source(split)
    ]
    return sort_samples(samples)


def _prepare(builder: SampleIndex) -> SampleIndex:
    """Prepare the index. TFDS renames a temporary folder, so an interrupted run leaves no index."""
    try:
        with tempfile.TemporaryDirectory() as downloads:  # TFDS requires a folder, which stays empty
            builder.download_and_prepare(download_dir=downloads)
    except OSError as error:
        if not builder.data_path.exists():  # otherwise another process has prepared it
            raise cache_error(error) from None
        return SampleIndex(builder.source, builder.root, builder.index)
    return builder
