"""The shape in which each category is scored: the detector's own square, or the proportions of its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlmad_jax.backbones import Backbone
from vlmad_jax.data import DataSet
from vlmad_jax.data.resizing import Resizing, check_resize, common_size, sizes_of
from vlmad_jax.methods import Detector, Scores


@dataclass(frozen=True)
class ShapedDetector:
    """A detector for images of several shapes, a model of `Scorer`, which compiles it once for each shape.

    Attributes:
      detector: The detector at its own size.
    """

    detector: Detector
    _made: dict[tuple[int, int], Detector] = field(default_factory=dict, compare=False, repr=False)

    @property
    def backbone(self) -> Backbone:
        """The backbone."""
        return self.detector.backbone

    def at(self, size: tuple[int, int]) -> Detector:
        """Return the detector for images of a (height, width), the same one at every call.

        Raises:
          InputError: The size does not fit the method or the backbone.
        """
        if size == self.detector.size:
            return self.detector
        if size not in self._made:
            self._made[size] = self.detector.at_size(size)
        return self._made[size]

    def score_with(self, variables: dict[str, Any], state: Any, images: Any) -> Scores:
        """Score images by the detector of their shape."""
        return self.at(images.shape[1:3]).score_with(variables, state, images)


def category_sizes(dataset: DataSet, notify: bool) -> dict[str, tuple[int, int]]:
    """Return the (height, width) with the median proportions of the test images, by category.

    A category without a readable image is missing. With `notify`, images of other proportions are reported.
    """
    sizes = {
        name: sizes_of(sample.path for sample in dataset.select(name, "test")) for name in dataset.categories
    }
    return {name: common_size(x, name if notify else None) for name, x in sizes.items() if x}


def category_resizings(
    detector: Detector, dataset: DataSet, resize: str, notify: bool = False
) -> dict[str, Resizing]:
    """Return how the images of each category are resized.

    Args:
      detector: The detector at its own size.
      dataset: The data set.
      resize: A name in `data.resizing.RESIZES`.
      notify: Whether to report images whose proportions differ from those of their category.

    Raises:
      InputError: The name is unknown.
    """
    check_resize(resize)
    backbone = detector.backbone
    squeezed = dict.fromkeys(dataset.categories, Resizing.to(detector.size, backbone.resample))
    if resize == "square":
        return squeezed
    side, patch = min(detector.size), backbone.patch_size
    return squeezed | {
        name: Resizing.shorter(side, patch, size, backbone.resample)
        for name, size in category_sizes(dataset, notify).items()
    }


def described(resizings: Mapping[str, Resizing]) -> dict[str, list[Sequence[int]]]:
    """Return the (height, width) of the resized images and of what is scored of them, by category."""
    return {name: [list(x) for x in dataclasses.astuple(how)[:2]] for name, how in resizings.items()}
