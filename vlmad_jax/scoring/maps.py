"""Maps of patches to maps of pixels: upsampling and blurring."""

from __future__ import annotations

import jax
import numpy as np

from vlmad_jax.backbones.precision import einsum


def upsample(patch_map: jax.Array, size: tuple[int, int], align_corners: bool = False) -> jax.Array:
    """Bilinear upsampling, (B, rows, columns) -> (B, *size): half-pixel centres, or corner on corner."""
    shape, precision = (patch_map.shape[0], *size), jax.lax.Precision.HIGHEST
    if not align_corners or min(patch_map.shape[1:]) == 1:  # a single patch has no corners apart
        return jax.image.resize(patch_map, shape, "linear", antialias=False, precision=precision)
    scale = np.array(
        [(new - 1) / max(old - 1, 1) for new, old in zip(size, patch_map.shape[1:], strict=True)]
    )
    return jax.image.scale_and_translate(
        patch_map, shape, (1, 2), scale, 0.5 - 0.5 * scale, "linear", antialias=False, precision=precision
    )


def blur(maps: jax.Array, sigma: float) -> jax.Array:
    """Gaussian blur of maps (B, S, S), equal to scipy's `gaussian_filter` with its truncation and reflection.

    A blur is linear, so the filter of one axis is the matrix that scipy makes of the identity.
    """
    if not sigma:
        return maps
    from scipy.ndimage import gaussian_filter1d  # takes a quarter of a second to import

    rows, columns = (
        gaussian_filter1d(np.eye(side, dtype=np.float64), sigma, axis=0).astype(np.float32)
        for side in maps.shape[1:]
    )
    down = einsum("ts,bsu->btu", rows, maps)
    return einsum("btu,vu->btv", down, columns)
