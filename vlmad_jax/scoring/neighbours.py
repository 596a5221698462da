"""Distances of features from their nearest neighbours in a memory of normal features."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.backbones.precision import einsum

# The number of elements in the largest array of a comparison, beside the memory: 64 MiB of float32.
LARGEST_BUFFER = 2**24


def normalise(x: jax.Array) -> jax.Array:
    """Scale vectors (..., D) to length 1; a zero vector stays zero."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-8)


def association_scores(features: jax.Array, memory: jax.Array) -> jax.Array:
    """Return half the cosine distance to the nearest feature in memory: (B, P, D), (M, D) -> (B, P), 0 to 1.

    Jeong et al. 2023, "WinCLIP", equation 5. It equals anomalib's `visual_association_score`.
    """
    rows = features.reshape(-1, features.shape[-1])
    return cosine_distances(rows, normalise(memory)).reshape(features.shape[:-1]) / 2


def cosine_distances(features: jax.Array, memory: jax.Array) -> jax.Array:
    """Return 1 - the cosine to the nearest feature in memory.

    No array but the normalised features has more than `LARGEST_BUFFER` elements, if that is more than Q.

    Args:
      features: (Q, D).
      memory: (M, D) of length 1.

    Returns:
      (Q,), 0 to 2.
    """
    unit = normalise(features)
    # The memory is read once, in parts. The last one starts early enough to be full: a maximum may see a row
    # twice.
    size = min(len(memory), max(1, LARGEST_BUFFER // max(features.shape)))

    def nearer(n: jax.Array, cosines: jax.Array) -> jax.Array:
        start = jnp.minimum(n * size, len(memory) - size)
        part = jax.lax.dynamic_slice_in_dim(memory, start, size)
        return jnp.maximum(cosines, einsum("qd,md->qm", unit, part).max(axis=-1))

    cosines = jnp.full(len(unit), -1.0)
    cosines = jax.lax.fori_loop(0, -(-len(memory) // size), nearer, cosines)
    # Rounding can raise the cosine of equal vectors above 1, but harmonic means need scores of 0 or more.
    return 1 - jnp.minimum(cosines, 1)


def nearest_neighbours(features: jax.Array, memory: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Return the nearest features in memory, and their Euclidean distances.

    No array but the inputs has more than `LARGEST_BUFFER` elements, if the memory has no more rows than that.

    Args:
      features: (Q, D).
      memory: (M, D).
      count: The number of neighbours, at most M; a larger one means M.

    Returns:
      The distances (Q, count), ascending and 0 for equal features, and int32 rows of `memory` (Q, count).
    """
    features, memory, count = jnp.asarray(features), jnp.asarray(memory), min(count, len(memory))
    # Matrix products find the neighbours. They are most exact for short vectors, so the mean is subtracted.
    # Their squared distances have errors of a millionth of the squared length, so differences give the
    # returned distances.
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
