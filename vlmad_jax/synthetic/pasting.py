"""Synthetic defects: parts of normal images pasted into normal images, for training without real defects.

    pasted, mask = paste(np.random.default_rng(0), image, source, "scar")

`patch` and `scar` follow CutPaste (Li et al., CVPR 2021, sections 2.1 and 2.2). `blend` follows DRAEM
(Zavrtanik et al., ICCV 2021, section 3.3) with another normal image as texture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.synthetic.grid import whole
from vlmad_jax.synthetic.noise import fractal

Array = np.ndarray
Rng = np.random.Generator
# (rng, image, source, strength) -> a new image, float32 (h, w, 3) in 0..255, and its region to paste, (h, w).
Kind = Callable[[Rng, Array, Array, float], tuple[Array, Array]]

# A pixel changes visibly if some channel changes by at least this many of 255 grey levels.
VISIBLE = 12
# At least this share of the pasted pixels must change visibly; otherwise another defect is drawn.
VISIBLE_SHARE = 0.5


def paste(rng: Rng, image: Array, source: Array, kind: str) -> tuple[Array, Array]:
    """Paste a synthetic defect into a normal image.

    Args:
      rng: The generator of all random numbers; the same state gives the same defect.
      image: The image, uint8 (h, w, 3); it is not changed.
      source: The image to cut from, uint8 (h, w, 3): the same image or another normal one of the category.
      kind: A key of `KINDS`.

    Returns:
      The new image uint8 (h, w, 3), equal to `image` outside the mask, and the mask uint8 (h, w), which is 1
      where the images differ visibly. Gaps up to 1/64 of the shorter side wide inside the pasted region are
      closed. The mask is never empty.

    Raises:
      InputError: The kind is unknown, or the images have different shapes.
    """
    if kind not in KINDS:
        raise InputError(f"kind of defect {kind!r} is not one of {', '.join(KINDS)}; give one of them")
    if image.shape != source.shape:
        raise InputError(
            f"image {image.shape} and source {source.shape} differ in shape; give two images of one shape"
        )
    for attempt in itertools.count():
        # The colours change more at every attempt, so that black on black becomes visible too.
        pixels, region = KINDS[kind](rng, image, source, 1 + attempt / 4)
        pixels = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        visible = region & (np.abs(pixels.astype(np.int16) - image).max(axis=-1) >= VISIBLE)
        if visible.any() and visible.sum() >= VISIBLE_SHARE * region.sum():
            mask = region & close_gaps(visible)
            return np.where(mask[..., None], pixels, image), mask.astype(np.uint8)
    raise AssertionError("unreachable")


def close_gaps(mask: Array) -> Array:
    """Close gaps up to 1/64 of the shorter side wide in a mask, bool (h, w)."""
    from scipy.ndimage import grey_closing

    reach = max(1, round(min(mask.shape) / 64))
    return grey_closing(mask.astype(np.uint8), 2 * reach + 1, mode="nearest") > 0


def jitter_colours(rng: Rng, pixels: Array, strength: float) -> Array:
    """Change the brightness and contrast of pixels (..., 3) by up to 10%, and each channel by up to 5%.

    A grey image stays grey, because colour alone would reveal its defects.
    """
    tint = 0.05 * strength * rng.uniform(-1, 1, 3) * (not is_grey(pixels))
    brightness, contrast = 0.1 * strength * rng.uniform(-1, 1, 2)
    pixels = pixels.astype(np.float32)
    middle = pixels.mean()
    return (middle + (pixels - middle) * (1 + contrast) + 255 * (brightness + tint)).astype(np.float32)


def is_grey(pixels: Array) -> bool:
    """Return whether pixels (..., 3) have no colour."""
    return bool((pixels == pixels[..., :1]).all())


def patch(rng: Rng, image: Array, source: Array, strength: float) -> tuple[Array, Array]:
    """Paste a rectangle from another place: 2% to 15% of the area, with an aspect ratio of 0.3 to 3.3."""
    rows, columns = image.shape[:2]
    area, aspect = rng.uniform(0.02, 0.15), math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
    size = math.sqrt(rows * columns)
    height, width = (max(1, round(size * math.sqrt(x))) for x in (area * aspect, area / aspect))
    height, width = min(height, rows), min(width, columns)
    free = (rows - height + 1, columns - width + 1)
    top, left, row, column = (int(rng.integers(most)) for most in free * 2)
    pixels, region = image.astype(np.float32), np.zeros((rows, columns), bool)
    there = slice(row, row + height), slice(column, column + width)
    pixels[there] = jitter_colours(rng, source[top : top + height, left : left + width], strength)
    region[there] = True
    return pixels, region


def scar(rng: Rng, image: Array, source: Array, strength: float) -> tuple[Array, Array]:
    """Paste a thin rectangle, 2 to 16 by 10 to 25 pixels of 256, rotated by -45 to 45 degrees."""
    sides = image.shape[:2]
    size = min(sides)
    width, length = (max(1.0, x * size / 256) for x in (rng.uniform(2, 16), rng.uniform(10, 25)))
    angle = rng.uniform(-math.pi / 4, math.pi / 4)
    reach = math.hypot(width, length) / 2
    centre, origin = rng.uniform(reach, [side - 1 - reach for side in sides], (2, 2))
    rows, columns = (axis - middle for axis, middle in zip(np.indices(sides), centre, strict=True))
    across = math.cos(angle) * columns + math.sin(angle) * rows
    along = math.cos(angle) * rows - math.sin(angle) * columns
    region = (np.abs(across) <= width / 2) & (np.abs(along) <= length / 2)
    cut = np.rint(np.stack([along[region], across[region]]) + origin[:, None]).astype(int)
    pixels = image.astype(np.float32)
    if region.any():
        pixels[region] = jitter_colours(rng, source[tuple(cut)], strength)
    return pixels, region


def blend(rng: Rng, image: Array, source: Array, strength: float) -> tuple[Array, Array]:
    """Blend a texture into blots of noise, 1% to 15% of the area, with an opacity of 0.15 to 1."""
    rows, columns = image.shape[:2]
    square = whole(max(rows, columns))
    noise = fractal(square, int(rng.integers(2**31)), int(rng.choice([2, 3, 5, 8])), octaves=3)
    noise = noise[:rows, :columns]
    share = math.exp(rng.uniform(math.log(0.01), math.log(0.15)))
    region = noise > np.quantile(noise, 1 - share)
    opacity = min(rng.uniform(0.15, 1) * strength, 1)
    pixels = image.astype(np.float32)
    pixels[region] += np.float32(opacity) * (texture(rng, source, strength)[region] - pixels[region])
    return pixels, region


def texture(rng: Rng, source: Array, strength: float) -> Array:
    """Return an image rotated, mirrored, shifted, recoloured and often inverted, float32 (h, w, 3).

    A square is rotated by multiples of 90 degrees, another rectangle by 0 or 180.
    """
    rows, columns = source.shape[:2]
    turns = int(rng.integers(4))
    turned = np.rot90(source, turns if rows == columns else turns // 2 * 2)[:: int(rng.choice([-1, 1]))]
    moved = np.roll(turned, rng.integers(max(rows, columns), size=2), axis=(0, 1))[..., rng.permutation(3)]
    recoloured = jitter_colours(rng, 255 - moved if rng.uniform() < 0.5 else moved, 3 * strength)
    return recoloured + np.float32(255 * rng.choice([-1, 1]) * rng.uniform(0.15, 0.4))


KINDS: dict[str, Kind] = {"patch": patch, "scar": scar, "blend": blend}
