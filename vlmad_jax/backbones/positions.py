"""Resizing of position embeddings to another grid than the trained one."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from vlmad_jax.errors import InputError

# name -> (jax.image method, antialias): torch's F.interpolate with align_corners=False.
RESIZES = {
    "bicubic": ("cubic", True),  # open_clip: mode="bicubic", antialias=True
    "bilinear": ("linear", False),  # AnomalyCLIP: mode="bilinear"
}


def resize_positions(positions: jax.Array, grid: tuple[int, int], method: str) -> jax.Array:
    """Resize position embeddings to another grid.

    Args:
      positions: (1 + P, D), class token first, of a square grid.
      grid: The new rows and columns.
      method: "bicubic" as in open_clip, or "bilinear" as in AnomalyCLIP.

    Returns:
      (1 + rows x columns, D).

    Raises:
      InputError: The method is unknown.
    """
    if method not in RESIZES:
        raise InputError(f"position_resize {method!r} is not one of {', '.join(RESIZES)}")
    side, width = round((positions.shape[0] - 1) ** 0.5), positions.shape[1]
    if grid == (side, side):
        return positions
    name, antialias = RESIZES[method]
    patches = positions[1:].reshape(side, side, width)
    resized = jax.image.resize(
        patches, (*grid, width), name, antialias=antialias, precision=jax.lax.Precision.HIGHEST
    )
    return jnp.concatenate([positions[:1], resized.reshape(-1, width)])
