"""Shapes and parts of fasteners and machined pieces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.shapes import Shape, bar, turned, union


def path(points: Sequence[Point], radius: float) -> Shape:
    """Return straight strokes from point to point."""
    return union(*(bar(start, end, radius) for start, end in itertools.pairwise(points)))


def steep(distance: Array) -> Array:
    """Return a distance that falls quickly inside, so that no bevel is visible, and keeps a soft border."""
    return distance + 7 * np.minimum(distance + np.float32(0.02), 0)


def rod(half: float, length: float, centre: Point = (0.0, 0.0), angle: float = 0.0) -> Shape:
    """Return a cylinder from its side, whose relief rises from the two long sides and not from the ends.

    It lies along y (before it is turned by `angle`), `length` to either side of its centre.
    """

    def shape(x: Array, y: Array) -> Array:
        u, v = turned(x, y, centre, angle)
        end = np.abs(v) - np.float32(length)
        return np.maximum(np.abs(u) - np.float32(half), steep(end))

    return shape


def track(points: Sequence[Point], radius: float) -> Shape:
    """Return a smooth wire that runs from left to right near the given points."""
    xs, ys = np.array(points).T
    dense = np.linspace(xs[0], xs[-1], 60)
    smooth = np.convolve(np.pad(np.interp(dense, xs, ys), 3, "edge"), np.full(7, 1 / 7), "valid")
    shrink = 1 / np.sqrt(1 + np.gradient(smooth, dense) ** 2)
    middle, half = (xs[0] + xs[-1]) / 2, (xs[-1] - xs[0]) / 2

    def shape(x: Array, y: Array) -> Array:
        away = np.abs(y - np.interp(x, dense, smooth)) * np.interp(x, dense, shrink)
        ends = 2 * (np.abs(x - np.float32(middle)) - np.float32(half))
        return np.maximum(away.astype(np.float32) - np.float32(radius), ends)

    return shape


def wedge(half: float) -> Shape:
    """Return all directions within `half` radians of the negative y axis."""
    cos, sin = np.float32(math.cos(half)), np.float32(math.sin(half))
    return lambda x, y: np.abs(x) * cos + y * sin
