"""Outlines and small parts that packaging and household families share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.families.parts import mark
from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, bar, union

_SEGMENTS = (
    ((-0.5, -1), (0.5, -1)),
    ((-0.5, 0), (0.5, 0)),
    ((-0.5, 1), (0.5, 1)),
    ((-0.5, -1), (-0.5, 0)),
    ((0.5, -1), (0.5, 0)),
    ((-0.5, 0), (-0.5, 1)),
    ((0.5, 0), (0.5, 1)),
)


def glyph(rng: Rng, place: Point, half: float, angle: float = 0.0) -> Shape:
    """Draw a shape like a letter or a digit, of the height 2 `half` around its place."""
    cos, sin = half * math.cos(angle), half * math.sin(angle)
    chosen = rng.permutation(len(_SEGMENTS))[: int(rng.integers(3, 6))]
    ends = [
        [(place[0] + cos * u - sin * v, place[1] + sin * u + cos * v) for u, v in _SEGMENTS[int(k)]]
        for k in chosen
    ]
    return union(*(bar(start, end, 0.18 * half) for start, end in ends))


def sign(rng: Rng, place: Point, half: float, ink: Material, angle: float = 0.0) -> Part:
    """Draw a printed letter that can be missing."""
    return mark("sign", glyph(rng, place, half, angle), ink, place, 1.35 * half)


def convex(*corners: Point) -> Shape:
    """Return a convex polygon with clockwise corners, as seen with y pointing down."""

    def shape(x: Array, y: Array) -> Array:
        sides = []
        for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
            length = math.dist((ax, ay), (bx, by))
            nx, ny = np.float32((by - ay) / length), np.float32((ax - bx) / length)
            sides.append((x - np.float32(ax)) * nx + (y - np.float32(ay)) * ny)
        return np.maximum.reduce(sides)

    return shape


def barrel(half: float, tall: float, centre: Point = (0.0, 0.0)) -> Shape:
    """Return an upright cylinder from its side, which is round from left to right and has steep ends."""

    def shape(x: Array, y: Array) -> Array:
        ends = np.abs(y - np.float32(centre[1])) - np.float32(tall)
        return np.maximum(np.abs(x - np.float32(centre[0])) - np.float32(half), 20 * ends)

    return shape


def profile(rows: Sequence[tuple[float, float, float]]) -> Shape:
    """Return a shape by rows (y, middle, half-width) of increasing y, with smooth ends of the width 0."""
    ys, middles, halves = (np.asarray(values) for values in zip(*rows, strict=True))

    def shape(x: Array, y: Array) -> Array:
        half = np.interp(y, ys, halves).astype(np.float32)
        side = np.abs(x - np.interp(y, ys, middles).astype(np.float32)) - half
        slope = np.interp(y, ys, np.gradient(halves, ys)).astype(np.float32)
        across = side / np.sqrt(1 + slope * slope)
        return np.maximum.reduce([across, np.float32(ys[0]) - y, y - np.float32(ys[-1])])

    return shape


def rope(points: Sequence[Point], radii: Sequence[float]) -> Shape:
    """Return a round strand along a polyline, with a radius at each point."""

    def shape(x: Array, y: Array) -> Array:
        nearest = np.full(x.shape, np.float32(10))
        ends = zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
        for (ax, ay), (bx, by), first, last in ends:
            dx, dy = np.float32(bx - ax), np.float32(by - ay)
            px, py = x - np.float32(ax), y - np.float32(ay)
            along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
            distance = np.sqrt((px - along * dx) ** 2 + (py - along * dy) ** 2)
            np.minimum(nearest, distance - np.float32(first) - np.float32(last - first) * along, out=nearest)
        return nearest

    return shape


def smooth(points: Sequence[Point], steps: int) -> list[Point]:
    """Return a Catmull-Rom curve through points, with `steps` pieces between two of them."""
    p = np.asarray(points, np.float64)
    p = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    curve = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        for t in np.arange(steps) / steps:
            point = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
            curve.append((float(point[0]), float(point[1])))
    return [*curve, (float(p[-2][0]), float(p[-2][1]))]
