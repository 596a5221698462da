"""The base of methods that use reference images alone, by patch features of middle layers."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.chunking import map_images
from vlmad_jax.backbones.images import Array
from vlmad_jax.methods.detector import Detector, Features, Params, Scores, check_feature_layers
from vlmad_jax.methods.encoding import encode
from vlmad_jax.runtime.sizes import ImageSize, height_and_width
from vlmad_jax.scoring.maps import blur, upsample

# The standard deviation of the blur in pixels, for images of 224 pixels, in all these papers.
BLUR_SIGMA_224 = 4


class ReferenceDetector(Detector):
    """A detector that uses reference images and no text.

    A method is a frozen dataclass with at least the fields `backbone`, `image_size` and `feature_layers`, and
    defines `prepare` and `score_features`. The papers take features from middle stages of a ResNet. Here all
    methods take the tokens after `Backbone.middle_layers`.
    """

    image_size: ImageSize
    feature_layers: tuple[int, ...]

    references: ClassVar = "always"
    options: ClassVar[tuple[str, ...]] = ("feature_layers",)

    def __post_init__(self) -> None:
        """Check that the image size and the feature layers fit the backbone."""
        object.__setattr__(self, "feature_layers", tuple(self.feature_layers))
        check_feature_layers(self.backbone, self.image_size, self.feature_layers)

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> Self:
        """Return the published setting with the backbone's own image size and its middle layers."""
        return cls(backbone, backbone.image_size, backbone.middle_layers)  # type: ignore[call-arg]

    def score_bounds(self, references: bool) -> tuple[float, float]:
        """Return infinity: distances have no bound."""
        del references
        return math.inf, math.inf

    @property
    def size(self) -> tuple[int, int]:
        """The (height, width) of the input images in pixels."""
        return height_and_width(self.image_size)

    @property
    def blur_sigma(self) -> float:
        """The standard deviation of the blur in pixels, in proportion to the shorter side."""
        return BLUR_SIGMA_224 * min(self.size) / 224

    def pixel_map(self, patch_scores: jax.Array) -> jax.Array:
        """Upsample patch scores (B, P) bilinearly and blur them: (B, height, width)."""
        maps = upsample(patch_scores.reshape(-1, *self.grid), self.size)
        return blur(maps, self.blur_sigma)

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images: `image` (B, E) and `patches` (B, P, L D)."""

        def of_few(images: jax.Array) -> Features:
            tokens = self.backbone.extract(variables, images, self.feature_layers)
            return Features(tokens.image, jnp.concatenate(tokens.patches, axis=-1))

        return map_images(of_few, images, tokens=1 + self.grid[0] * self.grid[1])

    @functools.cached_property
    def _extract(self) -> Callable[[Array], Features]:
        return self.backbone.compile("vision", self.extract)

    def encode(self, images: np.ndarray) -> Features:
        """Return the features of any number of images as NumPy arrays, computed a few at a time."""
        return encode(self._extract, images)

    def reference_features(self, references: Array | None, params: Params | None) -> Features:
        """Return the features of the reference images as NumPy arrays.

        Raises:
          InputError: References are missing or of another shape or type, or parameters are given.
        """
        return self.encode(self.checked_references(references, params))

    @abc.abstractmethod
    def score_features(self, state: Any, features: Features) -> Scores:
        """Score images by their features."""

    def score_with(self, variables: Variables, state: Any, images: jax.Array) -> Scores:
        """Score images with the variables of the backbone's image encoder."""
        return self.score_features(state, self.extract(variables, images))
