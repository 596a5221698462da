"""PaDiM: how unlikely a patch is among the good ones of its position (Defard et al., ICPR 2021).

For each position in the image (section III-B) a Gaussian is fitted to the features of the good images, of
which a random choice of channels is enough (section III-A); a patch's score is its Mahalanobis distance to
the Gaussian of its position, an image's the maximum of the map (section III-C). So the product has to lie in
the same place in every image.

The paper takes the features from a ResNet; here they are a vision transformer's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Scores
from vlmad_jax.methods.reference import ReferenceDetector

State = dict[str, Any]

# What is added to the variances, so that any covariance has an inverse: the paper's.
EPSILON = 0.01


@dataclass(frozen=True, eq=False)
class PaDiM(ReferenceDetector):
    """PaDiM on any CLIP ViT.

    Attributes:
      clip: the backbone.
      image_size: S, the side of the images in pixels.
      feature_layers: L of them, counted from 1, whose patch features are compared.
      dimensions: d, channels chosen at random from those of all layers; all of them if they are fewer.
      seed: of that choice.

    Raises:
      InputError: a setting that does not fit the backbone, or is out of range.
    """

    clip: CLIP
    image_size: int
    feature_layers: tuple[int, ...]
    dimensions: int = 100
    seed: int = 0

    name: ClassVar[str] = "padim"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions < 1:
            raise InputError(f"dimensions {self.dimensions} is less than 1; give for example 100")
        if self.seed < 0:
            raise InputError(f"seed {self.seed} is below 0; give 0 or more")

    @functools.cached_property
    def channels(self) -> np.ndarray:
        """Which channels of the L D are compared, (d,), ascending."""
        channels = len(self.feature_layers) * self.clip.config.vision.width
        count = min(self.dimensions, channels)
        return np.sort(np.random.default_rng(self.seed).choice(channels, count, replace=False))

    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> State:
        """The state for one kind of object.

        Args:
          object_name: not used; the good images say it all.
          references: uint8 (K, S, S, 3) good images.
          params: PaDiM learns none; {} or None.

        Returns:
          {"mean": (P, d), "whitening": (P, d, d)}: the Mahalanobis distance of x is the length of
          whitening (x - mean).

        Raises:
          InputError: no good images, or of another shape or type; parameters, of which there are none.
        """
        del object_name
        patches = self.good_features(references, params)["patches"][..., self.channels]
        mean, covariance = gaussians(patches.astype(np.float64))
        whitening = np.linalg.inv(np.linalg.cholesky(covariance))
        return {"mean": jnp.asarray(mean, jnp.float32), "whitening": jnp.asarray(whitening, jnp.float32)}

    def score_with(self, variables: dict[str, Any], state: State, images: jax.Array) -> Scores:
        """Image (B,) and map (B, S, S), Mahalanobis distances (equation 2), 0 and above."""
        patches = self.extract(variables, images)["patches"][..., self.channels]  # (B, P, d)
        whitened = einsum("pij,bpj->bpi", state["whitening"], patches - state["mean"])
        maps = self.pixel_map(jnp.linalg.norm(whitened, axis=-1))
        return Scores(maps.max(axis=(1, 2)), maps)


def gaussians(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The Gaussian of each position, equation 1: (K, P, d) -> mean (P, d), covariance (P, d, d).

    Of one image the covariance is `EPSILON` times the identity.
    """
    mean = patches.mean(axis=0)
    centred = (patches - mean).swapaxes(0, 1)  # (P, K, d)
    covariance = centred.swapaxes(1, 2) @ centred / max(1, len(patches) - 1)
    return mean, covariance + EPSILON * np.eye(patches.shape[-1])
