"""Drawing primitives of surface defects: strokes, blobs, and changes of a canvas."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.colours import Colour
from vlmad_jax.synthetic.grid import Array, Grid, Point, whole
from vlmad_jax.synthetic.noise import fractal
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.scene import Canvas
from vlmad_jax.synthetic.shapes import polar, stroke, turned

Rng = np.random.Generator


def grid_of(canvas: Canvas) -> Grid:
    """Return the grid of a canvas."""
    return whole(canvas.height.shape[0])


def draw_seed(rng: Rng) -> int:
    """Draw a seed for a noise field."""
    return int(rng.integers(0, 2**31))


def walk(
    rng: Rng, start: Point, heading: float, length: float, steps: int, wander: float, bend: float = 0.0
) -> list[Point]:
    """Draw a random walk that turns by `bend` in total and by about `wander` in each step, radians."""
    points = [start]
    for _ in range(steps):
        heading += bend / steps + rng.normal() * wander
        points.append(polar(length / steps, heading, points[-1]))
    return points


def centred_walk(
    rng: Rng, middle: Point, length: float, steps: int, wander: float, bend: float = 0.0
) -> list[Point]:
    """Draw a random walk that passes through `middle` halfway."""
    heading = rng.uniform(0, 2 * math.pi)
    back = walk(rng, middle, heading + math.pi, length / 2, steps // 2, wander, -bend / 2)
    return back[:0:-1] + walk(rng, middle, heading, length / 2, steps // 2, wander, bend / 2)


def tapered(count: int, width: float, power: float = 0.5) -> list[float]:
    """Return the half-widths of a line of `count` points that gets thinner towards both ends."""
    t = np.linspace(-1, 1, count)
    return (width * np.maximum(1 - t * t, 0.08) ** power).tolist()


def line(canvas: Canvas, points: list[Point], widths: list[float], soft: float = 1.2) -> Array:
    """Return the coverage (S, S) of a line."""
    return stroke(grid_of(canvas), points, widths, soft)


def spots(canvas: Canvas, points: list[Point], radii: list[float]) -> Array:
    """Return the coverage (S, S) of round spots."""
    total = np.zeros_like(canvas.height)
    for point, radius in zip(points, radii, strict=True):
        np.maximum(total, line(canvas, [point, point], [radius]), out=total)
    return total


def blob(canvas: Canvas, rng: Rng, centre: Point, radius: float, ragged: float = 0.4) -> Array:
    """Draw an irregular blot of about the given radius, and return its signed distance (S, S)."""
    grid = grid_of(canvas)
    u, v = turned(grid.x, grid.y, centre, rng.uniform(0, math.pi))
    long = rng.uniform(1.0, 1.7)
    distance = np.sqrt((u / np.float32(math.sqrt(long))) ** 2 + (v * np.float32(math.sqrt(long))) ** 2)
    ripple = fractal(grid, draw_seed(rng), count=min(max(4, round(1.2 / radius)), 20), octaves=3)
    ripple = np.float32(ragged) * np.clip(ripple, -1.6, 1.6) * np.float32(0.6)
    return distance - np.float32(radius) * (1 + ripple)


def within(distance: Array, edge: float) -> Array:
    """Convert signed distances to coverage 0..1 with a border of the width `edge`."""
    return np.clip(np.float32(0.5) - distance / np.float32(edge), 0, 1)


def local_colour(canvas: Canvas, cover: Array) -> Colour:
    """Return the mean colour under a mark."""
    weight = max(float(cover.sum()), 1e-6)
    red, green, blue = ((canvas.albedo * cover).sum((1, 2)) / weight).tolist()
    return red, green, blue


def painted(
    canvas: Canvas, cover: Array, colour: Colour, gloss: float | None = None, lift: float = 0.0
) -> Canvas:
    """Return the canvas with a colour and a change of height `lift`, weighted by `cover` (S, S)."""
    paint = np.asarray(colour, np.float32)[:, None, None]
    albedo = canvas.albedo + cover * (paint - canvas.albedo)
    shine = canvas.gloss if gloss is None else canvas.gloss + cover * (np.float32(gloss) - canvas.gloss)
    return Canvas(albedo, canvas.height + np.float32(lift) * cover, shine, canvas.inside)


def tinted(canvas: Canvas, factor: Array) -> Canvas:
    """Return the canvas with colours multiplied by a factor (S, S) or (3, S, S)."""
    return replace(canvas, albedo=canvas.albedo * factor)


def raised(canvas: Canvas, lift: Array) -> Canvas:
    """Return the canvas with height increased by `lift` (S, S), in units of length."""
    return replace(canvas, height=canvas.height + lift)


def length_on(rng: Rng, place: Place, low: float, high: float) -> float:
    """Draw a length between `low` and `high` times the object's size, uniform in its logarithm."""
    return place.scale * float(np.exp(rng.uniform(math.log(low), math.log(high))))


def contrasting_shade(rng: Rng, colour: colours.Colour, strength: float) -> colours.Colour:
    """Draw a clearly darker shade of a bright colour or a lighter one of a dark colour, with exceptions."""
    level = colours.brightness(colour)
    darker = rng.uniform() < (0.85 if level > 0.5 else 0.2)
    if darker:
        return colours.scaled(colour, max(1 - 0.65 * strength, 0.05))
    red, green, blue = (c + (1 - c) * min(0.6 * strength, 0.95) for c in colour)
    return red, green, blue
