"""Reference association: how far a feature is from everything in the memory of good samples."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.backbones.precision import einsum

# Numbers in any array that comparing with a memory makes beside the memory itself: 64 MiB of float32.
LARGEST_BUFFER = 2**24


def normalise(x: jax.Array) -> jax.Array:
    """Vectors (..., D) scaled to length 1; a zero vector stays zero."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-8)


def association_scores(features: jax.Array, memory: jax.Array) -> jax.Array:
    """Half the cosine distance to the nearest good feature: (B, P, D), (M, D) -> (B, P), 0 to 1.

    Jeong et al. 2023, "WinCLIP", equation 5; equals anomalib's `visual_association_score`. No array but
    those given, normalised, has more than `LARGEST_BUFFER` numbers.
    """
    good = normalise(memory)

    def nearest(rows: jax.Array) -> jax.Array:
        return einsum("nd,md->nm", rows, good).max(axis=-1)

    rows = normalise(features).reshape(-1, features.shape[-1])
    similarity = map_chunks(nearest, rows, LARGEST_BUFFER // len(memory)).reshape(features.shape[:-1])
    # Rounding takes the cosine of equal vectors past 1, and a harmonic mean of scores below 0 has no meaning.
    return (1 - jnp.minimum(similarity, 1)) / 2


def nearest_neighbours(features: jax.Array, memory: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """The good features nearest to each feature, and how far they are.

    No array but those given has more than `LARGEST_BUFFER` numbers, if the memory has no more rows than that.

    Args:
      features: (Q, D).
      memory: (M, D).
      count: how many are wanted; M if that is less.

    Returns:
      Euclidean distances (Q, count), ascending, 0 for equal features, and int32 rows of `memory` (Q, count).
    """
    features, memory, count = jnp.asarray(features), jnp.asarray(memory), min(count, len(memory))
    # Products tell near from far, best if short; the distances themselves are had from differences, because
    # a squared distance got from products is off by a millionth of the squared length.
    mean = memory.mean(axis=0)
    centred = memory - mean
    lengths = jnp.square(centred).sum(axis=-1)

    def nearest(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        closeness = einsum("qd,md->qm", rows - mean, centred) - lengths / 2
        if count == 1:
            indices = jnp.argmax(closeness, axis=-1)[:, None]  # much faster than sorting
        else:
            _, indices = jax.lax.top_k(closeness, count)
        distances = jnp.linalg.norm(rows[:, None] - memory[indices], axis=-1)
        order = jnp.argsort(distances, axis=-1)
        distances = jnp.take_along_axis(distances, order, axis=-1)
        return distances, jnp.take_along_axis(indices, order, axis=-1).astype(jnp.int32)

    return map_chunks(nearest, features, LARGEST_BUFFER // max(len(memory), count * memory.shape[1]))
