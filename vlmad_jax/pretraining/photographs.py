"""Crops of photographs, so strongly changed that a few photographs give many different images.

A teacher distilled on crops of a single photograph learns much of what it would learn on a whole data set
(Asano and Saeed 2022, "The Augmented Image Prior"). Every crop has another place, size, angle, colour and
sharpness.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from vlmad_jax.data.images import is_image_name, open_image
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import walk

# The side of a crop, as a share of the shorter side of the photograph, and its least number of pixels.
SIDES = (0.2, 1.0)
FEWEST_PIXELS = 96
# The largest change of brightness, contrast and saturation: from 1 - CHANGE to 1 + CHANGE.
CHANGE = 0.4
GREY_PROBABILITY, BLUR_PROBABILITY, LARGEST_BLUR = 0.1, 0.25, 1.5


def photographs_in(folders: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return the paths of the photographs in each folder and the folders below it, sorted.

    Raises:
      InputError: A folder does not exist, or has no image.
    """
    found = []
    for folder in folders:
        paths = (
            os.path.join(place, name)
            for place, names in walk(folder)
            for name in names or ()
            if is_image_name(name)
        )
        found.append(tuple(sorted(paths)))
        if not found[-1]:
            raise InputError(f"{folder}: has no images; give a folder of photographs")
    return tuple(found)


def draw_crop(rng: np.random.Generator, groups: Sequence[Sequence[str]], side: int) -> np.ndarray:
    """Draw a crop of a photograph, uint8 (side, side, 3); every group of photographs is equally likely.

    Raises:
      InputError: The photograph does not decode.
    """
    group = groups[int(rng.integers(len(groups)))]
    photograph = _read(group[int(rng.integers(len(group)))])
    return _recoloured(rng, _cut(rng, photograph, side))


@functools.lru_cache(maxsize=64)
def _read(path: str) -> Image.Image:
    return open_image(path)


def _cut(rng: np.random.Generator, photograph: Image.Image, side: int) -> Image.Image:
    """Cut a square of any size, place and angle, mirrored or not."""
    shorter = min(photograph.size)
    share = math.exp(rng.uniform(*np.log(SIDES)))
    length = max(min(FEWEST_PIXELS, shorter), round(share * shorter))
    left, top = (int(rng.integers(x - length + 1)) for x in photograph.size)
    box = (left, top, left + length, top + length)
    if length == shorter or rng.random() < 0.5:
        square = photograph.resize((side, side), Image.Resampling.BICUBIC, box)
        square = square.rotate(90 * int(rng.integers(4)))
    else:
        square = _turned(photograph, box, float(rng.uniform(0, 360)), side)
    return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else square


def _turned(
    photograph: Image.Image, box: tuple[int, int, int, int], degrees: float, side: int
) -> Image.Image:
    """Return the largest square inside a box that is turned about its centre."""
    radians = math.radians(degrees % 90)
    larger = math.ceil(side * (math.cos(radians) + math.sin(radians))) + 2
    whole = photograph.resize((larger, larger), Image.Resampling.BICUBIC, box)
    turned = whole.rotate(degrees, Image.Resampling.BICUBIC)
    start = (larger - side) // 2
    return turned.crop((start, start, start + side, start + side))


def _recoloured(rng: np.random.Generator, square: Image.Image) -> np.ndarray:
    """Change brightness, contrast, saturation and sharpness, and exchange the channels."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        square = enhance(square).enhance(rng.uniform(1 - CHANGE, 1 + CHANGE))
    if rng.random() < GREY_PROBABILITY:
        square = square.convert("L").convert("RGB")
    if rng.random() < BLUR_PROBABILITY:
        square = square.filter(ImageFilter.GaussianBlur(rng.uniform(0, LARGEST_BLUR)))
    return np.ascontiguousarray(np.asarray(square)[..., rng.permutation(3)])
