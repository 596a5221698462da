"""Probabilities of "anomalous" from cosines of features with text features."""

from __future__ import annotations

import jax

from vlmad_jax.backbones.precision import einsum
from vlmad_jax.scoring.neighbours import normalise


def state_cosines(features: jax.Array, text_features: jax.Array) -> jax.Array:
    """Cosines of features with the normal and the anomalous text: (..., E), (2, E) -> (..., 2)."""
    rows = normalise(features).reshape(-1, features.shape[-1])
    return einsum("ne,ce->nc", rows, normalise(text_features)).reshape(*features.shape[:-1], 2)


def anomaly_probability(features: jax.Array, text_features: jax.Array, temperature: float) -> jax.Array:
    """softmax(cos(feature, text) / temperature) of the anomalous text: (..., E), (2, E) -> (...), 0 to 1.

    `text_features` are normal, then anomalous. Jeong et al. 2023, "WinCLIP", equation 1.
    """
    return jax.nn.softmax(state_cosines(features, text_features) / temperature, axis=-1)[..., 1]
