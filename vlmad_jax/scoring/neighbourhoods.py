"""Means of patch features over their neighbourhoods."""

from __future__ import annotations

import jax


def neighbourhood_mean(patches: jax.Array, grid: tuple[int, int], side: int) -> jax.Array:
    """Average each patch over the square of `side` x `side` patches around it: (B, P, D) -> (B, P, D).

    Neighbours outside of the image count as zeros.

    Args:
      patches: (B, P, D), row by row.
      grid: The rows and columns of patches.
      side: An odd number of patches.
    """
    if side == 1:
        return patches
    rows = patches.reshape(len(patches), *grid, -1)
    sums = jax.lax.reduce_window(rows, 0.0, jax.lax.add, (1, side, side, 1), (1, 1, 1, 1), "SAME")
    return sums.reshape(patches.shape) / side**2
