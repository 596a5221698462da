"""The contract of batched methods, which score a whole unlabelled set of images by itself."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable
from typing import ClassVar

import jax
import numpy as np

from vlmad_jax.backbones.backbone import Variables
from vlmad_jax.backbones.images import Array, check_images
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Features, Scores
from vlmad_jax.methods.encoding import encode
from vlmad_jax.methods.system import System


class Batched(System):
    """A system that scores the images of a set together, none of them known to be normal.

    It is also called transductive: the score of an image depends on all others, which are test images. Its
    results are therefore not compared with those of a `Detector`, which sees one test image at a time. It has
    no state: there is nothing to fit, to save or to export.

    A method defines `for_backbone`, `size`, `extract` and `score_together`. A `Detector` that
    also has a batched setting derives from both classes.

    Attributes:
      reference_options: The `options` that belong to reference images, which a whole set does not have.
    """

    reference_options: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def set_options(cls) -> tuple[str, ...]:
        """Return the options of the batched setting."""
        return tuple(name for name in cls.options if name not in cls.reference_options)

    @abc.abstractmethod
    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images with the variables of the backbone's image encoder."""

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.backbone.compile("vision", self.extract)

    @property
    def least_images(self) -> int:
        """The smallest number of images that the method can score together, by default two."""
        return 2

    @abc.abstractmethod
    def score_together(self, features: Features) -> Scores:
        """Return the scores of all images by their features, NumPy arrays, as NumPy arrays."""

    def score_set(self, images: Array | Features) -> Scores:
        """Return the scores of the N images of a set.

        Args:
          images: uint8 (N, height, width, 3), of the method's `size`, or their features from `extract`.

        Returns:
          NumPy arrays of float32; equal sets have equal scores, and other images in the set change them.

        Raises:
          InputError: The images have another shape or type, or are too few.
        """
        if isinstance(images, Features):
            self.check_set(len(images.image))
            return self.score_together(Features(*map(np.asarray, images)))  # type: ignore[arg-type]
        check_images(images, "images", self.backbone.patch_size, self.size)
        self.check_set(len(images))
        return self.score_together(encode(self._extract, np.asarray(images)))

    def check_set(self, count: int) -> None:
        """Check that a set has enough images.

        Raises:
          InputError: It has not.
        """
        if count < self.least_images:
            raise InputError(
                f"{self.name} scores images by the others of the set, and a set of {count} is too small; "
                f"give {self.least_images} or more"
            )
