"""A sample is an image with its label and masks; a data set is an ordered tuple of samples."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.runtime.contents import digests_of
from vlmad_jax.runtime.names import decode_name

GOOD = "good"


@dataclass(frozen=True, slots=True)
class Sample:
    """One image on disk.

    Attributes:
      path: The absolute path of the image.
      category: The name of its category.
      split: "train" or "test".
      defect: "good" or the name of the defect.
      masks: The absolute paths of its masks, whose union is anomalous. Masks of a normal image are ignored.
      marked: The share of pixels that the masks mark; None if there are no masks or they do not decode.
      fault: Why the masks do not fit the image, for example another size; "" if they do.
    """

    path: str
    category: str
    split: str
    defect: str
    masks: tuple[str, ...] = ()
    marked: float | None = None
    fault: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the image and of its masks."""
        return (self.path, *self.masks)

    @property
    def label(self) -> int:
        """0 for a normal image, 1 for an anomalous one."""
        return int(self.defect != GOOD)

    @property
    def has_mask(self) -> bool:
        """Whether the anomalous pixels are known: none in a normal image, otherwise the marked pixels.

        An anomalous image whose masks mark nothing counts as having no mask.
        """
        return not self.label or (bool(self.masks) and self.marked != 0)


class Skipped(NamedTuple):
    """A file or folder of a data set that is not read.

    Attributes:
      path: The path of the file or folder.
      category: The name of its category, or "".
      reason: What it is and why it is not read, for example "image in a hidden folder".
    """

    path: str
    category: str
    reason: str


@dataclass(frozen=True)
class DataSet:
    """The samples of a data set, sorted by category, split, defect and name.

    Attributes:
      name: The name of the data set.
      root: The folder of the data set.
      samples: The samples.
      homepage: The URL of the data set.
      citation: What to cite.
      object_names: Names of categories for prompts, where the category's own name is not suitable.
      skipped: Files and folders below `root` that a user may expect to be read, but are not.
      whole: Whether the samples are those of all categories.
      one_class: Whether the data set needs no normal images.
      apart: Defects whose metrics are also reported apart, each with all normal images.
      by_folder: Whether the images of one folder are views of one thing, whose score is their maximum.
      private: Images without published labels, whose splits are "test_private" and the like.
    """

    name: str
    root: str
    samples: tuple[Sample, ...]
    homepage: str = ""
    citation: str = ""
    object_names: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    whole: bool = True
    one_class: bool = False
    apart: tuple[str, ...] = ()
    by_folder: bool = False
    private: tuple[Sample, ...] = ()

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories in the order of the samples."""
        return tuple(dict.fromkeys(sample.category for sample in self.samples))

    def select(self, category: str, split: str) -> tuple[Sample, ...]:
        """Return the samples of one category and split, in order."""
        return tuple(s for s in self.samples if s.category == category and s.split == split)

    def object_name(self, category: str) -> str:
        """Return the name of a category for prompts, for example "metal nut" for "metal_nut"."""
        return self.object_names.get(category) or " ".join(decode_name(category).replace("_", " ").split())

    def has_masks(self, category: str) -> bool:
        """Return whether pixel metrics are defined: there are anomalous test images, and each has a mask.

        Masks that mark nothing do not count.
        """
        anomalous = [sample for sample in self.select(category, "test") if sample.label]
        return bool(anomalous) and all(sample.has_mask for sample in anomalous)

    def relative(self, path: str) -> str:
        """Return a path relative to the folder of the data set, with forward slashes."""
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    @cached_property
    def contents(self) -> Mapping[str, str]:
        """The digest of the content of each image and mask by its path."""
        return digests_of(path for sample in self.samples for path in sample.files)

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of all samples, see `fingerprint_of`."""
        return self.fingerprint_of(self.samples)

    def fingerprint_of(self, samples: Iterable[Sample]) -> str:
        """Return 16 hexadecimal digits that identify some samples of the data set in their order.

        They depend on the content of every image and mask, its path below the data set's folder, and its
        category, split and defect. They do not depend on the folder or on the times of files.
        """
        parts = [self.name]
        for sample in samples:
            files = [part for path in sample.files for part in (self.relative(path), self.contents[path])]
            parts.append("\0".join([sample.category, sample.split, sample.defect, *files, "\n"]))
        return fingerprint(parts)
