"""Mutual scoring: the patches of a set of images, scored by the other images of the set.

It is the MSM of Li et al. 2024, "MuSc", section 3.3. A patch is normal if many of the other images have one
that is similar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.runtime.scratch import scratch_array
from vlmad_jax.scoring.neighbours import LARGEST_BUFFER

# The number of elements of the features of a block of images on the device: 256 MiB of float32. Two blocks
# are compared at a time, so that larger ones are copied there less often.
LARGEST_BLOCK = 2**26


def mutual_scores(
    patches: np.ndarray,
    interval: Sequence[float],
    embed: Callable[[jax.Array], jax.Array] = lambda block: block,
) -> np.ndarray:
    """Return the scores of the patches of N images by the other N - 1, equations 3 to 5.

    The distance of a patch from another image is the Euclidean one from the nearest patch there. Its score is
    the mean of an interval of these distances, sorted.

    The device holds two blocks of at most `LARGEST_BLOCK` elements and arrays of at most `LARGEST_BUFFER`
    elements, or one image's if it is larger; the host holds N x N x P distances. The largest work are
    N^2 P^2 D additions and multiplications: each pair of images is compared once for both.

    Args:
      patches: (N, P, D) on the host.
      interval: Two shares of the N - 1 distances, from 0 to 1; see `interval_bounds`.
      embed: A function of the patches of some images (n, P, D), independent for each image, to what is
        compared, vectors of length 1.

    Returns:
      float32 (N, P), from 0 to 2.
    """
    count, length = patches.shape[:2]
    size = block_size(patches.shape)
    blocks = [slice(first, min(first + size, count)) for first in range(0, count, size)]

    def load(rows: slice) -> jax.Array:
        block = np.asarray(patches[rows])
        # The last block is filled, so that all blocks compile once.
        return embed(jnp.asarray(np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])))

    distances = scratch_array((count, count, length))
    for number, rows in enumerate(blocks):
        left = load(rows)
        for others in blocks[number:]:
            right = left if others == rows else load(others)
            forth, back = jax.device_get(nearest_both_ways(left, right))
            n, m = rows.stop - rows.start, others.stop - others.start
            distances[rows, others] = forth[:n, :m]
            distances[others, rows] = back[:m, :n]
    return np.stack([interval_mean(np.delete(x, n, axis=0), interval) for n, x in enumerate(distances)])


def block_size(shape: Sequence[int]) -> int:
    """Return how many of N images (N, P, D) make a block, so that all blocks are about equally large."""
    count, length, width = shape
    blocks = -(-count // max(1, LARGEST_BLOCK // (length * width)))
    return -(-count // blocks)


@jax.jit
def nearest_both_ways(left: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the distance of each patch from the nearest one of each image on the other side.

    Args:
      left: (N, P, D), of length 1.
      right: (M, P, D), of length 1.

    Returns:
      Those of the left patches (N, M, P), and those of the right ones (M, N, P); 0 for equal patches.
    """
    length, width = left.shape[1:]

    def pair(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
        # Products find the nearest patch; they are not exact for close ones, so differences give distances.
        cosines = einsum("pd,qd->pq", a, b)
        forth = jnp.linalg.norm(a - b[cosines.argmax(axis=1)], axis=-1)
        back = jnp.linalg.norm(b - a[cosines.argmax(axis=0)], axis=-1)
        return forth, back

    def row(a: jax.Array) -> tuple[jax.Array, jax.Array]:
        return map_chunks(
            lambda images: jax.vmap(pair, (None, 0))(a, images),
            right,
            LARGEST_BUFFER // (length * max(length, width)),
        )

    forth, back = jax.lax.map(row, left)  # (N, M, P)
    return forth, back.swapaxes(0, 1)


def interval_bounds(count: int, interval: Sequence[float]) -> tuple[int, int]:
    """Return the first of `count` sorted distances in an interval of shares, and the one after the last.

    Both are rounded down, as the authors' code does.

    >>> interval_bounds(7, (0.0, 0.3)), interval_bounds(3, (0.0, 0.3))
    ((0, 2), (0, 0))
    """
    first, last = (int(count * share) for share in interval)
    return first, last


def interval_mean(distances: np.ndarray, interval: Sequence[float]) -> np.ndarray:
    """Return the means of the distances (N, P) in an interval of shares of the N: float32 (P,)."""
    first, last = interval_bounds(len(distances), interval)
    ordered = np.partition(distances, [first, last - 1], axis=0)
    return ordered[first:last].mean(axis=0, dtype=np.float64).astype(np.float32)
