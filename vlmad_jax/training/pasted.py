"""Normal images with pasted defects, for training on data sets that have no real defects."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.images import open_image
from vlmad_jax.data.pipeline import ReadRow, Row
from vlmad_jax.errors import InputError
from vlmad_jax.synthetic.pasting import KINDS, paste
from vlmad_jax.training.batches import LabelledImages

# The samples made from one normal image: unchanged and mirrored, each without and with a defect.
VARIANTS = 4


def pasted_samples(dataset: DataSet) -> tuple[Sample, ...]:
    """Return `VARIANTS` samples of every normal training image, with each kind of defect in turn.

    The `defect` of a sample names the kind that is pasted and so sets its label. The image of sample n is
    mirrored if n % 4 is 2 or 3.

    Raises:
      InputError: The data set has no normal training images.
    """
    normal = [s for name in dataset.categories for s in dataset.select(name, "train") if not s.label]
    if not normal:
        raise InputError(
            f"{dataset.root}: no normal image in any train folder, and --auxiliary pastes defects into "
            "those; give a data set that has some, or drop --auxiliary"
        )
    kinds, samples = list(KINDS), []
    for number, sample in enumerate(normal):
        for mirrored in range(VARIANTS // 2):
            kind = kinds[(VARIANTS // 2 * number + mirrored) % len(kinds)]
            samples += [sample, dataclasses.replace(sample, defect=kind)]
    return tuple(samples)


@dataclass(frozen=True, eq=False)
class PastedImages(LabelledImages):
    """The images of `pasted_samples`. A pasted defect depends on the seed and the sample's number alone."""

    @property
    def reader(self) -> ReadRow:
        """The callable that decodes, resizes and mirrors one image and pastes its defect."""
        paths: dict[str, dict[str, None]] = {}
        for sample in self.samples:
            paths.setdefault(sample.category, {})[sample.path] = None
        sources = {category: tuple(found) for category, found in paths.items()}
        return ReadPasted((self.resizing,), self.with_masks, self.seed, sources)

    @property
    def pixel_key(self) -> tuple[Any, ...]:
        """The values, besides the data set, that the pixels depend on."""
        return "cutpaste", self.seed, VARIANTS, tuple(KINDS), *super().pixel_key


@dataclass(frozen=True)
class ReadPasted(ReadRow):
    """A reader that decodes and resizes one row, mirrors it and pastes its defect.

    Attributes:
      seed: The seed of the pasted defects.
      sources: The paths of the normal images of each category, from which patches are cut.
    """

    seed: int
    sources: Mapping[str, tuple[str, ...]]

    def __call__(self, row: Row) -> dict[str, Any]:
        """Return the arrays of `ReadRow`, with the defect in the image and in the mask."""
        read = super().__call__(row)
        if row.sample is None or not read["readable"]:
            return read
        columns = slice(None, None, -1 if row.index % VARIANTS >= VARIANTS // 2 else 1)
        image = read["image"][:, columns]
        if not row.sample.label:
            return {**read, "image": np.ascontiguousarray(image)}
        rng = np.random.default_rng([zlib.crc32(b"cutpaste"), self.seed, row.index])
        source = self.source(rng, row.sample)
        image, mask = paste(rng, image, read["image"] if source is None else source, row.sample.defect)
        return {**read, "image": image, "mask": mask}

    def source(self, rng: np.random.Generator, sample: Sample) -> np.ndarray | None:
        """Return a normal image of the same category, uint8 (h, w, 3), or None if it does not decode.

        The image is a sample too, so that reading that sample reports the error.
        """
        paths = self.sources[sample.category]
        try:
            chosen = paths[rng.integers(len(paths))]
            return self.resizings[0].image(open_image(chosen))
        except InputError:
            return None
