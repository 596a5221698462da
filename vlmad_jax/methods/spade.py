"""SPADE: patches compared with those of the good images that are most alike (Cohen and Hoshen, 2020).

Whole images (section 3.2): the good images nearest by the image feature are looked up; the mean distance
to them is the image score.

Patches (section 3.3): a patch's score is its distance to the nearest patch anywhere in those images.

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
from vlmad_jax.methods.reference import ReferenceDetector
from vlmad_jax.scoring.neighbours import nearest_neighbours

State = dict[str, Any]


@dataclass(frozen=True, eq=False)
class SPADE(ReferenceDetector):
    """SPADE on any CLIP ViT, a patch being compared with its one nearest (the paper's kappa).

    Attributes:
      clip: the backbone.
      image_size: S, the side of the images in pixels.
      feature_layers: L of them, counted from 1, whose patch features are compared.
      neighbours: the paper's K, good images that an image is compared with; all if they are fewer.

    Raises:
      InputError: a setting that does not fit the backbone, or is out of range.
    """

    clip: CLIP
    image_size: int
    feature_layers: tuple[int, ...]
    neighbours: int = 50

    name: ClassVar[str] = "spade"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.neighbours < 1:
            raise InputError(f"neighbours {self.neighbours} is less than 1; give for example 50")

    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> State:
        """The state for one kind of object.

        Args:
          object_name: not used; the good images say it all.
          references: uint8 (K, S, S, 3) good images.
          params: SPADE learns none; {} or None.

        Returns:
          {"images": (K, E), "patches": (K, P, L D)}, the features of the good images.

        Raises:
          InputError: no good images, or of another shape or type; parameters, of which there are none.
        """
        del object_name
        features = self.good_features(references, params)
        return {"images": jnp.asarray(features["image"]), "patches": jnp.asarray(features["patches"])}

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S), Euclidean distances, 0 and above."""
        features = self.extract(variables, images)
        distances, alike = nearest_neighbours(features["image"], state["images"], self.neighbours)

        def nearest(image: tuple[jax.Array, jax.Array]) -> jax.Array:
            """Distances of the patches (P, D) of one image to those of the good images (K,): (P,)."""
            patches, alike = image

            def closer(k: jax.Array, distances: jax.Array) -> jax.Array:
                found, _ = nearest_neighbours(patches, state["patches"][alike[k]], 1)
                return jnp.minimum(distances, found[:, 0])

            return jax.lax.fori_loop(0, len(alike), closer, jnp.full(len(patches), jnp.inf))

        maps = self.pixel_map(jax.lax.map(nearest, (features["patches"], alike)))
        return Scores(distances.mean(axis=1), maps)
