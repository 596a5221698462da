"""Deposits and discolorations on a surface: (canvas, place, rng, strength) -> canvas, as in `damage`."""

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
    tinted,
    within,
)
from vlmad_jax.synthetic.noise import fractal, stretched
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.scene import Canvas
from vlmad_jax.synthetic.shapes import polar, turned


def stain(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A spilled liquid: a tinted blot with a darker rim, and sometimes drops."""
    radius = length_on(rng, place, 0.13, 0.42)
    centre = place.point(rng, radius * 0.5)
    distance = blob(canvas, rng, centre, radius, 0.3)
    for _ in range(int(rng.integers(0, 4))):
        drop = np.asarray(centre) + rng.normal(0, radius * 1.2, 2)
        grid = grid_of(canvas)
        away = np.hypot(grid.x - np.float32(drop[0]), grid.y - np.float32(drop[1]))
        distance = np.minimum(distance, away - np.float32(radius * rng.uniform(0.1, 0.3)))
    cover = within(distance, rng.uniform(0.02, 0.08)) * canvas.inside
    rim = np.exp(-((distance / np.float32(0.025)) ** 2)) * cover
    colour = local_colour(canvas, cover)
    ink = colours.distinct(rng, colour, 0.3)
    dark = colours.brightness(colour) < 0.3
    amount = np.float32(min(rng.uniform(0.3, 0.6) * strength * (1.3 if dark else 1), 0.95))
    wet = painted(canvas, cover * amount, ink, gloss=float(rng.choice([0.1, 0.8])))
    return tinted(wet, 1 - np.float32(rng.uniform(0.1, 0.35)) * rim)


def discoloration(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A soft patch of another hue or lightness."""
    radius = length_on(rng, place, 0.2, 0.45)
    distance = blob(canvas, rng, place.point(rng, radius * 0.3), radius, 0.4)
    cover = within(distance, radius * rng.uniform(0.2, 0.7)) * canvas.inside
    level = colours.brightness(local_colour(canvas, cover))
    lift = rng.uniform(-0.4, -0.2) if level > 0.4 else rng.uniform(0.4, 0.9)
    change = np.asarray(lift + rng.uniform(-0.2, 0.2, 3), np.float32) * np.float32(strength)
    return tinted(canvas, 1 + np.maximum(change, -0.9)[:, None, None] * cover)


def contamination(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """Foreign grains or chips lying on the object."""
    few = rng.uniform() < 0.4
    count = int(rng.integers(1, 4)) if few else int(rng.integers(6, 20))
    centre = place.point(rng, 0.1 * place.scale)
    spread = place.scale * rng.uniform(0.1, 0.3)
    points = [(centre[0] + dx, centre[1] + dy) for dx, dy in rng.normal(0, spread, (count, 2)).tolist()]
    points[0] = centre
    if few:
        distance = blob(canvas, rng, points[0], length_on(rng, place, 0.07, 0.15), 0.6)
        for point in points[1:]:
            distance = np.minimum(distance, blob(canvas, rng, point, length_on(rng, place, 0.05, 0.1), 0.6))
        cover = within(distance, 0.025)
    else:
        cover = spots(canvas, points, (max(place.scale, 0.5) * rng.uniform(0.015, 0.045, count)).tolist())
    colour = colours.distinct(rng, local_colour(canvas, cover), min(0.3 + 0.1 * strength, 0.5))
    return painted(canvas, cover, colour, gloss=rng.uniform(0, 0.6), lift=0.03)


def thread(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A curled foreign fibre with a faint shadow."""
    length, width = rng.uniform(0.6, 1.6) * max(place.scale, 0.5), rng.uniform(0.007, 0.014)
    bend = rng.normal() * 2.5
    points = centred_walk(rng, place.point(rng, 0.1 * place.scale), length, 18, 0.25, bend)
    widths = [width] * len(points)
    cover = line(canvas, points, widths)
    shadow = line(canvas, [(x + 0.015, y + 0.02) for x, y in points], [width * 1.3] * len(points), 2.0)
    colour = colours.distinct(rng, local_colour(canvas, cover), min(0.35 + 0.1 * strength, 0.5))
    return painted(tinted(canvas, 1 - np.float32(0.3) * shadow), cover, colour, gloss=0.1, lift=0.01)


def smear(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """Ink or a layer that was dragged along, with a dirty trail."""
    length, angle = length_on(rng, place, 0.35, 0.8), rng.uniform(0, math.pi)
    middle = place.point(rng, 0.15 * place.scale)
    ends = [polar(side * length, angle, middle) for side in (-0.5, 0.5)]
    wide = length * rng.uniform(0.1, 0.22)
    size = canvas.height.shape[0]
    cover = line(canvas, ends, [wide], soft=0.06 * size / 2) * canvas.inside
    grid = grid_of(canvas)
    _, v = turned(grid.x, grid.y, (0.0, 0.0), angle)
    streak = np.clip(0.65 + 0.5 * stretched(v * 18 + 20, v * 0 + 1.5, draw_seed(rng)), 0.1, 1)
    dragged = np.zeros_like(canvas.albedo)
    for k in range(4):
        step = (round(-k * 0.05 * math.sin(angle) * size / 2), round(-k * 0.05 * math.cos(angle) * size / 2))
        dragged += np.roll(canvas.albedo, step, (1, 2)) * np.float32(0.25)
    blurred = replace(canvas, albedo=canvas.albedo + cover * (dragged - canvas.albedo))
    ink = contrasting_shade(rng, local_colour(canvas, cover), 1.2)
    return painted(blurred, cover * streak * np.float32(min(0.65 * strength, 0.95)), ink)


def burn_mark(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A charred core in a brown halo."""
    radius = length_on(rng, place, 0.16, 0.36)
    distance = blob(canvas, rng, place.point(rng, radius * 0.4), radius, 0.4)
    halo = within(distance, radius * 0.8) * canvas.inside
    core = within(distance + np.float32(radius * rng.uniform(0.4, 0.7)), radius * 0.4) * canvas.inside
    dark = colours.brightness(local_colour(canvas, halo)) < 0.25
    brown = (0.55, 0.45, 0.36) if dark else (0.3, 0.17, 0.08)
    scorched = painted(canvas, halo * np.float32(min(0.55 * strength, 0.9)), brown, gloss=0.0)
    return painted(scorched, core * np.float32(0.9), (0.06, 0.05, 0.04), gloss=0.0, lift=-0.01)


def rust(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """Patches of corrosion, orange to brown, with a rough skin."""
    radius = length_on(rng, place, 0.2, 0.45)
    distance = blob(canvas, rng, place.point(rng, radius * 0.3), radius, 0.5)
    rough = fractal(grid_of(canvas), draw_seed(rng), count=10, octaves=4, gain=0.8)
    cover = within(distance - np.float32(radius * 0.35) * rough, radius * 0.3) * canvas.inside
    brown = colours.hsv(rng.uniform(0.03, 0.08), rng.uniform(0.7, 0.95), rng.uniform(0.3, 0.5))
    shade = np.asarray(brown, np.float32)[:, None, None] * (1 + np.float32(0.3) * rough)
    amount = cover * np.float32(min(0.85 * strength, 1))
    albedo = canvas.albedo + amount * (np.clip(shade, 0, 1) - canvas.albedo)
    gloss = canvas.gloss * (1 - amount)
    return Canvas(albedo, canvas.height + np.float32(0.008) * rough * cover, gloss, canvas.inside)


def glue_strip(canvas: Canvas, place: Place, rng: Rng, strength: float) -> Canvas:
    """A bead or smear of dried adhesive, translucent and glossy."""
    length = length_on(rng, place, 0.3, 0.9)
    points = centred_walk(rng, place.point(rng, 0.1 * place.scale), length, 8, 0.2, rng.normal())
    half = length * rng.uniform(0.06, 0.12)
    widths = (half * rng.uniform(0.6, 1.2, len(points))).tolist()
    cover = line(canvas, points, widths, soft=0.03 * canvas.height.shape[0] / 2)
    colour = local_colour(canvas, cover)
    if colours.brightness(colour) > 0.6:
        glue = colours.hsv(0.11, rng.uniform(0.4, 0.7), 0.6)
    else:
        glue = colours.hsv(0.13, rng.uniform(0.05, 0.4), 0.9)
    amount = np.float32(min(rng.uniform(0.4, 0.65) * strength, 0.95))
    coated = painted(canvas, cover * amount, glue, gloss=0.9)
    return raised(coated, np.float32(0.6 * half) * np.sqrt(cover))
