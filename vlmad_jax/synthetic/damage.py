"""Damage to a surface: (canvas, place, rng, strength) -> canvas.

A strength of 1 is typical, and a larger one makes the defect more visible.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.marks import (
    Rng,
    blob,
    centred_walk,
    contrasting_shade,
    draw_seed,
    grid_of,
    length_on,
    line,
    local_colour,
    painted,
    raised,
    spots,
    tapered,
    tinted,
    walk,
    within,
)
from vlmad_jax.synthetic.noise import fractal, stretched
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.scene import Canvas
from vlmad_jax.synthetic.shapes import polar, turned


def scratch(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """One or a few straight or slightly curved grooves, bright or dark."""
    middle = place.point(rng, 0.2 * place.scale)
    width, length, bend = rng.uniform(0.007, 0.016), length_on(rng, place, 0.45, 1.3), rng.normal() * 0.35
    points = centred_walk(rng, middle, length, 8, 0.04, bend)
    cover = np.zeros_like(canvas.height)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        dx, dy = rng.normal(0, 0.05, 2).tolist()
        moved = [(x + dx, y + dy) for x, y in points]
        cover = np.maximum(cover, line(canvas, moved, tapered(len(moved), width)))
    cover = cover * canvas.inside
    colour, depth = contrasting_shade(rng, local_colour(canvas, cover), strength), rng.uniform(0.004, 0.015)
    return painted(canvas, cover * np.float32(min(0.85 * strength, 1)), colour, lift=-depth)


def crack(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A jagged dark line with branches."""
    middle = place.point(rng, 0.2 * place.scale)
    length, width = length_on(rng, place, 0.5, 1.3), rng.uniform(0.009, 0.018)
    points = centred_walk(rng, middle, length, 14, 0.45)
    cover = line(canvas, points, tapered(len(points), width, 0.8))
    for _ in range(int(rng.integers(0, 4))):
        root = points[int(rng.integers(2, len(points) - 2))]
        branch = walk(rng, root, rng.uniform(0, 2 * math.pi), length * rng.uniform(0.15, 0.4), 6, 0.4)
        widths = np.linspace(width * 0.7, width * 0.2, len(branch)).tolist()
        cover = np.maximum(cover, line(canvas, branch, widths))
    cover = cover * canvas.inside
    colour = local_colour(canvas, cover)
    dark = colours.brightness(colour) > 0.16
    gap = colours.scaled(colour, 0.2) if dark else contrasting_shade(rng, colour, 1.3)
    return painted(canvas, cover * np.float32(min(0.9 * strength, 1)), gap, gloss=0.0, lift=-0.02)


