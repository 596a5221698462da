"""The greedy coreset of features (Roth et al., CVPR 2022, "PatchCore", algorithm 1).

The plain algorithm repeatedly selects the feature farthest from those selected so far, and updates the
distances of all N features after each. Distances only shrink, so a distance that is out of date is an upper
bound. The selection is therefore the same among the `CANDIDATES` farthest features alone, as long as the
farthest candidate is at least as far as the bound of every other feature. Only then are all N distances
updated, with one matrix product.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError

# The number of candidates between two updates of all distances.
CANDIDATES = 1024
# The largest number of features selected between two updates of all distances.
GROUP_SIZE = 256
# The number of features whose distances are updated together.
CHUNK_ROWS = 2048
# Squared distances below this fraction of the squared length are rounding errors of equal features.
ROUNDING = 4e-6
# The distance that marks a selected feature; it is below all others.
SELECTED = -1.0


class Progress(NamedTuple):
    """The selection so far.

    Attributes:
      distances: (N,), the squared distance of each feature to the nearest selected one.
      selected: The rows selected so far, followed by padding.
      number: The number of selected rows.
    """

    distances: jax.Array
    selected: jax.Array
    number: jax.Array


def greedy_coreset(features: Array, count: int) -> jax.Array:
    """Select features such that every feature is near a selected one.

    The first is the feature farthest from the mean. Each further one is the feature farthest from those
    selected before, and the first in `features` among equally far ones. The selection equals that of the
    plain algorithm except where float32 cannot distinguish two distances.

    Args:
      features: (N, D).
      count: The number of features to select, 1 to N.

    Returns:
      (count,) distinct int32 rows of `features` in the order of selection, so that a smaller coreset is the
      beginning of a larger one.

    Raises:
      InputError: The count is not 1 to N.

    >>> greedy_coreset(jnp.array([[0.0], [1.0], [2.0], [10.0]]), 3)
    Array([3, 0, 2], dtype=int32)
    """
    if not 1 <= count <= len(features):
        raise InputError(f"cannot select {count} of {len(features)} features; give 1 to {len(features)}")
    return _greedy_coreset(jnp.asarray(features, jnp.float32), count)


@functools.partial(jax.jit, static_argnums=1)
def _greedy_coreset(features: jax.Array, count: int) -> jax.Array:
    # Rounding errors of |a|^2 + |b|^2 - 2 a b grow with the lengths. Subtracting the mean minimises these.
    features = features - features.mean(axis=0)
    lengths = jnp.square(features).sum(axis=-1)
    first = jnp.argmax(lengths).astype(jnp.int32)
    selected = jnp.full(count + GROUP_SIZE, first)  # the last group may reach beyond `count`
    if count == 1:
        return selected[:1]
    distances = update(features, lengths, jnp.full(len(features), jnp.inf), first[None])

    def select(progress: Progress) -> Progress:
        group, size = choose(features, lengths, progress.distances, count - progress.number)
        selected = jax.lax.dynamic_update_slice(progress.selected, group, (progress.number,))
        return Progress(
            update(features, lengths, progress.distances, group), selected, progress.number + size
        )

    start = Progress(distances, selected, jnp.int32(1))
    return jax.lax.while_loop(lambda progress: progress.number < count, select, start).selected[:count]


class Choice(NamedTuple):
    """The selection among M candidates.

    Attributes:
      distances: (M,), the squared distance of each candidate to the nearest selected feature.
      group: The rows selected among the candidates, followed by padding.
      size: The number of rows selected among the candidates.
    """

    distances: jax.Array
    group: jax.Array
    size: jax.Array


def choose(
    features: jax.Array, lengths: jax.Array, distances: jax.Array, most: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Select the next features, as far as this is possible without updating all distances.

    Args:
      features: (N, D).
      lengths: (N,), the squared lengths.
      distances: (N,), the squared distances to the nearest selected feature; `SELECTED` for selected ones.
      most: The largest number of features to select.

    Returns:
      (`GROUP_SIZE`,) rows of `features`, and the number of them that are selected. The rest repeat the first.
    """
    size = min(CANDIDATES, len(features) - 1)
    farthest, rows = jax.lax.top_k(distances, size + 1)
    bound, bound_row = farthest[-1], rows[-1]  # of the features that are no candidates
    rows = jnp.sort(rows[:-1])  # so that argmax prefers the first of equally far features
    some, some_lengths = features[rows], lengths[rows]
    among = some_lengths[:, None] + some_lengths - 2 * einsum("ad,bd->ab", some, some)
    among = without_rounding(among, some_lengths)

    def known(state: Choice) -> jax.Array:
        best = jnp.argmax(state.distances)
        farthest = state.distances[best]
        ahead = (farthest > bound) | ((farthest == bound) & (rows[best] < bound_row))
        # The first candidate is always known. `size == 0` says so for features that are NaN.
        return (ahead | (state.size == 0)) & (state.size < jnp.minimum(most, GROUP_SIZE))

    def select(state: Choice) -> Choice:
        best = jnp.argmax(state.distances)
        distances = jnp.minimum(state.distances, among[best]).at[best].set(SELECTED)
        return Choice(distances, state.group.at[state.size].set(rows[best]), state.size + 1)

    first = rows[jnp.argmax(distances[rows])]
    start = Choice(distances[rows], jnp.full(GROUP_SIZE, first), jnp.int32(0))
    _, group, number = jax.lax.while_loop(known, select, start)
    return group, number


def update(features: jax.Array, lengths: jax.Array, distances: jax.Array, group: jax.Array) -> jax.Array:
    """Return `distances` (N,) after the features of `group` were selected too, in chunks of rows."""
    size = min(CHUNK_ROWS, len(features))
    selected, selected_lengths = features[group], lengths[group]

    def part(n: jax.Array, distances: jax.Array) -> jax.Array:
        # The last chunk starts early enough to be full. Updating a row twice changes nothing.
        start = jnp.minimum(n * size, len(features) - size)
        rows = functools.partial(jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=size)
        products = einsum("bd,ad->ba", rows(features), selected)
        # The length of a row is the same for all selected features. XLA is fastest if it is added last.
        nearest = (selected_lengths - 2 * products).min(axis=1) + rows(lengths)
        nearest = jnp.minimum(rows(distances), without_rounding(nearest, rows(lengths)))
        return jax.lax.dynamic_update_slice(distances, nearest, (start,))

    distances = jax.lax.fori_loop(0, -(-len(features) // size), part, distances)
    return distances.at[group].set(SELECTED)


def without_rounding(distances: jax.Array, lengths: jax.Array) -> jax.Array:
    """Set squared distances to 0 if they are rounding errors of equal features with these squared lengths."""
    return jnp.where(distances < ROUNDING * lengths, 0, distances)
