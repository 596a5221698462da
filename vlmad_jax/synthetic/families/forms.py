"""Shapes and parts of fasteners and machined pieces."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.families.finishes import lacquer
from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, bar, turned, union


def shiny(rng: Rng) -> Material:
    """Draw a smooth metal."""
    return lacquer(colours.metal(rng), rng.uniform(0.4, 0.7))


def tool_steel(rng: Rng) -> Material:
    """Draw a tool steel that is bright, black or coated with titanium nitride."""
    kind = rng.uniform()
    if kind < 0.4:
        return lacquer(colours.hsv(0.6, 0.05, rng.uniform(0.5, 0.7)), 0.6)
    if kind < 0.7:
        return lacquer(colours.hsv(0.6, 0.1, rng.uniform(0.22, 0.35)), 0.5)
    return lacquer(colours.hsv(rng.uniform(0.1, 0.13), 0.6, rng.uniform(0.6, 0.75)), 0.6)


def tinted(material: Material, factor: float, gloss: float = 0.35) -> Material:
    """Return a smooth surface of the same hue, lighter or darker."""
    return lacquer(colours.scaled(material.colour, factor), gloss)


def polar(radius: float, angle: float) -> Point:
    """Return a point by its distance and direction from the origin."""
    return radius * math.cos(angle), radius * math.sin(angle)


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


def item(
    role: str,
    shape: Shape,
    material: Material,
    centre: Point,
    reach: float,
    bevel: float,
    height: float,
    shadow: float = 0.4,
) -> Part:
    """Return a part that can be missing, misplaced, doubled or of a wrong colour."""
    return Part(role, shape, material, centre, reach, bevel, height, shadow, loose=True)


def brittle(part: Part) -> Part:
    """Return the part as one that can also break."""
    return replace(part, breakable=True)


def limb(part: Part) -> Part:
    """Return the part as one that can also be bent or break."""
    return replace(part, bendable=True, breakable=True)
