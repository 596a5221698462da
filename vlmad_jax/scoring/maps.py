"""Upsampling and blurring of maps, and image scores from the largest of their values."""

from __future__ import annotations

import jax
import numpy as np

from vlmad_jax.backbones.precision import einsum


def upsample(patch_map: jax.Array, size: tuple[int, int], align_corners: bool = False) -> jax.Array:
    """Upsample maps bilinearly: (B, rows, columns, ...) -> (B, *size, ...).

    Patches have half-pixel centres. With `align_corners`, the centres of the corner patches lie on the corner
    pixels.
    """
    grid, precision = patch_map.shape[1:3], jax.lax.Precision.HIGHEST
    shape = (patch_map.shape[0], *size, *patch_map.shape[3:])
    if not align_corners or min(grid) == 1:  # a single patch has no two corners to align
        return jax.image.resize(patch_map, shape, "linear", antialias=False, precision=precision)
    scale = np.array([(new - 1) / max(old - 1, 1) for new, old in zip(size, grid, strict=True)])
    return jax.image.scale_and_translate(
        patch_map, shape, (1, 2), scale, 0.5 - 0.5 * scale, "linear", antialias=False, precision=precision
    )


def blur(maps: jax.Array, sigma: float, radius: int | None = None, mode: str = "reflect") -> jax.Array:
    """Blur maps (B, height, width) as scipy's `gaussian_filter` does, by default with its truncation.

    A blur is linear. The matrix of each axis is scipy's filter of the identity.

    Args:
      maps: The maps.
      sigma: The standard deviation in pixels; 0 means no blur.
      radius: The number of pixels on each side that the filter reaches; None is scipy's four sigma.
      mode: Scipy's name of what is beyond the border: "reflect", or "mirror", which does not repeat the edge.
    """
    if not sigma:
        return maps
    from scipy.ndimage import gaussian_filter1d  # takes a quarter of a second to import

    rows, columns = (
        gaussian_filter1d(np.eye(side), sigma, axis=0, radius=radius, mode=mode).astype(np.float32)
        for side in maps.shape[1:]
    )
    down = einsum("ts,bsu->btu", rows, maps)
    return einsum("btu,vu->btv", down, columns)


def mean_of_largest(values: jax.Array, share: float = 0.01) -> jax.Array:
    """Return the mean of a share of largest values, rounded down, and at least of one: (B, N) -> (B,)."""
    largest, _ = jax.lax.top_k(values, max(1, int(values.shape[1] * share)))
    return largest.mean(axis=1)


def filter_rows_and_columns(maps: jax.Array, weights: np.ndarray) -> jax.Array:
    """Filter maps with the same odd window along rows and columns, and zeros outside the map.

    A filter is linear. The matrix of each axis is a band of the weights.

    Args:
      maps: (B, h, w, c).
      weights: (2 r + 1,).

    Returns:
      (B, h, w, c).
    """
    radius = len(weights) // 2
    rows, columns = (
        sum(weight * np.eye(side, k=k - radius) for k, weight in enumerate(weights)).astype(np.float32)
        for side in maps.shape[1:3]
    )
    down = einsum("ts,bsuc->btuc", rows, maps)
    return einsum("btuc,vu->btvc", down, columns)
