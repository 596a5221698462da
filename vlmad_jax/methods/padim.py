"""PaDiM: a Gaussian of the reference patches at each position (Defard et al., ICPR 2021).

A Gaussian is fitted to the features of the reference images at each position of the grid (section III-B), in
a random selection of channels (section III-A). The score of a patch is its Mahalanobis distance from the
Gaussian of its position, and the score of an image is the maximum of the map (section III-C). The method
therefore needs objects in the same position in every image.

The paper takes the features from a ResNet. Here they come from any frozen backbone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError
from vlmad_jax.methods.detector import Features, Params, Scores
from vlmad_jax.methods.reference import ReferenceDetector
from vlmad_jax.runtime.sizes import ImageSize

# The value added to the variances in the paper, so that every covariance has an inverse.
EPSILON = 0.01


class State(NamedTuple):
    """The Gaussians of one category. The Mahalanobis distance of x is the length of whitening (x - mean).

    Attributes:
      mean: (P, d).
      whitening: (P, d, d).
    """

    mean: jax.Array
    whitening: jax.Array


@dataclass(frozen=True, eq=False)
class PaDiM(ReferenceDetector):
    """PaDiM on any backbone.

    Attributes:
      backbone: The frozen network.
      image_size: The side of the images in pixels, or (height, width).
      feature_layers: The L layers, counted from 1, whose patch features are compared.
      dimensions: d, the number of randomly selected channels of all layers, or all if they are fewer.
      seed: The seed of the selection.

    Raises:
      InputError: A hyper-parameter does not fit the backbone or is out of range.
    """

    backbone: Backbone
    image_size: ImageSize
    feature_layers: tuple[int, ...]
    dimensions: int = 100
    seed: int = 0

    name: ClassVar[str] = "padim"
    state_type: ClassVar = State

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions < 1:
            raise InputError(f"dimensions {self.dimensions} is less than 1; give for example 100")
        if self.seed < 0:
            raise InputError(f"seed {self.seed} is below 0; give 0 or more")

    @functools.cached_property
    def channels(self) -> np.ndarray:
        """The selected channels of the L D, (d,), ascending."""
        channels = sum(self.backbone.widths[layer - 1] for layer in self.feature_layers)
        count = min(self.dimensions, channels)
        return np.sort(np.random.default_rng(self.seed).choice(channels, count, replace=False))

    def prepare(
        self, object_name: str, references: Array | None = None, params: Params | None = None
    ) -> State:
        """Return the Gaussians of the reference images' patches; the name is unused."""
        del object_name
        patches = self.reference_features(references, params).patches[..., self.channels]
        mean, covariance = gaussians(np.asarray(patches, np.float64))
        whitening = np.linalg.inv(np.linalg.cholesky(covariance))
        return State(jnp.asarray(mean, jnp.float32), jnp.asarray(whitening, jnp.float32))

    def score_features(self, state: State, features: Features) -> Scores:
        """Return Mahalanobis distances (equation 2) of images (B,) and pixels (B, h, w), 0 or more."""
        patches = features.patches[..., self.channels]  # (B, P, d)
        whitened = einsum("pij,bpj->bpi", state.whitening, patches - state.mean)
        maps = self.pixel_map(jnp.linalg.norm(whitened, axis=-1))
        return Scores(maps.max(axis=(1, 2)), maps)


def gaussians(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a Gaussian to each position, equation 1: (K, P, d) -> mean (P, d), covariance (P, d, d).

    The covariance of a single image is `EPSILON` times the identity.
    """
    mean = patches.mean(axis=0)
    centred = (patches - mean).swapaxes(0, 1)  # (P, K, d)
    covariance = centred.swapaxes(1, 2) @ centred / max(1, len(patches) - 1)
    return mean, covariance + EPSILON * np.eye(patches.shape[-1])
