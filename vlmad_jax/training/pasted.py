"""Good images with pasted defects, to learn prompts or projections from where there are no real defects."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.pipeline import ReadRow, Row
from vlmad_jax.errors import InputError
from vlmad_jax.synthetic.pasting import KINDS, paste
from vlmad_jax.training.batches import LabelledImages

# Samples made of one good image: as it is and mirrored, each without and with a defect.
VARIANTS = 4


def pasted_samples(dataset: DataSet) -> tuple[Sample, ...]:
    """`VARIANTS` of every good training image, the kinds of defects in turn.

    A sample's defect is the name of what is pasted, so that its label follows. The image of sample n is
    mirrored where n % 4 is 2 or 3.

    Raises:
      InputError: a data set without good training images.
    """
    good = [s for name in dataset.categories for s in dataset.select(name, "train") if not s.label]
    if not good:
        raise InputError(
            f"{dataset.root}: no good image in any train folder, so there is nothing to paste defects "
            "into; give a data set with some, or leave out --auxiliary"
        )
    kinds, samples = list(KINDS), []
    for number, sample in enumerate(good):
        for mirrored in range(VARIANTS // 2):
            kind = kinds[(VARIANTS // 2 * number + mirrored) % len(kinds)]
            samples += [sample, dataclasses.replace(sample, defect=kind)]
    return tuple(samples)


@dataclass(frozen=True, eq=False)
class PastedImages(LabelledImages):
    """Samples of `pasted_samples`; what is pasted is a pure function of the seed and a sample's number."""

    @property
    def reader(self) -> ReadRow:
        """Reads, mirrors and pastes."""
        paths: dict[str, dict[str, None]] = {}
        for sample in self.samples:
            paths.setdefault(sample.category, {})[sample.path] = None
        sources = {category: tuple(found) for category, found in paths.items()}
        return ReadPasted(self.size, self.with_masks, self.seed, sources)

    @property
    def origin(self) -> tuple[Any, ...]:
        """What the pixels depend on besides the data set."""
        return "cutpaste", self.seed, VARIANTS, tuple(KINDS)


@dataclass(frozen=True)
class ReadPasted(ReadRow):
    """Decodes and resizes one row, mirrors it and pastes its defect.

    Attributes:
      seed: of what is pasted.
      sources: the paths of the good images of each category, to cut from.
    """

    seed: int
    sources: Mapping[str, tuple[str, ...]]

    def __call__(self, row: Row) -> dict[str, Any]:
        read = super().__call__(row)
        if row.sample is None or not read["readable"]:
            return read
        turn = slice(None, None, -1 if row.index % VARIANTS >= VARIANTS // 2 else 1)
        image = read["image"][:, turn]
        if not row.sample.label:
            return {**read, "image": np.ascontiguousarray(image)}
        rng = np.random.default_rng([zlib.crc32(b"cutpaste"), self.seed, row.index])
        source = self.source(rng, row.sample)
        image, mask = paste(rng, image, read["image"] if source is None else source, row.sample.defect)
        return {**read, "image": image, "mask": mask}

    def source(self, rng: np.random.Generator, sample: Sample) -> np.ndarray | None:
        """A good image of the same category, uint8 (S, S, 3); None if it does not decode.

        It is itself a sample, and is named when its turn comes.
        """
        paths = self.sources[sample.category]
        try:
            return resize_image(open_image(paths[rng.integers(len(paths))]), self.size)
        except InputError:
            return None
