"""The subspace of the leading principal components, and distances from it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError

# The number of rows whose covariance is added at once.
CHUNK_ROWS = 2048
# The largest number of values whose products are computed in float64. float32 takes a third of the time, and
# moves residuals by a hundred-thousandth.
LARGEST_EXACT = 2**25


class Subspace(NamedTuple):
    """A mean and orthonormal directions from it.

    Attributes:
      mean: float32 (D,).
      components: float32 (D, R), R being the smaller one of D and the number of rows, so that the shape does
        not depend on their values. The columns of unused components are zeros.
    """

    mean: jax.Array
    components: jax.Array


def principal_subspace(rows: np.ndarray, explained_variance: float) -> Subspace:
    """Return the span of the fewest principal components that explain a share of the variance.

    Sums and eigenvectors are computed in float64, and products of rows too unless there are more than
    `LARGEST_EXACT` values. Memory beside the rows is that of `CHUNK_ROWS` of them and some matrices (D, D).

    Args:
      rows: float32 (N, D), N of 1 or more.
      explained_variance: The share, above 0 and at most 1.

    Raises:
      InputError: The share is out of range.
    """
    check_explained_variance(explained_variance)
    dtype = np.float64 if rows.size <= LARGEST_EXACT else np.float32
    mean = rows.mean(axis=0, dtype=np.float64).astype(dtype)
    scatter = np.zeros((rows.shape[1],) * 2)
    for first in range(0, len(rows), CHUNK_ROWS):
        centred = rows[first : first + CHUNK_ROWS] - mean
        scatter += centred.T @ centred
    variances, directions = np.linalg.eigh(scatter)  # ascending
    shares = np.cumsum(np.maximum(variances[::-1], 0))
    count = 1 + int(np.searchsorted(shares, explained_variance * shares[-1]))
    components = directions[:, ::-1][:, : min(rows.shape[::-1])].astype(np.float32)
    components[:, count:] = 0
    return Subspace(jnp.asarray(mean, jnp.float32), jnp.asarray(components))


def check_explained_variance(share: float) -> None:
    """Raise InputError unless a share of the variance is above 0 and at most 1."""
    if not 0 < share <= 1:
        raise InputError(f"explained_variance {share} is not above 0 and at most 1; give for example 0.99")


def residuals(rows: jax.Array, subspace: Subspace) -> jax.Array:
    """Return the squared distances of rows from a subspace: (N, D) -> (N,), 0 or more."""
    centred = rows - subspace.mean
    weights = einsum("nd,dr->nr", centred, subspace.components)
    return jnp.square(centred - einsum("nr,dr->nd", weights, subspace.components)).sum(axis=-1)
