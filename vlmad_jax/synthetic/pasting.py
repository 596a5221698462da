"""Synthetic defects: pieces of good images pasted into good images, for learning without real defects.

    pasted, mask = paste(np.random.default_rng(0), image, source, "scar")

`patch` and `scar` are those of CutPaste (Li et al., CVPR 2021, sections 2.1 and 2.2); `blend` is the
anomaly of DRAEM (Zavrtanik et al., ICCV 2021, section 3.3), its texture another good image.
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
# (rng, image, source, strength) -> what is pasted, float32 (S, S, 3), 0 to 255, and where, bool (S, S).
Kind = Callable[[Rng, Array, Array, float], tuple[Array, Array]]

# Grey levels of 255 by which a pixel has to change in some channel to be seen.
VISIBLE = 12
# The share of what is pasted that has to be seen; else another draw is made.
SEEN = 0.5


def paste(rng: Rng, image: Array, source: Array, kind: str) -> tuple[Array, Array]:
    """A good image with a synthetic defect.

    Args:
      rng: of all that is drawn; the same generator gives the same defect.
      image: uint8 (S, S, 3), left as it is.
      source: uint8 (S, S, 3), the image itself or another good one of the same product, to cut from.
      kind: a name in `KINDS`.

    Returns:
      uint8 (S, S, 3), equal to `image` outside the mask, and the mask uint8 (S, S), 1 where they differ
      visibly, with gaps closed as wide as S / 64 inside of what was pasted. It is never empty.

    Raises:
      InputError: another kind, or images of different shapes.
    """
    if kind not in KINDS:
        raise InputError(f"kind of defect {kind!r} is not one of {', '.join(KINDS)}; give one of these")
    if image.shape != source.shape:
        raise InputError(f"image {image.shape} and source {source.shape} differ; give two of one shape")
    for attempt in itertools.count():
        # What cannot be seen, as black on black, is recoloured more strongly at every draw.
        pixels, region = KINDS[kind](rng, image, source, 1 + attempt / 4)
        pixels = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        seen = region & (np.abs(pixels.astype(np.int16) - image).max(axis=-1) >= VISIBLE)
        if seen.any() and seen.sum() >= SEEN * region.sum():
            mask = region & closed(seen)
            return np.where(mask[..., None], pixels, image), mask.astype(np.uint8)
    raise AssertionError("unreachable")


def closed(mask: Array) -> Array:
    """The mask bool (S, S) without gaps narrower than S / 64."""
    from scipy.ndimage import grey_closing

    reach = max(1, round(len(mask) / 64))
    return grey_closing(mask.astype(np.uint8), 2 * reach + 1, mode="nearest") > 0


def jittered(rng: Rng, pixels: Array, strength: float) -> Array:
    """Pixels (..., 3) in slightly other colours: brightness and contrast within 10%, each channel 5%.

    A grey image stays grey, or colour alone would give its defects away.
    """
    tint = 0.05 * strength * rng.uniform(-1, 1, 3) * (not is_grey(pixels))
    brightness, contrast = 0.1 * strength * rng.uniform(-1, 1, 2)
    pixels = pixels.astype(np.float32)
    middle = pixels.mean()
    return (middle + (pixels - middle) * (1 + contrast) + 255 * (brightness + tint)).astype(np.float32)


def is_grey(pixels: Array) -> bool:
    """Whether pixels (..., 3) have no colour."""
    return bool((pixels == pixels[..., :1]).all())


def patch(rng: Rng, image: Array, source: Array, strength: float) -> tuple[Array, Array]:
    """A rectangle of 2% to 15% of the area, its sides 0.3 to 3.3 to each other, from another place."""
    size = len(image)
    area, aspect = rng.uniform(0.02, 0.15), math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
    height, width = (max(1, round(size * math.sqrt(x))) for x in (area * aspect, area / aspect))
    top, left, row, column = (int(rng.integers(size - side + 1)) for side in (height, width) * 2)
    pixels, region = image.astype(np.float32), np.zeros((size, size), bool)
    there = slice(row, row + height), slice(column, column + width)
    pixels[there] = jittered(rng, source[top : top + height, left : left + width], strength)
    region[there] = True
    return pixels, region


def scar(rng: Rng, image: Array, source: Array, strength: float) -> tuple[Array, Array]:
    """A thin rectangle, 2 to 16 by 10 to 25 pixels of a side of 256, turned by -45 to 45 degrees."""
    size = len(image)
    width, length = (max(1.0, x * size / 256) for x in (rng.uniform(2, 16), rng.uniform(10, 25)))
    angle = rng.uniform(-math.pi / 4, math.pi / 4)
    reach = math.hypot(width, length) / 2
    centre, origin = rng.uniform(reach, size - 1 - reach, (2, 2))
    rows, columns = (axis - middle for axis, middle in zip(np.indices((size, size)), centre, strict=True))
    across = math.cos(angle) * columns + math.sin(angle) * rows
    along = math.cos(angle) * rows - math.sin(angle) * columns
    region = (np.abs(across) <= width / 2) & (np.abs(along) <= length / 2)
    cut = np.rint(np.stack([along[region], across[region]]) + origin[:, None]).astype(int)
    pixels = image.astype(np.float32)
    if region.any():
        pixels[region] = jittered(rng, source[tuple(cut)], strength)
    return pixels, region


def blend(rng: Rng, image: Array, source: Array, strength: float) -> tuple[Array, Array]:
    """Blots of noise, 1% to 15% of the area, in which a texture shows with an opacity of 0.15 to 1."""
    noise = fractal(whole(len(image)), int(rng.integers(2**31)), int(rng.choice([2, 3, 5, 8])), octaves=3)
    share = math.exp(rng.uniform(math.log(0.01), math.log(0.15)))
    region = noise > np.quantile(noise, 1 - share)
    opacity = min(rng.uniform(0.15, 1) * strength, 1)
    pixels = image.astype(np.float32)
    pixels[region] += np.float32(opacity) * (texture(rng, source, strength)[region] - pixels[region])
    return pixels, region


def texture(rng: Rng, source: Array, strength: float) -> Array:
    """An image turned, mirrored, moved and in plainly other colours, often negative: float32 (S, S, 3)."""
    turned = np.rot90(source, int(rng.integers(4)))[:: int(rng.choice([-1, 1]))]
    moved = np.roll(turned, rng.integers(len(source), size=2), axis=(0, 1))[..., rng.permutation(3)]
    recoloured = jittered(rng, 255 - moved if rng.uniform() < 0.5 else moved, 3 * strength)
    return recoloured + np.float32(255 * rng.choice([-1, 1]) * rng.uniform(0.15, 0.4))


KINDS: dict[str, Kind] = {"patch": patch, "scar": scar, "blend": blend}
