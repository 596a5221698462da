"""PatchCore: patches compared with a coreset of good ones (Roth et al., CVPR 2022).

Memory (sections 3.1 and 3.2): patch features of middle layers, each the mean of its neighbourhood, of all
good images; of these a greedy coreset is kept.

Scores (section 3.3): a patch's is its distance to the nearest feature in memory; an image's is that of its
worst patch, the more trusted the closer that memory feature is to others in memory.

The paper takes the features from a ResNet; here they are a vision transformer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Scores
from vlmad_jax.methods.reference import Features, ReferenceDetector
from vlmad_jax.scoring.coreset import greedy_coreset
from vlmad_jax.scoring.neighbours import nearest_neighbours

State = dict[str, Any]


@dataclass(frozen=True, eq=False)
class PatchCore(ReferenceDetector):
    """PatchCore on any CLIP ViT.

    Attributes:
      clip: the backbone.
      image_size: S, the side of the images in pixels.
      feature_layers: L of them, counted from 1, whose patch features are compared.
      coreset_share: of all good patches, what is kept in memory; above 0, at most 1.
      neighbours: b of equation 7, memory features that the worst patch is weighed by.
      neighbourhood: p of equation 1, the side in patches of the square that a feature is the mean of; odd.

    Raises:
      InputError: a setting that does not fit the backbone, or is out of range.
    """

    clip: CLIP
    image_size: int
    feature_layers: tuple[int, ...]
    coreset_share: float = 0.1
    neighbours: int = 9
    neighbourhood: int = 3

    name: ClassVar[str] = "patchcore"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.coreset_share <= 1:
            raise InputError(f"coreset_share {self.coreset_share} is not above 0 and at most 1; give 0.1")
        if self.neighbours < 1:
            raise InputError(f"neighbours {self.neighbours} is less than 1; give for example 9")
        if self.neighbourhood < 1 or self.neighbourhood % 2 == 0:
            raise InputError(f"neighbourhood {self.neighbourhood} has no patch in its middle; give 1, 3 or 5")

    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> State:
        """The state for one kind of object.

        Args:
          object_name: not used; the good images say it all.
          references: uint8 (K, S, S, 3) good images.
          params: PatchCore learns none; {} or None.

        Returns:
          {"memory": (M, L D)}, M being `coreset_share` of K P, at least 1.

        Raises:
          InputError: no good images, or of another shape or type; parameters, of which there are none.
        """
        del object_name
        patches = self.good_features(references, params)["patches"]  # (K, P, L D)
        patches = patches.reshape(-1, patches.shape[-1])
        kept = greedy_coreset(patches, max(1, round(self.coreset_share * len(patches))))
        return {"memory": jnp.asarray(patches[jax.device_get(kept)])}

    def extract(self, variables: dict[str, Any], images: jax.Array) -> Features:
        """Features of images: "image" (B, E), "patches" (B, P, L D) averaged over their neighbourhoods."""
        features = super().extract(variables, images)
        return features | {"patches": self.average(features["patches"])}

    def average(self, patches: jax.Array) -> jax.Array:
        """The mean of each patch's neighbourhood, equation 2: (B, P, D) -> (B, P, D).

        Neighbours beyond the border count as zeros, as in the authors' code.
        """
        side = self.neighbourhood
        grid = patches.reshape(len(patches), *self.grid, -1)
        sums = jax.lax.reduce_window(grid, 0.0, jax.lax.add, (1, side, side, 1), (1, 1, 1, 1), "SAME")
        return sums.reshape(patches.shape) / side**2

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S), Euclidean distances, 0 and above."""
        patches, memory = self.extract(variables, images)["patches"], state["memory"]
        nearest, indices = nearest_neighbours(patches.reshape(-1, patches.shape[-1]), memory, 1)
        nearest, indices = (x.reshape(patches.shape[:2]) for x in (nearest, indices))  # (B, P)
        worst = nearest.argmax(axis=1, keepdims=True)  # (B, 1)
        patch = jnp.take_along_axis(patches, worst[..., None], axis=1)[:, 0]  # (B, L D)
        distance = jnp.take_along_axis(nearest, worst, axis=1)[:, 0]
        good = memory[jnp.take_along_axis(indices, worst, axis=1)[:, 0]]  # (B, L D)
        return Scores(distance * self.weight(patch, distance, good, memory), self.pixel_map(nearest))

    def weight(self, patch: jax.Array, distance: jax.Array, good: jax.Array, memory: jax.Array) -> jax.Array:
        """The factor of equation 7: near 0 if the memory feature is far from others in memory.

        Args:
          patch: (B, D), the worst of each image.
          distance: (B,), to the nearest memory feature.
          good: (B, D), that memory feature.
          memory: (M, D).

        Returns:
          (B,), 0 to 1; 1 if there is one neighbour only, which is the feature itself.
        """
        _, around = nearest_neighbours(good, memory, self.neighbours)
        if around.shape[1] == 1:
            return jnp.ones(len(patch))
        distances = jnp.linalg.norm(patch[:, None] - memory[around], axis=-1)  # (B, b)
        return 1 - jnp.exp(distance - jax.nn.logsumexp(distances, axis=1))