def hole(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """An irregular opening that is dark inside or shows a light ground."""
    radius = length_on(rng, place, 0.09, 0.3)
    distance = blob(canvas, rng, place.point(rng, radius), radius, 0.3)
    cover = within(distance, 0.03) * canvas.inside
    colour = local_colour(canvas, cover)
    inner = colours.dark(rng) if colours.brightness(colour) > 0.35 else colours.pale(rng)
    rim = within(np.abs(distance) - np.float32(0.015), 0.03) * canvas.inside
    frayed = painted(canvas, rim * np.float32(0.4), colours.scaled(colour, rng.choice([0.7, 1.4])), lift=0.02)
    shadow = 1 - np.float32(0.4) * np.clip(1 + distance / np.float32(radius), 0, 1)
    opened = painted(frayed, cover, inner, gloss=0.0, lift=-0.04)
    return tinted(opened, 1 - cover * (1 - shadow))


def cut(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A slit with gaping, lighter edges."""
    length = length_on(rng, place, 0.3, 0.7)
    points = centred_walk(rng, place.point(rng, 0.12 * place.scale), length, 8, 0.08, rng.normal() * 0.4)
    width = length * rng.uniform(0.03, 0.08)
    gap = line(canvas, points, tapered(len(points), width, 1.0)) * canvas.inside
    edge = line(canvas, points, tapered(len(points), width + 0.02, 0.7)) * canvas.inside
    colour = local_colour(canvas, edge)
    dark = colours.scaled(colour, 0.2) if colours.brightness(colour) > 0.2 else colours.pale(rng)
    frayed = painted(canvas, edge * np.float32(0.35), contrasting_shade(rng, colour, 0.8), lift=0.02)
    return painted(frayed, gap, dark, gloss=0.0, lift=-0.05)


def dent(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A dip or bulge that is visible only by its shading."""
    radius = length_on(rng, place, 0.13, 0.3)
    grid, centre = grid_of(canvas), place.point(rng, radius)
    long, angle = rng.uniform(1.0, 1.8), rng.uniform(0, math.pi)
    u, v = turned(grid.x, grid.y, centre, angle)
    u = u / np.float32(long)
    depth = np.float32(radius * rng.uniform(0.5, 0.9) * strength * rng.choice([-1, -1, 1]))
    dip = np.exp(-((u * u + v * v) / np.float32(radius**2)) * 1.5)
    gloss = canvas.gloss + dip * (np.maximum(canvas.gloss, 0.25) - canvas.gloss)
    return raised(replace(canvas, gloss=gloss), depth * dip * canvas.inside)


def chip(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A flake broken from the border, with a rough fracture."""
    border, inwards = place.border(rng)
    radius = length_on(rng, place, 0.12, 0.28)
    distance = blob(canvas, rng, polar(0.3 * radius, inwards, border), radius, 0.5)
    cover = within(distance, 0.02) * canvas.inside
    rough = fractal(grid_of(canvas), draw_seed(rng), count=16, octaves=3)
    shade = contrasting_shade(rng, local_colour(canvas, cover), strength)
    broken = painted(canvas, cover * np.float32(0.9), shade, 0.05, -0.05)
    return raised(tinted(broken, 1 + np.float32(0.15) * rough * cover), np.float32(0.012) * rough * cover)


def rough_patch(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """An abraded patch with many fine marks and no gloss."""
    radius = length_on(rng, place, 0.16, 0.4)
    distance = blob(canvas, rng, place.point(rng, radius * 0.5), radius, 0.5)
    cover = within(distance, radius * 0.4) * canvas.inside
    grid = grid_of(canvas)
    if rng.uniform() < 0.5:
        u, v = turned(grid.x, grid.y, (0.0, 0.0), rng.uniform(0, math.pi))
        marks = 1.6 * stretched(u * 4 + 20, v * 22 + 20, draw_seed(rng))
    else:
        marks = fractal(grid, draw_seed(rng), count=20, octaves=2, gain=0.8)
    shade = contrasting_shade(rng, local_colour(canvas, cover), strength)
    worn = painted(canvas, cover * np.clip(0.35 + 0.35 * marks, 0, 0.9), shade, gloss=0.0)
    return raised(worn, np.float32(0.012 * strength) * marks * cover)


def pinholes(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A cluster of small pits."""
    count = int(rng.integers(6, 22))
    x, y = place.point(rng, 0.15 * place.scale)
    spread = place.scale * rng.uniform(0.15, 0.35)
    points = [(x + dx, y + dy) for dx, dy in rng.normal(0, spread, (count, 2)).tolist()]
    radii = (rng.uniform(0.014, 0.034, count) * max(place.scale, 0.6)).tolist()
    cover = spots(canvas, points, radii) * canvas.inside
    colour = contrasting_shade(rng, local_colour(canvas, cover), 1.3 * strength)
    return painted(canvas, cover * np.float32(0.9), colour, gloss=0.0, lift=-0.02)


def fold(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A crease across the sheet, which is a ridge with a worn line along it."""
    grid = grid_of(canvas)
    _, aside = turned(grid.x, grid.y, place.point(rng, 0.2 * place.scale), rng.uniform(0, math.pi))
    across = np.float32(0.01) * fractal(grid, draw_seed(rng), count=3, octaves=3) - aside
    width = rng.uniform(0.05, 0.1)
    ridge = np.exp(-np.abs(across) / np.float32(width))
    worn = np.exp(-((across / np.float32(0.014)) ** 2)) * canvas.inside
    colour = contrasting_shade(rng, local_colour(canvas, worn), strength)
    creased = painted(canvas, worn * np.float32(min(0.6 * strength, 0.9)), colour)
    return raised(creased, np.float32(width * rng.uniform(0.5, 0.9) * strength) * ridge * canvas.inside)
