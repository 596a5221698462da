"""SubspaceAD: distances from the principal subspace of normal patches (Lendering et al., CVPR 2026).

Features: the tokens of a window of middle layers, without a norm, averaged over the layers. Subspace: the
fewest principal components of the patches of reference images, and of copies rotated by random angles, that
explain a share of the variance. A patch's score is its squared distance from the subspace, and an image's the
mean of the 1% largest pixels of its map.

Batched: without references, the subspace is that of the patches of a whole unlabelled set, most of which are
normal.

The numbers equal those of the authors' code. It draws new angles for the mean and for the covariance, which
then belong to different images. Here both have the same. The authors rotate references before they resize
them, `prepare` after that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.images import Array
from vlmad_jax.data.rotation import rotate_on_black
from vlmad_jax.errors import InputError
from vlmad_jax.methods.batched import Batched
from vlmad_jax.methods.detector import Features, Params, Scores, check_range
from vlmad_jax.methods.encoding import ENCODE_BATCH, map_batches
from vlmad_jax.methods.reference import ReferenceDetector
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.maps import blur, mean_of_largest, upsample
from vlmad_jax.scoring.principal_components import (
    Subspace,
    check_explained_variance,
    principal_subspace,
    residuals,
)

# The window of layers in the published network, which has 40.
FIRST_SHARE, LAST_SHARE = 23 / 40, 29 / 40
# The map's blur: a Gaussian of four pixels, of which 3 x 3 pixels are left, nearly their mean.
BLUR_SIGMA, BLUR_RADIUS = 4.0, 1


@dataclass(frozen=True, eq=False)
class SubspaceAD(ReferenceDetector, Batched):
    """SubspaceAD on any backbone.

    Attributes:
      backbone: The frozen network; the paper's is DINOv2-g with registers.
      image_size: The side of the images in pixels, or (height, width).
      feature_layers: The layers, counted from 1, whose features are averaged.
      explained_variance: The share of the variance that the subspace explains, above 0 and at most 1.
      random_rotations: The number of copies of each reference image, rotated by random angles.
      seed: The seed of the angles.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    backbone: Backbone
    image_size: ImageSize
    feature_layers: tuple[int, ...]
    explained_variance: float = 0.99
    random_rotations: int = 0
    seed: int = 0

    name: ClassVar[str] = "subspacead"
    options: ClassVar = ("feature_layers", "explained_variance", "random_rotations")
    reference_options: ClassVar = ("random_rotations",)
    state_type: ClassVar = Subspace

    def __post_init__(self) -> None:
        super().__post_init__()
        if len({self.backbone.widths[layer - 1] for layer in self.feature_layers}) > 1:
            raise InputError(
                f"feature layers {self.feature_layers} differ in their number of channels; give one of them"
            )
        check_explained_variance(self.explained_variance)
        check_range("random_rotations", self.random_rotations, 0, None)
        check_range("seed", self.seed, 0, None)

    @classmethod
    def paper(cls, backbone: Backbone) -> SubspaceAD:
        """Return the published setting for DINOv2-g: 672 pixels, layers 23 to 29 and 30 rotations."""
        return cls(backbone, 672, tuple(range(23, 30)), random_rotations=30)

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> SubspaceAD:
        """Return the published setting, scaled to a backbone of any depth and image size.

        It is `paper` for DINOv2-g with registers. For others it has the backbone's own size, the same window
        of layers as a share of the depth, and no rotations. The channels of a convolutional network differ
        between layers, so that it has the last one of the middle layers alone.
        """
        family, layers = "dinov2_with_registers", len(backbone.widths)
        if (backbone.family, layers, backbone.image_size) == (family, 40, 518):
            return cls.paper(backbone)
        if backbone.convolutional:
            return cls(backbone, backbone.image_size, backbone.middle_layers[-1:])
        return cls(backbone, backbone.image_size, layer_window(layers))

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images: `image` (B, E) and `patches` (B, P, D), the mean over layers."""
        features = super().extract(variables, images)
        layers = features.patches.reshape(*features.patches.shape[:2], len(self.feature_layers), -1)
        return features._replace(patches=layers.mean(axis=2))

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> Subspace:
        """Return the subspace of the reference images and their rotated copies; the name is unused."""
        del object_name
        references = self.checked_references(references, params)
        angles = np.random.default_rng(self.seed).uniform(0, 360, (self.random_rotations, len(references)))
        copies = [
            rotate_on_black(image[None], angle)
            for row in angles
            for image, angle in zip(references, row, strict=True)
        ]
        patches = np.asarray(self.encode(np.concatenate([references, *copies])).patches)  # (K, P, D)
        return self.subspace(patches)

    def subspace(self, patches: np.ndarray) -> Subspace:
        """Return the subspace of the patches of some images, (K, P, D)."""
        return principal_subspace(patches.reshape(-1, patches.shape[-1]), self.explained_variance)

    def distances(self, state: Subspace, patches: jax.Array) -> jax.Array:
        """Return the squared distances of patches from the subspace: (B, P, D) -> (B, P), 0 or more."""
        return residuals(patches.reshape(-1, patches.shape[-1]), state).reshape(patches.shape[:2])

    def pixel_map(self, patch_scores: jax.Array) -> jax.Array:
        """Upsample patch scores bilinearly and blur them: (B, P) -> (B, height, width)."""
        maps = upsample(patch_scores.reshape(-1, *self.grid), self.size)
        return blur(maps, BLUR_SIGMA, BLUR_RADIUS, "mirror")

    def score_features(self, state: Subspace, features: Features) -> Scores:
        """Return squared distances of images (B,) and pixels (B, height, width), 0 or more."""
        maps = self.pixel_map(self.distances(state, features.patches))
        return Scores(mean_of_largest(maps.reshape(len(maps), -1)), maps)

    def score_together(self, features: Features) -> Scores:
        """Return squared distances of images (N,) and pixels (N, height, width), 0 or more."""
        patches = np.asarray(features.patches)
        state = self.subspace(patches)
        return map_batches(lambda some: self._score_patches(state, some), patches, ENCODE_BATCH)

    @functools.cached_property
    def _score_patches(self) -> Callable[[Subspace, Array], Scores]:
        def score(state: Subspace, patches: jax.Array) -> Scores:
            return self.score_features(state, Features(jnp.empty((len(patches), 0)), patches))

        return jax.jit(score)


def layer_window(depth: int, first: float = FIRST_SHARE, last: float = LAST_SHARE) -> tuple[int, ...]:
    """Return the layers between two shares of the depth, both included, at least one.

    >>> layer_window(40)
    (23, 24, 25, 26, 27, 28, 29)
    >>> layer_window(12)
    (7, 8, 9)
    """
    start = max(1, round(depth * first))
    return tuple(range(start, max(start, round(depth * last)) + 1))
