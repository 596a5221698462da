"""What every detector shares: its contract, its scores, and what turns features and words into them."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import numpy as np
from scipy.ndimage import gaussian_filter1d

from vlmad_jax.association import normalise
from vlmad_jax.clip.pictures import Array
from vlmad_jax.clip.precision import einsum


class Scores(NamedTuple):
    """What a detector says of B pictures; higher is more anomalous.

    Attributes:
      image: (B,) float32.
      map: (B, S, S) float32, a score a pixel.
    """

    image: Array
    map: Array


class Detector(Protocol):
    """A published system: hyper-parameters around a backbone, and pure functions.

    `init` makes learnable parameters, `prepare` the state of one kind of object, `score` the scores of
    pictures uint8 (B, S, S, 3) of side `size`. `setting` holds the hyper-parameters, as JSON can.
    """

    name: ClassVar[str]

    @property
    def size(self) -> int: ...

    @property
    def setting(self) -> dict[str, Any]: ...

    def init(self, key: jax.Array) -> dict[str, Any]: ...

    def prepare(
        self, object_name: str, references: Array | None = None, params: dict[str, Any] | None = None
    ) -> Any: ...

    def score(self, state: Any, images: Array) -> Scores: ...


def state_cosines(features: jax.Array, text_features: jax.Array) -> jax.Array:
    """Cosines of features with the normal and the anomalous text: (..., E), (2, E) -> (..., 2)."""
    rows = normalise(features).reshape(-1, features.shape[-1])
    return einsum("ne,ce->nc", rows, normalise(text_features)).reshape(*features.shape[:-1], 2)


def anomaly_probability(features: jax.Array, text_features: jax.Array, temperature: float) -> jax.Array:
    """softmax(cos(feature, text) / temperature) of the anomalous text: (..., E), (2, E) -> (...), 0 to 1.

    `text_features` are normal, then anomalous. Jeong et al. 2023, "WinCLIP", equation 1.
    """
    return jax.nn.softmax(state_cosines(features, text_features) / temperature, axis=-1)[..., 1]


def upsample(patch_map: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Bilinear upsampling with half-pixel centres: (B, rows, columns) -> (B, *size)."""
    shape = (patch_map.shape[0], *size)
    return jax.image.resize(patch_map, shape, "linear", antialias=False, precision=jax.lax.Precision.HIGHEST)


def blur(maps: jax.Array, sigma: float) -> jax.Array:
    """Gaussian blur of maps (B, S, S), equal to scipy's `gaussian_filter` with its truncation and reflection.

    A blur is linear, so the filter of one axis is the matrix that scipy makes of the identity.
    """
    if not sigma:
        return maps
    rows, columns = (
        gaussian_filter1d(np.eye(side, dtype=np.float64), sigma, axis=0).astype(np.float32)
        for side in maps.shape[1:]
    )
    down = einsum("ts,bsu->btu", rows, maps)
    return einsum("btu,vu->btv", down, columns)
