"""The TFDS builder that all data sets share, and the index it prepares.

An example of the index is the path of an image and what is known of it, not the image: so TFDS needs no
TensorFlow, preparing takes a second, and the images are decoded once, in the reading pipeline.

    builder = SampleIndex(source, root, data_dir)
    builder.download_and_prepare()
    builder.as_data_source("test")[0]   # {"path": b"/data/bottle/test/good/000.png", "masks": b"", ...}
"""

import tempfile
from pathlib import Path

import tensorflow_datasets as tfds

from vlmad_jax.data.index import FIELDS, cannot_write, digest_of, in_order, to_example, to_sample, with_marked
from vlmad_jax.data.samples import Sample
from vlmad_jax.data.source import Source
from vlmad_jax.runtime.cache import cache_folder
from vlmad_jax.runtime.names import shown

SPLITS = ("train", "test")


class SampleIndex(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A TFDS builder of the samples that `source` finds below `root`, prepared below `data_dir`.

    Splits "train" and "test", of which an empty one is absent; the order is that of `source.scan`; every
    feature is a text, the bytes of names as they are on disk; `masks` has a zero byte between paths and is
    empty where there are none, and so is `marked`. `download_and_prepare` raises what `source.scan` raises.
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
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"The samples of {self.source.name} in {shown(str(self.root))}",
            features=tfds.features.FeaturesDict({field: tfds.features.Text() for field in FIELDS}),
            homepage=self.source.homepage,
            citation=self.source.citation,
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        samples = with_marked(self.source.scan(self.root))
        chosen = {split: [s for s in samples if s.split == split] for split in SPLITS}
        return {split: self._generate_examples(part) for split, part in chosen.items() if part}

    def _generate_examples(self, samples: list[Sample]):
        for number, sample in enumerate(samples):
            yield number, to_example(sample)

    def _log_download_bytes(self) -> None:
        """Print nothing: nothing is downloaded."""

    def _log_download_done(self) -> None:
        """Print nothing: the index is a detail of reading."""


def make_builder(source: Source, data_dir: Path | None) -> SampleIndex:
    """The builder of a data set, its index kept in the cache.

    The place depends on the name of every file of the data set and on all that changes when it is written,
    replaced or renamed: the index is then prepared anew. Raises what `source.locate` raises.
    """
    root = source.locate(data_dir)
    return SampleIndex(source, root, cache_folder() / "index" / digest_of(root))


def read_samples(builder: SampleIndex) -> list[Sample]:
    """Prepare the index unless it is there, and read it: by category, train before test, in scanned order.

    Raises what `source.scan` raises, and InputError when the cache cannot be written.
    """
    tfds.disable_progress_bar()
    if not builder.data_path.exists():
        builder = _prepare(builder)
    samples = [
        to_sample(example) for split in builder.info.splits for example in builder.as_data_source(split)
    ]
    return in_order(samples)


def _prepare(builder: SampleIndex) -> SampleIndex:
    """TFDS prepares in a folder of its own and renames it, so that an interrupted run leaves no index."""
    try:
        with tempfile.TemporaryDirectory() as downloads:  # stays empty; TFDS wants one
            builder.download_and_prepare(download_dir=downloads)
    except OSError as error:
        if not builder.data_path.exists():  # else another process was quicker
            raise cannot_write(error) from None
        return SampleIndex(builder.source, builder.root, builder.index)
    return builder
