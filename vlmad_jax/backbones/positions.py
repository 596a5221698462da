"""The positions of patches: learned embeddings resized to another grid, and rotary ones."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.attention import Kernel, kernel
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError

# name -> (jax.image method, antialias): torch's F.interpolate with align_corners=False.
RESIZES = {
    "bicubic": ("cubic", True),  # open_clip and transformers' DINOv2 with registers: antialias=True
    "bilinear": ("linear", False),  # AnomalyCLIP: mode="bilinear"
}
# Without antialias torch's bicubic kernel is another, so that these are computed here. name -> what is added
# to the size of the new grid before the ratio of both grids is taken.
PLAIN_BICUBIC = {
    "plain bicubic": 0.0,  # transformers' DINOv2: size=
    "hub bicubic": 0.1,  # DINOv2's own code: scale_factor=(new + 0.1) / old
}
POSITION_RESIZES = (*RESIZES, *PLAIN_BICUBIC)


def resize_positions(positions: jax.Array, grid: tuple[int, int], method: str, prefix: int = 1) -> jax.Array:
    """Resize position embeddings to another grid.

    Args:
      positions: (prefix + P, D) of a square grid.
      grid: The new rows and columns.
      method: A name in `POSITION_RESIZES`.
      prefix: The number of first positions that belong to no patch and are kept, such as the class token's.

    Returns:
      (prefix + rows x columns, D).

    Raises:
      InputError: The method is unknown.
    """
    if method not in POSITION_RESIZES:
        raise InputError(f"position_resize {method!r} is not one of {', '.join(POSITION_RESIZES)}")
    side, width = math.isqrt(positions.shape[0] - prefix), positions.shape[1]
    if grid == (side, side):
        return positions
    patches = positions[prefix:].reshape(side, side, width)
    if method in PLAIN_BICUBIC:
        down, across = (plain_bicubic(side, new, PLAIN_BICUBIC[method]) for new in grid)
        resized = einsum("ts,suw->tuw", down, patches)
        resized = einsum("vu,tuw->tvw", across, resized)
    else:
        name, antialias = RESIZES[method]
        resized = jax.image.resize(
            patches, (*grid, width), name, antialias=antialias, precision=jax.lax.Precision.HIGHEST
        )
    return jnp.concatenate([positions[:prefix], resized.reshape(-1, width)])


def plain_bicubic(old: int, new: int, added: float = 0.0) -> np.ndarray:
    """Return the matrix float32 (new, old) of torch's bicubic resizing without antialias.

    Its kernel is that of Keys (1981) with a = -0.75, and the border is repeated.

    Args:
      old: The number of samples.
      new: The number of new samples.
      added: Is added to `new` before the ratio of both is taken.
    """
    a, matrix = -0.75, np.zeros((new, old))
    for row in range(new):
        centre = (row + 0.5) * old / (new + added) - 0.5
        first = math.floor(centre) - 1
        for column in range(first, first + 4):
            x = abs(centre - column)
            near = ((a + 2) * x - (a + 3)) * x * x + 1
            far = ((x - 5) * x + 8) * x * a - 4 * a
            matrix[row, min(max(column, 0), old - 1)] += near if x <= 1 else far
    return matrix.astype(np.float32)


def rotary_angles(grid: tuple[int, int], width: int, base: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines and sines of rotary positions in two dimensions (Siméoni et al. 2025, "DINOv3").

    The coordinates of a patch are those of its centre, from -1 to 1 over the image. They turn by
    2 pi / base^(4 k / width) a unit, k = 0, 1, ...: the first half of the angles by rows, the second by
    columns, and all twice, for the pairs of channels that `rotary` turns.

    Args:
      grid: Rows and columns of patches.
      width: The width of a head, a multiple of 4.
      base: The base of the frequencies.

    Returns:
      Two float32 arrays (rows x columns, width).
    """
    frequencies = 1 / np.float32(base) ** np.arange(0, 1, 4 / width, dtype=np.float32)
    rows, columns = (2 * (np.arange(n, dtype=np.float32) + np.float32(0.5)) / n - 1 for n in grid)
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2, 1)
    angles = (np.float32(2 * math.pi) * centres * frequencies).reshape(len(centres), -1)
    angles = np.tile(angles, 2).astype(np.float32)
    return np.cos(angles), np.sin(angles)


def rotary(attention: str | Kernel, cosines: np.ndarray, sines: np.ndarray) -> Kernel:
    """Return a kernel whose queries and keys of patches are turned by their positions (Su et al. 2021).

    Args:
      attention: The kernel.
      cosines: (P, d) for heads of width d.
      sines: (P, d).
    """
    inner = kernel(attention)

    def turned(x: jax.Array) -> jax.Array:
        """Turn the last P tokens; those before have no place: (B, H, T, d) -> (B, H, T, d)."""
        prefix = x.shape[2] - len(cosines)
        patches = x[:, :, prefix:].astype(jnp.float32)
        first, second = jnp.split(patches, 2, axis=-1)
        patches = patches * cosines + jnp.concatenate([-second, first], axis=-1) * sines
        return jnp.concatenate([x[:, :, :prefix], patches.astype(x.dtype)], axis=2)

    def rotated(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
        # The queries of the first token alone have no place.
        return inner(turned(q) if q.shape[2] > 1 else q, turned(k), v)

    return rotated
