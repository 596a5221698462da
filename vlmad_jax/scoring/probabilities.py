"""Logits and probabilities of image features against normal and anomalous text features."""

from __future__ import annotations

import jax

from vlmad_jax.backbones.precision import einsum
from vlmad_jax.scoring.neighbours import normalise


def text_logits(features: jax.Array, text_features: jax.Array, temperature: float) -> jax.Array:
    """Return the cosines with the normal and anomalous text features, divided by the temperature.

    Args:
      features: (..., E).
      text_features: (2, E), normal and anomalous.
      temperature: Above 0.

    Returns:
      (..., 2).
    """
    rows = normalise(features).reshape(-1, features.shape[-1])
    cosines = einsum("ne,ce->nc", rows, normalise(text_features)).reshape(*features.shape[:-1], 2)
    return cosines / temperature


def anomaly_probability(features: jax.Array, text_features: jax.Array, temperature: float) -> jax.Array:
    """Return the softmax probability of the anomalous text: (..., E), (2, E) -> (...), 0 to 1.

    Jeong et al. 2023, "WinCLIP", equation 1.
    """
    return jax.nn.softmax(text_logits(features, text_features, temperature), axis=-1)[..., 1]
