"""Sliding windows on the patch grid, and the combination of window scores into patch scores."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.chunking import chunk_tokens
from vlmad_jax.errors import InputError


def sliding_windows(grid: tuple[int, int], size: int, stride: int = 1) -> np.ndarray:
    """Return the patch indices of all size x size windows of a grid: int (W, size * size), row by row.

    Windows begin every `stride` patches, and the last ones end at the border, so that they cover every patch.

    >>> sliding_windows((2, 3), 2).tolist()
    [[0, 1, 3, 4], [1, 2, 4, 5]]

    Raises:
      InputError: The window does not fit the grid, or the stride is not 1 to the window size.
    """
    rows, columns = grid
    if not 1 <= size <= min(grid):
        raise InputError(
            f"window size {size} does not fit a grid of {rows} x {columns} patches; "
            f"give sizes from 1 to {min(grid)}, or larger images"
        )
    if not 1 <= stride <= size:
        raise InputError(
            f"window stride {stride} does not cover every patch with windows of {size} x {size}; "
            "give 1 to the smallest window size"
        )
    patches = np.arange(rows * columns).reshape(grid)
    views = np.lib.stride_tricks.sliding_window_view(patches, (size, size))
    down, right = ([*range(0, last, stride), last] for last in (rows - size, columns - size))
    return views[np.ix_(down, right)].reshape(-1, size * size)


def map_windows(
    function: Callable[[jax.Array], jax.Array], tokens: jax.Array, windows: np.ndarray, prefix: int = 1
) -> jax.Array:
    """Encode every window of every image.

    As many windows as `chunk_tokens` allows are encoded together.

    Args:
      function: A function of embedded tokens (B, prefix + n, D) to embeddings (B, E).
      tokens: (B, prefix + P, D), class token and patches.
      windows: (W, n) patch indices, from `sliding_windows`.
      prefix: The number of tokens before those of patches, which belong to every window.

    Returns:
      (B, W, E).
    """
    first = np.broadcast_to(np.arange(prefix, dtype=windows.dtype), (len(windows), prefix))
    with_first = np.concatenate([first, windows + prefix], axis=1)  # (W, prefix + n)
    fitting = max(1, chunk_tokens() // (tokens.shape[0] * with_first.shape[1]))
    chunks = -(-len(windows) // fitting)
    size = -(-len(windows) // chunks)
    # The last chunk is padded with the last window, because another size would compile a second time.
    filled = np.pad(with_first, ((0, chunks * size - len(windows)), (0, 0)), mode="edge")
    encoded = jax.lax.map(lambda window: function(tokens[:, window]), jnp.asarray(filled), batch_size=size)
    return encoded[: len(windows)].transpose(1, 0, 2)


def harmonic_aggregation(scores: jax.Array, windows: np.ndarray, grid: tuple[int, int]) -> jax.Array:
    """Return the score of each patch, the harmonic mean over the windows that cover it.

    Jeong et al. 2023, "WinCLIP", equation 4. It equals anomalib's.

    Args:
      scores: (B, W), 0 to 1. A patch gets 0 if any of its windows has score 0.
      windows: (W, n) patch indices.
      grid: Rows and columns of patches.

    Returns:
      (B, rows, columns).
    """
    covers = np.zeros((len(windows), grid[0] * grid[1]), np.float32)  # (W, P)
    np.put_along_axis(covers, windows, 1, axis=1)
    # `where` and not a product with `covers`, because 0 times infinity is NaN.
    inverse = jnp.where(covers > 0, (1 / scores)[:, :, None], 0).sum(axis=1)  # (B, P)
    return (covers.sum(axis=0) / inverse).reshape(-1, *grid)


def harmonic_mean(maps: jax.Array) -> jax.Array:
    """Return the harmonic mean over the first axis: (L, ...) -> (...), 0 where any value is 0."""
    return maps.shape[0] / (1 / maps).sum(axis=0)
