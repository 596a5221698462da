"""A few features that stand for many: the greedy coreset (Roth et al., CVPR 2022, "PatchCore", algorithm 1).

The plain algorithm takes, again and again, the feature farthest from all taken so far, and after each updates
the distances of all N. Distances only ever shrink, so those not updated yet are upper bounds: the choice is
the same, feature by feature, if it is made among the `CANDIDATES` farthest for as long as the farthest of
these is no nearer than any bound outside. Only then are all N updated, with one matrix product.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError

# Features among which is chosen before all distances are updated.
CANDIDATES = 1024
# Features taken before all distances are updated, at most.
TAKEN_TOGETHER = 256
# Features whose distances are updated together.
CHUNK_ROWS = 2048
# Squared distances below this share of the squared length are rounding errors of equal features.
ROUNDING = 4e-6
# "Distance" of a feature that has been taken: below all others.
TAKEN = -1.0


class Progress(NamedTuple):
    """Of N features: squared distances (N,) to the nearest one taken; those taken, and their number."""

    distances: jax.Array
    taken: jax.Array
    number: jax.Array


def greedy_coreset(features: Array, count: int) -> jax.Array:
    """Which features to keep, so that every feature is near one that is kept.

    The first is the feature farthest from the mean; each next one is the feature farthest from those before.
    Of equally far ones the first in `features` is taken. The choice is that of the plain loop but for
    distances that float32 cannot tell apart.

    Args:
      features: (N, D).
      count: how many to keep, 1 to N.

    Returns:
      (count,) int32 rows of `features`, different ones, in the order of choice: a shorter coreset is the
      beginning of a longer one.

    Raises:
      InputError: a count that is not 1 to N.

    >>> greedy_coreset(jnp.array([[0.0], [1.0], [2.0], [10.0]]), 3)
    Array([3, 0, 2], dtype=int32)
    """
    if not 1 <= count <= len(features):
        raise InputError(f"cannot keep {count} of {len(features)} features; give 1 to {len(features)}")
    return _greedy_coreset(jnp.asarray(features, jnp.float32), count)


@functools.partial(jax.jit, static_argnums=1)
def _greedy_coreset(features: jax.Array, count: int) -> jax.Array:
    # Rounding of |a|^2 + |b|^2 - 2 a b grows with the lengths, which are least about the mean.
    features = features - features.mean(axis=0)
    lengths = jnp.square(features).sum(axis=-1)
    first = jnp.argmax(lengths).astype(jnp.int32)
    taken = jnp.full(count + TAKEN_TOGETHER, first)  # room behind the last for a whole group
    if count == 1:
        return taken[:1]
    distances = update(features, lengths, jnp.full(len(features), jnp.inf), first[None])

    def take(progress: Progress) -> Progress:
        group, size = choose(features, lengths, progress.distances, count - progress.number)
        taken = jax.lax.dynamic_update_slice(progress.taken, group, (progress.number,))
        return Progress(update(features, lengths, progress.distances, group), taken, progress.number + size)

    start = Progress(distances, taken, jnp.int32(1))
    return jax.lax.while_loop(lambda progress: progress.number < count, take, start).taken[:count]


class Choice(NamedTuple):
    """Of M candidates: squared distances (M,) to the nearest one taken; the group, and its size so far."""

    distances: jax.Array
    group: jax.Array
    size: jax.Array


def choose(
    features: jax.Array, lengths: jax.Array, distances: jax.Array, most: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The features that the plain loop takes next, as far as it is known without updating all distances.

    Args:
      features: (N, D).
      lengths: (N,), squared.
      distances: (N,), squared, to the nearest feature taken; `TAKEN` for those.
      most: how many to take at the most.

    Returns:
      (`TAKEN_TOGETHER`,) rows of `features`, of which as many as the second result says were chosen; the
      others repeat the first.
    """
    size = min(CANDIDATES, len(features) - 1)
    farthest, rows = jax.lax.top_k(distances, size + 1)
    bound, bound_row = farthest[-1], rows[-1]  # the farthest of the others, and the first of these
    rows = jnp.sort(rows[:-1])  # so that the first of equally far candidates is the first feature
    some, some_lengths = features[rows], lengths[rows]
    among = some_lengths[:, None] + some_lengths - 2 * einsum("ad,bd->ab", some, some)
    among = without_rounding(among, some_lengths)

    def known(state: Choice) -> jax.Array:
        best = jnp.argmax(state.distances)
        farthest = state.distances[best]
        ahead = (farthest > bound) | ((farthest == bound) & (rows[best] < bound_row))
        # The first one always is; said so for features that are not numbers.
        return (ahead | (state.size == 0)) & (state.size < jnp.minimum(most, TAKEN_TOGETHER))

    def take(state: Choice) -> Choice:
        best = jnp.argmax(state.distances)
        distances = jnp.minimum(state.distances, among[best]).at[best].set(TAKEN)
        return Choice(distances, state.group.at[state.size].set(rows[best]), state.size + 1)

    first = rows[jnp.argmax(distances[rows])]
    start = Choice(distances[rows], jnp.full(TAKEN_TOGETHER, first), jnp.int32(0))
    _, group, taken = jax.lax.while_loop(known, take, start)
    return group, taken


def update(features: jax.Array, lengths: jax.Array, distances: jax.Array, group: jax.Array) -> jax.Array:
    """`distances` (N,) with the features of `group` taken too, a bounded number of rows at a time."""
    size = min(CHUNK_ROWS, len(features))
    taken, taken_lengths = features[group], lengths[group]

    def part(n: jax.Array, distances: jax.Array) -> jax.Array:
        # The last chunk begins early enough to be whole: updating twice changes nothing.
        start = jnp.minimum(n * size, len(features) - size)
        rows = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=size)
        products = einsum("bd,ad->ba", rows(features), taken)
        # The length of a row is the same for all that were taken; XLA is fastest if it is added last.
        nearest = (taken_lengths - 2 * products).min(axis=1) + rows(lengths)
        nearest = jnp.minimum(rows(distances), without_rounding(nearest, rows(lengths)))
        return jax.lax.dynamic_update_slice(distances, nearest, (start,))

    distances = jax.lax.fori_loop(0, -(-len(features) // size), part, distances)
    return distances.at[group].set(TAKEN)


def without_rounding(distances: jax.Array, lengths: jax.Array) -> jax.Array:
    """Squared distances, 0 from a feature of that squared length to one that is equal."""
    return jnp.where(distances < ROUNDING * lengths, 0, distances)
