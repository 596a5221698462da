"""How images of any size become the inputs of a detector: squeezed to its size, or in their proportions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vlmad_jax.data.images import displayed_size, resize_image
from vlmad_jax.data.masks import resize_mask
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.runtime.sizes import ImageSize, height_and_width

# "square" squeezes an image to the detector's own size. "shorter" keeps its proportions.
RESIZES = ("square", "shorter")
# Proportions that differ by less than this share are the same up to rounding.
SAME_PROPORTIONS = 0.02


@dataclass(frozen=True)
class Resizing:
    """Resizing of images and masks to a size, of which the right and lower border may be cut off.

    Attributes:
      whole: The (height, width) to which an image is resized, whatever its proportions.
      cut: The (height, width) that remains, from the upper left corner.
      resample: A name in `images.FILTERS`.
    """

    whole: tuple[int, int]
    cut: tuple[int, int]
    resample: str = "bicubic"

    @classmethod
    def to(cls, size: ImageSize, resample: str = "bicubic") -> Resizing:
        """Return the resizing to a side or (height, width), without a cut."""
        return cls(height_and_width(size), height_and_width(size), resample)

    @classmethod
    def shorter(cls, side: int, patch: int, size: tuple[int, int], resample: str = "bicubic") -> Resizing:
        """Return the resizing of images of one size by their shorter edge, cut to whole patches.

        It is that of AnomalyDINO's code: the longer edge keeps the proportions, rounded down to a pixel.

        Args:
          side: The shorter edge after resizing, in pixels.
          patch: The side of a patch.
          size: The (height, width) of the images.
          resample: A name in `images.FILTERS`.

        >>> Resizing.shorter(64, 8, (300, 500))
        Resizing(whole=(64, 106), cut=(64, 104), resample='bicubic')
        """
        height, width = (side * edge // min(size) for edge in size)
        return cls((height, width), (height // patch * patch, width // patch * patch), resample)

    def image(self, image: Image.Image) -> np.ndarray:
        """Return an image as uint8 (*cut, 3)."""
        return resize_image(image, self.whole, self.resample)[: self.cut[0], : self.cut[1]]

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask of 0 and 1 as uint8 `cut`. A defect vanishes only if it lies in the border."""
        return resize_mask(mask, self.whole)[: self.cut[0], : self.cut[1]]


def check_resize(resize: str) -> None:
    """Raise InputError unless `resize` is one of `RESIZES`."""
    if resize not in RESIZES:
        raise InputError(f"--resize={resize}: give {' or '.join(RESIZES)}")


def common_size(sizes: Sequence[tuple[int, int]], of: str | None = None) -> tuple[int, int]:
    """Return the (height, width) of the image with the median proportions, and report others on stderr.

    Args:
      sizes: The (height, width) of one or more images.
      of: What the images belong to, for the notice; None prints none.
    """
    proportions = [width / height for height, width in sizes]
    median = sorted(proportions)[(len(sizes) - 1) // 2]
    common = sizes[proportions.index(median)]
    others = sum(abs(math.log(x / median)) > SAME_PROPORTIONS for x in proportions)
    if others and of is not None:
        print_stderr(
            f"{of}: {others} of {len(sizes)} images have other proportions than {common[1]} x {common[0]} "
            "pixels and are stretched to these"
        )
    return common


def sizes_of(paths: Iterable[str]) -> list[tuple[int, int]]:
    """Return the displayed (height, width) of the images whose headers can be read."""
    sizes = []
    for path in paths:
        try:
            width, height = displayed_size(path)
        except InputError:
            continue
        sizes.append((height, width))
    return sizes
