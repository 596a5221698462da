"""The coordinates of pixels, which run from -1 to 1, with x to the right and y downwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

Array = np.ndarray
Point = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """The pose of an object in the image: rotation by `angle` (radians), then `scale`, then `shift`."""

    angle: float = 0.0
    scale: float = 1.0
    shift: Point = (0.0, 0.0)

    def to_image(self, point: Point) -> Point:
        """Convert a point from object to image coordinates."""
        cos, sin = math.cos(self.angle) * self.scale, math.sin(self.angle) * self.scale
        x, y = point
        return cos * x - sin * y + self.shift[0], sin * x + cos * y + self.shift[1]


@dataclass(frozen=True)
class Grid:
    """The pixels of a rectangle in an image of S x S pixels.

    Attributes:
        x, y: The coordinates of pixel centres in the image or, after `posed`, in the object, float32 (h, w).
        size: S, the side of the whole image in pixels.
        rows, cols: The position of the rectangle in the image.
        pixel: The side of a pixel in the unit of the coordinates.
    """

    x: Array
    y: Array
    size: int
    rows: slice
    cols: slice
    pixel: float

    def around(self, centre: Point, reach: float) -> Grid | None:
        """Return the part of the grid within `reach` of `centre`, or None if it is outside the image."""
        (left, right), (top, bottom) = (_span(c, reach, self.size) for c in centre)
        if left >= right or top >= bottom:
            return None
        rows, cols = slice(top, bottom), slice(left, right)
        return Grid(self.x[rows, cols], self.y[rows, cols], self.size, rows, cols, self.pixel)

    def posed(self, pose: Pose) -> Grid:
        """Return the same pixels in the object's coordinates."""
        cos, sin = math.cos(pose.angle) / pose.scale, math.sin(pose.angle) / pose.scale
        dx, dy = self.x - np.float32(pose.shift[0]), self.y - np.float32(pose.shift[1])
        x, y = np.float32(cos) * dx + np.float32(sin) * dy, np.float32(cos) * dy - np.float32(sin) * dx
        return Grid(x, y, self.size, self.rows, self.cols, self.pixel / pose.scale)

    def at(self, x: Array, y: Array) -> Grid:
        """Return the same pixels with other coordinates."""
        return Grid(x, y, self.size, self.rows, self.cols, self.pixel)

    def coverage(self, distance: Array) -> Array:
        """Convert signed distances (h, w) to the share of each pixel that is inside, 0..1."""
        return np.clip(np.float32(0.5) - distance * np.float32(1.0 / self.pixel), 0.0, 1.0)


def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    low = math.floor((centre - reach + 1.0) * size / 2.0) - 1
    high = math.ceil((centre + reach + 1.0) * size / 2.0) + 1
    return max(low, 0), min(high, size)


@lru_cache(maxsize=8)
def whole(size: int) -> Grid:
    """Return the grid of a whole image of `size` x `size` pixels."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return Grid(x, y, size, slice(0, size), slice(0, size), 2.0 / size)
