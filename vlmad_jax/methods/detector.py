"""What every detector shares: its scores, and the two probabilities that words give."""

from __future__ import annotations

from typing import NamedTuple

import jax

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


def anomaly_probability(features: jax.Array, text_features: jax.Array, temperature: float) -> jax.Array:
    """softmax(cos(feature, text) / temperature) of the anomalous text: (..., E), (2, E) -> (...), 0 to 1.

    `text_features` are normal, then anomalous. Jeong et al. 2023, "WinCLIP", equation 1.
    """
    rows = normalise(features).reshape(-1, features.shape[-1])
    cosines = einsum("ne,ce->nc", rows, normalise(text_features)).reshape(*features.shape[:-1], 2)
    return jax.nn.softmax(cosines / temperature, axis=-1)[..., 1]


def upsample(patch_map: jax.Array, size: tuple[int, int]) -> jax.Array:
    """Bilinear upsampling with half-pixel centres: (B, rows, columns) -> (B, *size)."""
    shape = (patch_map.shape[0], *size)
    return jax.image.resize(patch_map, shape, "linear", antialias=False, precision=jax.lax.Precision.HIGHEST)
