"""Reference association: how far a feature is from everything in the memory of good samples."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vlmad_jax.clip.precision import einsum


def normalise(x: jax.Array) -> jax.Array:
    """Vectors (..., D) scaled to length 1; a zero vector stays zero."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-8)


def association_scores(features: jax.Array, memory: jax.Array) -> jax.Array:
    """Half the cosine distance to the nearest good feature: (B, P, D), (M, D) -> (B, P), 0 to 1.

    Jeong et al. 2023, "WinCLIP", equation 5; equals anomalib's `visual_association_score`.
    """
    similarity = einsum("bpd,md->bpm", normalise(features), normalise(memory))  # (B, P, M)
    # Rounding takes the cosine of equal vectors past 1, and a harmonic mean of scores below 0 has no meaning.
    return (1 - jnp.minimum(similarity.max(axis=-1), 1)) / 2
