"""PatchCore: distances of patches from a coreset of reference patches (Roth et al., CVPR 2022).

Memory (sections 3.1 and 3.2): the patch features of the middle layers of all reference images, each averaged
over its neighbourhood, reduced to a greedy coreset.

With `unit_length` the feature of each layer then has length 1, which the paper does not do. The layers of a
convolutional network differ in the length of their features, and so do images that are lit differently.

Scores (section 3.3): the score of a patch is its distance from the nearest feature in memory. The score of an
image is that of its worst patch, weighted by how close this nearest feature is to others in memory.

The paper takes the features from a ResNet. Here they come from any frozen backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone, Variables
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Features, Params, Scores
from vlmad_jax.methods.reference import ReferenceDetector
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.coreset import greedy_coreset
from vlmad_jax.scoring.neighbourhoods import neighbourhood_mean
from vlmad_jax.scoring.neighbours import nearest_neighbours, normalise


class State(NamedTuple):
    """The memory of one category.

    Attributes:
      memory: (M, L D), M being `coreset_share` of K P and at least 1.
    """

    memory: jax.Array


@dataclass(frozen=True, eq=False)
class PatchCore(ReferenceDetector):
    """PatchCore on any backbone.

    Attributes:
      backbone: The frozen network.
      image_size: The side of the images in pixels, or (height, width).
      feature_layers: The L layers, counted from 1, whose patch features are compared.
      coreset_share: The fraction of all reference patches in memory, above 0 and at most 1.
      neighbours: b of equation 7, the number of features in memory that weight the worst patch.
      neighbourhood: p of equation 1, the odd side in patches of the square that a feature is averaged over.
      unit_length: Whether the averaged feature of each layer is scaled to length 1.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    backbone: Backbone
    image_size: ImageSize
    feature_layers: tuple[int, ...]
    coreset_share: float = 0.1
    neighbours: int = 9
    neighbourhood: int = 3
    unit_length: bool = False

    name: ClassVar[str] = "patchcore"
    options: ClassVar = ("feature_layers", "unit_length")
    state_type: ClassVar = State
    omitted_defaults: ClassVar = {"unit_length": False}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.coreset_share <= 1:
            raise InputError(f"coreset_share {self.coreset_share} is not above 0 and at most 1; give 0.1")
        if self.neighbours < 1:
            raise InputError(f"neighbours {self.neighbours} is less than 1; give for example 9")
        if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
            raise InputError(f"neighbourhood {self.neighbourhood} has no patch in its middle; give 1, 3 or 5")

    @classmethod
    def for_backbone(cls, backbone: Backbone) -> PatchCore:
        """Return the published setting with the backbone's own image size and its middle layers.

        Of a convolutional network it is the last middle layer alone, at unit length: with EfficientNet-Lite 0
        and 4 references the mean image AUROC of `synthetic` and `textures` is 0.890 so, and 0.877 with both
        layers as they are.
        """
        if not backbone.convolutional:
            return super().for_backbone(backbone)
        return cls(backbone, backbone.image_size, backbone.middle_layers[-1:], unit_length=True)

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the coreset of the reference images' patches; the name is unused."""
        del object_name
        patches = self.reference_features(references, params).patches  # (K, P, L D)
        patches = patches.reshape(-1, patches.shape[-1])
        kept = greedy_coreset(patches, max(1, round(self.coreset_share * len(patches))))
        return State(jnp.asarray(patches[jax.device_get(kept)]))

    def extract(self, variables: Variables, images: jax.Array) -> Features:
        """Return the features of images, with patches averaged over their neighbourhoods, equation 2.

        Neighbours outside of the image count as zeros, as in the authors' code.
        """
        features = super().extract(variables, images)
        patches = neighbourhood_mean(features.patches, self.grid, self.neighbourhood)
        if self.unit_length:
            widths = [self.backbone.widths[layer - 1] for layer in self.feature_layers]
            layers = jnp.split(patches, np.cumsum(widths)[:-1].tolist(), axis=-1)
            patches = jnp.concatenate([normalise(x) for x in layers], axis=-1)
        return features._replace(patches=patches)

    def score_features(self, state: State, features: Features) -> Scores:
        """Return Euclidean distances of images (B,) and pixels (B, height, width), 0 or more."""
        patches, memory = features.patches, state.memory
        nearest, indices = nearest_neighbours(patches.reshape(-1, patches.shape[-1]), memory, 1)
        nearest, indices = (x.reshape(patches.shape[:2]) for x in (nearest, indices))  # (B, P)
        worst = nearest.argmax(axis=1, keepdims=True)  # (B, 1)
        patch = jnp.take_along_axis(patches, worst[..., None], axis=1)[:, 0]  # (B, L D)
        distance = jnp.take_along_axis(nearest, worst, axis=1)[:, 0]
        match = memory[jnp.take_along_axis(indices, worst, axis=1)[:, 0]]  # (B, L D)
        return Scores(distance * self.weight(patch, distance, match, memory), self.pixel_map(nearest))

    def weight(self, patch: jax.Array, distance: jax.Array, match: jax.Array, memory: jax.Array) -> jax.Array:
        """Return the factor of equation 7, which is near 0 if the match is far from others in memory.

        Args:
          patch: (B, D), the worst patch of each image.
          distance: (B,), its distance from its match.
          match: (B, D), the nearest feature in memory.
          memory: (M, D).

        Returns:
          (B,), 0 to 1; 1 if the match is the only neighbour.
        """
        _, around = nearest_neighbours(match, memory, self.neighbours)
        if around.shape[1] == 1:
            return jnp.ones(len(patch))
        distances = jnp.linalg.norm(patch[:, None] - memory[around], axis=-1)  # (B, b)
        return 1 - jnp.exp(distance - jax.nn.logsumexp(distances, axis=1))
