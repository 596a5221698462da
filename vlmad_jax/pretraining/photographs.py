"""Squares of photographs, so strongly changed that a few photographs give many different images.

A teacher distilled on crops of a single photograph learns much of what it would learn on a whole data set
(Asano and Saeed 2022, "The Augmented Image Prior"). Every square has another place, size, angle, colour and
sharpness.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from vlmad_jax.data.images import is_image_name, open_image
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.runtime.contents import digests
from vlmad_jax.runtime.files import walk

# A run is resumed only with squares and pairs of the same version.
VERSION = 2
# The side of a square, as a share of the shorter side of the photograph, and its least number of pixels.
SIDES = (0.2, 1.0)
FEWEST_PIXELS = 96
# The largest change of brightness, contrast and saturation: from 1 - CHANGE to 1 + CHANGE.
CHANGE = 0.4
GREY_PROBABILITY, BLUR_PROBABILITY, LARGEST_BLUR = 0.3, 0.25, 1.5


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


def contents_of(groups: Sequence[Sequence[str]]) -> str:
    """Return a fingerprint of the photographs of each group and of how squares are cut from them."""
    return fingerprint([str(VERSION), *(fingerprint(digests(group)) for group in groups)])


@dataclass(frozen=True)
class Square:
    """A square of a photograph: its centre and side in pixels, its angle in degrees, and a mirror image."""

    x: float
    y: float
    side: float
    angle: float
    mirrored: bool

    @property
    def reach(self) -> float:
        """The largest horizontal and vertical distance of its pixels from the centre."""
        return self.side / 2 * widening(self.angle)

    def cut(self, photograph: Image.Image, side: int) -> Image.Image:
        """Return the square with `side` pixels, means of 2 x 2 pixels, so that fine patterns do not alias.

        A larger photograph is first reduced by a whole factor.
        """
        factor = math.ceil(self.side / (2 * side))
        if factor > 1:
            smaller = replace(self, x=self.x / factor, y=self.y / factor, side=self.side / factor)
            return smaller.cut(photograph.reduce(factor), side)
        step = self.side / (2 * side)
        right = np.array([math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))]) * step
        down = np.array([-right[1], right[0]])
        right = -right if self.mirrored else right
        x, y = np.array([self.x, self.y]) - side * (right + down)
        turned = photograph.transform(
            (2 * side, 2 * side),
            Image.Transform.AFFINE,
            (right[0], down[0], x, right[1], down[1], y),
            Image.Resampling.BICUBIC,
        )
        return turned.reduce(2)


def widening(angle: float) -> float:
    """Return how many times wider a square becomes when it is turned by an angle in degrees: 1 to sqrt(2)."""
    return abs(math.cos(math.radians(angle))) + abs(math.sin(math.radians(angle)))


def draw_crop(rng: np.random.Generator, groups: Sequence[Sequence[str]], side: int) -> np.ndarray:
    """Draw a crop of a photograph, uint8 (side, side, 3); every group of photographs is equally likely.

    Raises:
      InputError: The photograph does not decode.
    """
    group = groups[int(rng.integers(len(groups)))]
    photograph = read_photograph(group[int(rng.integers(len(group)))])
    return recoloured(rng, draw_square(rng, photograph.size).cut(photograph, side))


@functools.lru_cache(maxsize=64)
def read_photograph(path: str) -> Image.Image:
    """Return a photograph, which is kept for a while.

    Raises:
      InputError: It does not decode.
    """
    return open_image(path)


def draw_square(rng: np.random.Generator, size: tuple[int, int]) -> Square:
    """Draw a square inside a photograph of (width, height) pixels, in half of the cases at any angle."""
    angle = 90.0 * int(rng.integers(4)) + (float(rng.uniform(0, 90)) if rng.random() < 0.5 else 0.0)
    shorter = min(size)
    wanted = max(FEWEST_PIXELS, math.exp(rng.uniform(*np.log(SIDES))) * shorter)
    square = Square(0, 0, min(wanted, shorter / widening(angle)), angle, bool(rng.integers(2)))
    return moved(rng, size, square)


def moved(rng: np.random.Generator, size: tuple[int, int], square: Square) -> Square:
    """Return the square at another place of a photograph of (width, height) pixels."""
    x, y = (float(rng.uniform(square.reach, max(square.reach, n - square.reach))) for n in size)
    return replace(square, x=x, y=y)


def recoloured(rng: np.random.Generator, square: Image.Image) -> np.ndarray:
    """Change brightness, contrast, saturation and sharpness, and exchange the channels."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        square = enhance(square).enhance(rng.uniform(1 - CHANGE, 1 + CHANGE))
    if rng.random() < GREY_PROBABILITY:
        square = square.convert("L").convert("RGB")
    if rng.random() < BLUR_PROBABILITY:
        square = square.filter(ImageFilter.GaussianBlur(rng.uniform(0, LARGEST_BLUR)))
    return np.ascontiguousarray(np.asarray(square)[..., rng.permutation(3)])
