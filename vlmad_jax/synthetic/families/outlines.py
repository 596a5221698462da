"""Outlines and materials that electrical families share."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.families.finishes import lacquer
from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.shapes import Shape, box, union


def enamelled(rng: Rng) -> Material:
    """Draw the wire of a winding: copper under clear, red or green enamel."""
    hue = float(rng.choice([0.06, 0.07, 0.08, 0.02, 0.3], p=[0.3, 0.25, 0.25, 0.12, 0.08]))
    return lacquer(colours.hsv(hue, rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.85)), 0.6)


def words(rng: Rng, start: Point, length: float, half: float) -> Shape:
    """Draw a line of printed words."""
    marks, x = [], start[0]
    while x < start[0] + length:
        wide = float(rng.uniform(1.5, 4)) * half
        marks.append(box(wide, half, (x + wide, start[1]), half / 3))
        x += 2 * wide + 2 * half
    return union(*marks)


def tapered(top: float, bottom: float, wide: float, narrow: float) -> Shape:
    """Return an upright body from `top` to `bottom` whose half-width changes from `wide` to `narrow`."""
    middle, half = (top + bottom) / 2, (bottom - top) / 2
    outline = box(max(wide, narrow), half, (0.0, middle), 0.06)
    rate = (narrow - wide) / (bottom - top)

    def shape(x: Array, y: Array) -> Array:
        side = np.abs(x) - np.float32(wide) - np.float32(rate) * (y - np.float32(top))
        return np.maximum(outline(x, y), side * np.float32(1 / math.hypot(1, rate)))

    return shape
