"""Where pixels lie: image coordinates run from -1 to 1, x to the right and y downwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Array = np.ndarray
Point = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """How the object lies in the image: turned by `angle` (radians), scaled, then moved by `shift`."""

    angle: float = 0.0
    scale: float = 1.0
    shift: Point = (0.0, 0.0)

    def to_image(self, point: Point) -> Point:
        """Object coordinates of one point -> image coordinates."""
        cos, sin = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        x, y = point
        return cos * x - sin * y + self.shift[0], sin * x + cos * y + self.shift[1]


@dataclass(frozen=True)
class Grid:
    """The pixels of a rectangle of an image of S x S pixels.

    `x`, `y` float32 (h, w) are coordinates of pixel centres, of the image or (after `posed`) of the
    object; `pixel` is the side of a pixel in the same unit.
    """

    x: Array
    y: Array
    size: int
    rows: slice
    cols: slice
    pixel: float

    def around(self, centre: Point, reach: float) -> Grid | None:
        """The part of an image's grid within `reach` of `centre`; None where that lies outside."""
        (left, right), (top, bottom) = (_span(c, reach, self.size) for c in centre)
        if left >= right or top >= bottom:
            return None
        rows, cols = slice(top, bottom), slice(left, right)
        return Grid(self.x[rows, cols], self.y[rows, cols], self.size, rows, cols, self.pixel)

    def posed(self, pose: Pose) -> Grid:
        """The same pixels in the object's coordinates."""
        cos, sin = math.cos(pose.angle) / pose.scale, math.sin(pose.angle) / pose.scale
        dx, dy = self.x - np.float32(pose.shift[0]), self.y - np.float32(pose.shift[1])
        x, y = np.float32(cos) * dx + np.float32(sin) * dy, np.float32(cos) * dy - np.float32(sin) * dx
        return Grid(x, y, self.size, self.rows, self.cols, self.pixel / pose.scale)

    def at(self, x: Array, y: Array) -> Grid:
        """The same pixels with other coordinates."""
        return Grid(x, y, self.size, self.rows, self.cols, self.pixel)

    def coverage(self, distance: Array) -> Array:
        """Signed distance (h, w) -> the share of each pixel that lies inside, 0..1."""
        return np.clip(np.float32(0.5) - distance * np.float32(1.0 / self.pixel), 0.0, 1.0)


def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    low = math.floor((centre - reach + 1.0) * size / 2.0) - 1
    high = math.ceil((centre + reach + 1.0) * size / 2.0) + 1
    return max(low, 0), min(high, size)


@lru_cache(maxsize=8)
def whole(size: int) -> Grid:
    """The grid of a whole image of `size` x `size` pixels."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return Grid(x, y, size, slice(0, size), slice(0, size), 2.0 / size)
