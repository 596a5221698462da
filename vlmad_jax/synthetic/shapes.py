"""Shapes as functions (x, y) -> signed distance, negative inside, for arrays (h, w)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from vlmad_jax.synthetic.grid import Array, Grid, Point

Shape = Callable[[Array, Array], Array]


def polar(radius: float, angle: float, centre: Point = (0.0, 0.0)) -> Point:
    """Return a point by its distance and direction from a centre."""
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


def midpoint(start: Point, end: Point) -> Point:
    """Return the point halfway between two points."""
    return (start[0] + end[0]) / 2, (start[1] + end[1]) / 2


def circular(count: int, radius: float, start: float = 0.0) -> list[tuple[float, Point]]:
    """Return the directions (radians) of `count` evenly spaced points on a circle, and the points."""
    angles = [start + 2 * math.pi * k / count for k in range(count)]
    return [(angle, polar(radius, angle)) for angle in angles]


def everywhere(x: Array, y: Array) -> Array:
    """The whole plane."""
    return np.full(x.shape, -1.0, np.float32)


def circle(radius: float, centre: Point = (0.0, 0.0)) -> Shape:
    """A disc."""
    cx, cy = map(np.float32, centre)
    return lambda x, y: np.sqrt((x - cx) ** 2 + (y - cy) ** 2) - np.float32(radius)


def ellipse(rx: float, ry: float, centre: Point = (0.0, 0.0), angle: float = 0.0) -> Shape:
    """An ellipse, whose distance is exact on its border only."""
    k = np.float32(min(rx, ry))

    def shape(x: Array, y: Array) -> Array:
        u, v = turned(x, y, centre, angle)
        return (np.sqrt((u / np.float32(rx)) ** 2 + (v / np.float32(ry)) ** 2) - 1) * k

    return shape


def ring(radius: float, half_width: float, centre: Point = (0.0, 0.0)) -> Shape:
    """A ring of the width 2 `half_width` around `radius`."""
    disc = circle(radius, centre)
    return lambda x, y: np.abs(disc(x, y)) - np.float32(half_width)


def box(
    half_x: float, half_y: float, centre: Point = (0.0, 0.0), round: float = 0.0, angle: float = 0.0
) -> Shape:
    """A rectangle with corners of the radius `round`, rotated by `angle`."""

    def shape(x: Array, y: Array) -> Array:
        u, v = turned(x, y, centre, angle)
        dx, dy = np.abs(u) - np.float32(half_x - round), np.abs(v) - np.float32(half_y - round)
        outside = np.sqrt(np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2)
        return outside + np.minimum(np.maximum(dx, dy), 0) - np.float32(round)

    return shape


def bar(start: Point, end: Point, radius: float) -> Shape:
    """A straight bar with round ends."""
    return lambda x, y: segment(x, y, start, end) - np.float32(radius)


def polygon(
    count: int, radius: float, centre: Point = (0.0, 0.0), angle: float = 0.0, round: float = 0.0
) -> Shape:
    """A regular polygon whose sides have the distance `radius` from its centre."""
    normals = [angle + 2 * math.pi * k / count for k in range(count)]

    def shape(x: Array, y: Array) -> Array:
        dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
        sides = [dx * np.float32(math.cos(a)) + dy * np.float32(math.sin(a)) for a in normals]
        inner = np.maximum.reduce(sides) - np.float32(radius)
        if not round:
            return inner
        return np.maximum(inner, np.sqrt(dx * dx + dy * dy) - np.float32(radius * (1 + round)))

    return shape


def toothed(count: int, radius: float, depth: float, sharpness: float = 2.5) -> Shape:
    """A disc with `count` teeth of the given depth around it."""

    def shape(x: Array, y: Array) -> Array:
        tooth = np.clip(np.float32(sharpness) * np.cos(count * np.arctan2(y, x)), -1, 1)
        return (np.sqrt(x * x + y * y) - np.float32(radius) - np.float32(depth / 2) * tooth) * np.float32(0.8)

    return shape


def lines(pitch: float, half_width: float) -> Shape:
    """Horizontal lines at the distance `pitch`."""

    def shape(x: Array, y: Array) -> Array:
        v = y * np.float32(1 / pitch)
        return np.abs(v - np.floor(v) - np.float32(0.5)) * np.float32(pitch) - np.float32(half_width)

    return shape


def zigzags(pitch: float, half_width: float, corners: Sequence[Point]) -> Shape:
    """`lines` that follow a polyline from left to right."""
    straight = lines(pitch, half_width)
    xs, ys = zip(*corners, strict=True)
    return lambda x, y: straight(x, y - np.interp(x, xs, ys).astype(np.float32))


def union(*shapes: Shape) -> Shape:
    """The union of shapes."""
    return lambda x, y: np.minimum.reduce([shape(x, y) for shape in shapes])


def cut(shape: Shape, *holes: Shape) -> Shape:
    """The difference of `shape` and all holes."""
    return lambda x, y: np.maximum.reduce([shape(x, y), *(-hole(x, y) for hole in holes)])


def overlap(*shapes: Shape) -> Shape:
    """The intersection of shapes."""
    return lambda x, y: np.maximum.reduce([shape(x, y) for shape in shapes])


def around(count: int, radius: float, make: Callable[[Point], Shape], start: float = 0.0) -> Shape:
    """The union of `count` shapes on a circle."""
    return union(*(make(place) for _, place in circular(count, radius, start)))


def spun(count: int, shape: Shape, start: float = 0.0) -> Shape:
    """A shape near the x axis repeated `count` times about the origin."""
    sector = np.float32(2 * math.pi / count)

    def repeated(x: Array, y: Array) -> Array:
        angle = np.arctan2(y, x) - np.float32(start)
        angle = angle - sector * np.rint(angle / sector)
        radius = np.sqrt(x * x + y * y)
        return shape(radius * np.cos(angle), radius * np.sin(angle))

    return repeated


def turned(x: Array, y: Array, centre: Point, angle: float) -> tuple[Array, Array]:
    """Return the coordinates along axes through `centre` that are rotated by `angle`."""
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    if angle == 0.0:
        return dx, dy
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return cos * dx + sin * dy, cos * dy - sin * dx


def segment(x: Array, y: Array, start: Point, end: Point) -> Array:
    """Return the distance to the line segment from `start` to `end`."""
    ax, ay = map(np.float32, start)
    bx, by = np.float32(end[0]) - ax, np.float32(end[1]) - ay
    length = max(float(bx * bx + by * by), 1e-12)
    along = np.clip(((x - ax) * bx + (y - ay) * by) * np.float32(1 / length), 0, 1)
    return np.sqrt((x - ax - along * bx) ** 2 + (y - ay - along * by) ** 2)


def stroke(grid: Grid, points: Sequence[Point], widths: Sequence[float], soft: float = 1.0) -> Array:
    """Return the coverage (h, w) in 0..1 of a polyline with the given half-widths.

    A line thinner than a pixel covers its share of the pixel. `soft` is the width of the border in pixels.
    """
    total = np.zeros(grid.x.shape, np.float32)
    edge = grid.pixel * soft
    for start, end, width in zip(points[:-1], points[1:], widths, strict=False):
        window = grid.around(midpoint(start, end), math.dist(start, end) / 2 + width + 2 * edge)
        if window is None:
            continue
        distance = segment(window.x, window.y, start, end)
        drawn = max(width, edge / 2)
        cover = np.clip(np.float32(0.5) + (np.float32(drawn) - distance) / np.float32(edge), 0, 1)
        part = total[window.rows, window.cols]
        np.maximum(part, cover * np.float32(width / drawn), out=part)
    return total
