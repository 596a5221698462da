"""Position embeddings on another grid than the trained one."""

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
    """Position embeddings (1 + P, D), class token first, for a grid of other patches (1 + rows x columns, D).

    Args:
      positions: learned on a square grid.
      grid: rows and columns wanted.
      method: "bicubic" as open_clip does, or "bilinear" as AnomalyCLIP does.

    Raises:
      InputError: an unknown method.
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
