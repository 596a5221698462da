"""Views of stored pairs: every use of a pair crops, recolours, mirrors and turns its images anew.

A view is drawn with NumPy, as a function of random numbers and of the mask. The images are changed by XLA on
the device that trains, so that workers and pipes carry no pixels.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from vlmad_jax.backbones.plan import current_plan

# A run is resumed only with views of the same version: their numbers and pixels.
VERSION = 2
# Masks are stored as the anomalous share of CELLS x CELLS cells, and crops are of whole cells.
CELLS = 32
CROP_PROBABILITY = 0.5
SMALLEST_CROP = 20  # in cells


class View(NamedTuple):
    """The changes of all images of a pair, in the order in which they apply.

    Attributes:
      crop: The first row, the first column and the side of the square that is shown, in cells: int32 (3,).
      mirror: Whether every row is reversed, bool ().
      quarters: The number of counterclockwise quarter turns, 0 to 3: int32 ().
      channels: The order of the channels, int32 (3,).
      tones: The level that replaces each level, uint8 (256,).
    """

    crop: Any
    mirror: Any
    quarters: Any
    channels: Any
    tones: Any


def draw_view(rng: np.random.Generator, share: np.ndarray) -> View:
    """Draw a view of a pair with the anomalous shares `share` (CELLS, CELLS)."""
    quarters, mirror, channels = rng.integers(4), rng.integers(2), rng.permutation(3)
    crop = np.array(draw_crop(rng, share), np.int32)
    return View(crop, np.bool_(mirror), np.int32(quarters), channels.astype(np.int32), draw_tones(rng))


def draw_crop(rng: np.random.Generator, share: np.ndarray) -> tuple[int, int, int]:
    """Draw the first row, the first column and the side of a crop, in cells.

    It is the whole image, or a square with more than half of the defect in `share` (CELLS, CELLS).
    """
    if rng.random() < CROP_PROBABILITY:
        size = int(rng.integers(SMALLEST_CROP, CELLS))
        for top, left in rng.integers(0, CELLS - size + 1, (4, 2)).tolist():
            if share[top : top + size, left : left + size].sum() > share.sum() / 2:
                return top, left, size
    return 0, 0, CELLS


def draw_tones(rng: np.random.Generator) -> np.ndarray:
    """Draw a tone curve of another exposure: level -> level, uint8 (256,)."""
    gamma, gain = np.exp(rng.uniform(-0.4, 0.4)), rng.uniform(0.8, 1.15)
    return np.clip(255 * gain * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)


def show_share(share: np.ndarray, view: View, grid: int) -> np.ndarray:
    """Return the anomalous share of each patch of a view: float32 (CELLS, CELLS) -> (grid, grid)."""
    top, left, size = view.crop
    shown = cell_means(share[top : top + size, left : left + size], grid)
    return np.rot90(shown[:, ::-1] if view.mirror else shown, view.quarters)


@jax.jit
def show(images: jax.Array, view: View) -> jax.Array:
    """Return views of images: uint8 (B, S, S, 3) and views with a leading axis -> uint8 (B, S, S, 3).

    A crop is enlarged by bicubic interpolation, near its border with the pixels beside it. S is a multiple of
    `CELLS`.
    """
    # A CPU computes one image after the other, and only what its view needs.
    together = None if current_plan().platform == "cpu" else len(images)
    return jax.lax.map(lambda item: _show(*item), (images, view), batch_size=together)


def _show(image: jax.Array, view: View) -> jax.Array:
    x = jax.lax.cond(view.crop[2] == CELLS, lambda x: x, lambda x: _enlarge(x, view.crop), image)
    x = jnp.where(view.mirror, x[:, ::-1], x)
    turns = [functools.partial(jnp.rot90, k=quarters) for quarters in range(4)]
    return view.tones[jax.lax.switch(view.quarters, turns, x)[..., view.channels]]


def _enlarge(image: jax.Array, crop: jax.Array) -> jax.Array:
    scale = CELLS / crop[2]
    start = -crop[:2] * scale * (len(image) / CELLS)
    scales = jnp.stack([scale, scale])
    enlarged = jax.image.scale_and_translate(
        image.astype(jnp.float32), image.shape, (0, 1), scales, start, "cubic"
    )
    return jnp.round(enlarged).clip(0, 255).astype(jnp.uint8)


def cell_means(share: np.ndarray, count: int) -> np.ndarray:
    """Return the means over `count` x `count` squares: float32 (N, N) -> (count, count)."""
    return np.asarray(Image.fromarray(share).resize((count, count), Image.Resampling.BOX))
