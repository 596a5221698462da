"""A sample is one image and what is known of it; a data set is an ordered tuple of samples."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.runtime.contents import digests_of
from vlmad_jax.runtime.names import readable

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image on disk.

    `path` and `masks` are absolute; `split` is "train" or "test"; `defect` is "good" or the name of a
    defect. What any of the masks marks is anomalous; there are none where nothing was drawn. Those of a good
    image are not believed. `marked` is the share of the image's pixels that its masks mark, None where
    there are no masks or they do not decode.
    """

    path: str
    category: str
    split: str
    defect: str
    masks: tuple[str, ...] = ()
    marked: float | None = None

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the image and of its masks."""
        return (self.path, *self.masks)

    @property
    def label(self) -> int:
        """0 for a good image, 1 for a defective one."""
        return int(self.defect != GOOD)

    @property
    def has_mask(self) -> bool:
        """Whether it is known which pixels are anomalous: of a good image none, of others those marked.

        A mask of a defective image that marks nothing says nothing.
        """
        return not self.label or (bool(self.masks) and self.marked != 0)


class LeftOut(NamedTuple):
    """A file or folder of a data set that is not read.

    Its path, its category, "" of none, and what it is and why it is not read, "image in a hidden folder".
    """

    path: str
    category: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """The samples of one data set below the folder `root`, ordered by category, split, defect and name.

    `left_out` is what else lies there and looks as if it should be read.
    """

    name: str
    root: str
    samples: tuple[Sample, ...]
    homepage: str = ""
    citation: str = ""
    object_names: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories in the order of the samples."""
        return tuple(dict.fromkeys(sample.category for sample in self.samples))

    def select(self, category: str, split: str) -> tuple[Sample, ...]:
        """The samples of one category and split, in order."""
        return tuple(s for s in self.samples if s.category == category and s.split == split)

    def object_name(self, category: str) -> str:
        """The category as a prompt names it: "metal nut" for "metal_nut", unless that is no name."""
        return self.object_names.get(category) or " ".join(readable(category).replace("_", " ").split())

    def has_masks(self, category: str) -> bool:
        """Whether pixel metrics are defined: there are defective test images, and each has a mask.

        A mask that marks nothing is none.
        """
        defective = [sample for sample in self.select(category, "test") if sample.label]
        return bool(defective) and all(sample.has_mask for sample in defective)

    def relative(self, path: str) -> str:
        """`path` as seen from the folder of the data set, with forward slashes."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    @cached_property
    def contents(self) -> Mapping[str, str]:
        """The digest of what each image and each mask holds, by its path."""
        return digests_of(path for sample in self.samples for path in sample.files)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name these samples, see `fingerprint_of`."""
        return self.fingerprint_of(self.samples)

    def fingerprint_of(self, samples: Iterable[Sample]) -> str:
        """16 hexadecimal digits that name some samples of the data set, in their order.

        They change with the content of any image or mask, its name below the data set's folder, and its
        category, split and defect; not with the folder, or the times of files.
        """
        parts = [self.name]
        for sample in samples:
            files = [part for path in sample.files for part in (self.relative(path), self.contents[path])]
            parts.append("\0".join([sample.category, sample.split, sample.defect, *files, "\n"]))
        return fingerprint(parts)
