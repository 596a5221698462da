"""Mutual scoring: the patches of a set of images, scored by the other images of the set.

`mutual_scores` is the MSM of Li et al. 2024, "MuSc", section 3.3: a patch is normal if many of the other
images have one that is similar. `mutual_distances` are those of Damm et al. 2025, "AnomalyDINO", in its
batched setting: it is normal if there are many similar ones in all other images together.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.runtime.scratch import scratch_array
from vlmad_jax.scoring.neighbours import LARGEST_BUFFER, normalise

# The number of elements of the features of a block of images on the device: 256 MiB of float32. There are two
# blocks at a time.
LARGEST_BLOCK = 2**26
# The number of pairs of images that are compared between two fetches of results.
PAIRS = 64


def mutual_scores(
    patches: np.ndarray,
    interval: Sequence[float],
    embed: Callable[[jax.Array], jax.Array] = lambda block: block,
) -> np.ndarray:
    """Return the scores of the patches of N images by the other N - 1, equations 3 to 5.

    The distance of a patch from another image is the Euclidean one from the nearest patch there. Its score is
    the mean of an interval of these distances, sorted.

    Each pair of images is compared once for both, in N (N - 1) P^2 D floating-point operations. The device
    holds two blocks of `LARGEST_BLOCK` elements, or of one image if it has more, and P^2 cosines; the host
    holds N^2 P distances.

    Args:
      patches: (N, P, D) on the host.
      interval: Two shares of the N - 1 distances, from 0 to 1; see `interval_bounds`.
      embed: A function of the patches of some images (n, P, D), independent for each image, to what is
        compared, vectors of length 1.

    Returns:
      float32 (N, P), from 0 to 2.
    """
    count, length, width = patches.shape
    size = min(count, max(1, LARGEST_BLOCK // (length * width)))

    def load(first: int) -> jax.Array:
        block = np.asarray(patches[first : first + size])
        # The last block is filled, so that all blocks compile once.
        return embed(jnp.asarray(np.concatenate([block, np.repeat(block[-1:], size - len(block), axis=0)])))

    distances = scratch_array((count, count, length))
    for first in range(0, count, size):
        left = load(first)
        for second in range(first, count, size):
            right = left if second == first else load(second)
            pairs = pairs_of(range(first, min(first + size, count)), range(second, min(second + size, count)))
            for k in range(0, len(pairs), PAIRS):
                some = pairs[k : k + PAIRS]
                full = np.concatenate([some, np.repeat(some[-1:], PAIRS - len(some), axis=0)])
                forth, back = jax.device_get(nearest_of_pairs(left, right, full - [first, second]))
                distances[some[:, 0], some[:, 1]] = forth[: len(some)]
                distances[some[:, 1], some[:, 0]] = back[: len(some)]
    return np.stack([interval_mean(np.delete(x, n, axis=0), interval) for n, x in enumerate(distances)])


def pairs_of(left: range, right: range) -> np.ndarray:
    """Return the pairs (n, 2) of a number in `left` and a larger one in `right`."""
    return np.array([(i, j) for i in left for j in right if i < j], int).reshape(-1, 2)


@jax.jit
def nearest_of_pairs(left: jax.Array, right: jax.Array, pairs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the distance of each patch from the nearest one of the other image of a pair.

    Args:
      left: (N, P, D), of length 1.
      right: (M, P, D), of length 1.
      pairs: int (C, 2), the places in `left` and `right` of the images of a pair.

    Returns:
      Those of the patches of the left images, and of the right images, (C, P) each; 0 for equal patches.
    """

    def distances(pair: jax.Array) -> tuple[jax.Array, jax.Array]:
        a, b = left[pair[0]], right[pair[1]]
        # Products find the nearest patch; they are not exact for close ones, so differences give distances.
        cosines = einsum("pd,qd->pq", a, b)
        forth = jnp.linalg.norm(a - b[places_of_largest(cosines, 1)], axis=-1)
        back = jnp.linalg.norm(b - a[places_of_largest(cosines, 0)], axis=-1)
        return forth, back

    return jax.lax.map(distances, pairs)


def places_of_largest(x: jax.Array, axis: int) -> jax.Array:
    """Return what `argmax` does, or a later place of an equal element, in a fifth of its time on a CPU."""
    places = jax.lax.broadcasted_iota(jnp.int32, x.shape, axis)
    return jnp.where(x == x.max(axis=axis, keepdims=True), places, -1).max(axis=axis)


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


def mutual_distances(patches: np.ndarray, share: float = 0.001) -> np.ndarray:
    """Return the mean cosine distances of patches from the nearest ones of all other images together.

    They are a share of the (N - 1) P patches, rounded down, and at least one of them. Of their distances, the
    largest and its equals do not count unless there are no others, as in the authors' code.

    They take 2 N^2 P^2 D floating-point operations. The device holds all N P patches, and `LARGEST_BUFFER`
    cosines or N P if those are more.

    Args:
      patches: (N, P, D) on the host, N of 2 or more.
      share: Above 0 and at most 1.

    Returns:
      float32 (N, P), 0 to 2.
    """
    nearest = max(1, int(share * (len(patches) - 1) * patches.shape[1]))
    unit = normalise(jnp.asarray(patches))
    images = tqdm(range(len(patches)), desc="mutual scoring", unit=" images", leave=False, disable=None)
    return np.stack([jax.device_get(distances_from_others(unit, n, nearest)) for n in images])


@functools.partial(jax.jit, static_argnames="nearest")
def distances_from_others(unit: jax.Array, image: int, nearest: int) -> jax.Array:
    """Return the distances of one image's patches; see `mutual_distances`.

    Args:
      unit: The patches of all images, (N, P, D) of length 1.
      image: The number of the image.
      nearest: The number of the other images' patches that are the share.

    Returns:
      (P,), 0 to 2.
    """
    count, length, width = unit.shape
    is_own = jnp.repeat(jnp.arange(count) == image, length)

    def mean_distances(rows: jax.Array) -> jax.Array:
        cosines = einsum("qd,md->qm", rows, unit.reshape(-1, width))
        largest, _ = jax.lax.top_k(jnp.where(is_own, -jnp.inf, cosines), nearest)
        distances = 1 - jnp.minimum(largest, 1)  # rounding can raise the cosine of equal vectors above 1
        is_below = distances < distances[:, -1:]
        mean = jnp.where(is_below, distances, 0).sum(axis=1) / jnp.maximum(is_below.sum(axis=1), 1)
        return jnp.where(is_below.any(axis=1), mean, distances[:, -1])

    return map_chunks(mean_distances, unit[image], LARGEST_BUFFER // (count * length))
