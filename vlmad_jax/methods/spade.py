"""SPADE: distances of patches from those of the most similar reference images (Cohen and Hoshen, 2020).

Images (section 3.2): the score of an image is its mean distance from the nearest reference images, by the
image feature.

Patches (section 3.3): the score of a patch is its distance from the nearest patch in those images.

The paper takes the features from a ResNet. Here they come from any frozen backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.backbones.images import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Features, Params, Scores
from vlmad_jax.methods.reference import ReferenceDetector
from vlmad_jax.runtime.sizes import ImageSize
from vlmad_jax.scoring.neighbours import nearest_neighbours


class State(NamedTuple):
    """The features of the reference images of one category.

    Attributes:
      images: (K, E).
      patches: (K, P, L D).
    """

    images: jax.Array
    patches: jax.Array


@dataclass(frozen=True, eq=False)
class SPADE(ReferenceDetector):
    """SPADE on any backbone, with one nearest patch (the paper's kappa).

    Attributes:
      backbone: The frozen network.
      image_size: The side of the images in pixels, or (height, width).
      feature_layers: The L layers, counted from 1, whose patch features are compared.
      neighbours: The paper's K, the number of reference images that an image is compared with, or all if they
        are fewer.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    backbone: Backbone
    image_size: ImageSize
    feature_layers: tuple[int, ...]
    neighbours: int = 50

    name: ClassVar[str] = "spade"
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise InputError(f"neighbours {self.neighbours} is less than 1; give for example 50")

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the features of the reference images; the name is unused."""
        del object_name
        features = self.reference_features(references, params)
        return State(jnp.asarray(features.image), jnp.asarray(features.patches))

    def score_features(self, state: State, features: Features) -> Scores:
        """Return Euclidean distances of images (B,) and pixels (B, height, width), 0 or more."""
        distances, similar = nearest_neighbours(features.image, state.images, self.neighbours)

        def nearest(image: tuple[jax.Array, jax.Array]) -> jax.Array:
            """Distances (P,) of one image's patches (P, D) from those of its similar images (K,)."""
            patches, similar = image

            def closer(k: jax.Array, distances: jax.Array) -> jax.Array:
                found, _ = nearest_neighbours(patches, state.patches[similar[k]], 1)
                return jnp.minimum(distances, found[:, 0])

            return jax.lax.fori_loop(0, len(similar), closer, jnp.full(len(patches), jnp.inf))

        maps = self.pixel_map(jax.lax.map(nearest, (features.patches, similar)))
        return Scores(distances.mean(axis=1), maps)
