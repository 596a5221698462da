"""Flexible electrical products: ribbon cables and LED strips."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, shades, tinted
from vlmad_jax.synthetic.families.parts import brittle, flexible, item, limb, mark
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, bar, box, overlap, polygon, union


def ribbon_cable(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a ribbon cable."""
    count = int(fixed.integers(8, 13))
    step = fixed.uniform(1.1, 1.5) / count
    half = step * 0.5
    rainbow, grey = fixed.uniform() < 0.35, colours.pale(fixed)
    stripe = colours.hsv(fixed.choice([0.0, 0.0, 0.6]), 0.75, 0.7)
    plugged = fixed.uniform() < 0.5  # a plug at both ends, or stripped wires at one
    end = 0.7 if plugged else 0.55
    bow = fixed.uniform(-0.1, 0.1) + varied.uniform(-0.08, 0.08)
    copper = lacquer(colours.hsv(0.07, fixed.uniform(0.3, 0.65), 0.75), 0.7)
    spread = fixed.uniform(0.0, 0.5)
    parts = []
    xs = [(k - (count - 1) / 2) * step for k in range(count)]
    for k, x in enumerate(xs):
        colour = colours.hsv(k / 10, 0.75, 0.6) if rainbow else grey if k else stripe
        if not plugged:
            tip = bar((x, 0.5), (x * (1 + 0.25 * spread), 0.85), half * 0.45)
            at = (x * (1 + 0.12 * spread), 0.68)
            parts.append(flexible(item("tip", tip, copper, at, 0.2, half, half, 0.2)))
        strand = _bowed(x, half * 0.97, end, bow)
        parts.append(flexible(item("strand", strand, moulded(colour, 0.3), (x, 0), 0.75, half, half, 0.25)))
    wide = count * half + 0.1
    shell = moulded(colours.dark(fixed) if fixed.uniform() < 0.6 else colours.paint(fixed), 0.2)
    return (*parts, *_ribbon_plugs(fixed, shell, xs, step, wide, (-0.75, 0.75) if plugged else (-0.75,)))


def _bowed(x: float, half: float, end: float, bow: float) -> Shape:
    """Return an upright strand whose middle is displaced by `bow`."""

    def shape(u: Array, v: Array) -> Array:
        aside = np.float32(bow) * (1 - (v * np.float32(1 / end)) ** 2)
        return np.maximum(np.abs(u - np.float32(x) - aside) - np.float32(half), np.abs(v) - np.float32(end))

    return shape


def _ribbon_plugs(
    rng: Rng, shell: Material, xs: Sequence[float], step: float, wide: float, heights: Sequence[float]
) -> list[Part]:
    slit, gold = tinted(shell, 0.4, 0.1), lacquer(colours.hsv(0.12, 0.5, 0.75), 0.8)
    arrow = lacquer(colours.distinct(rng, shell.colour, 0.35), 0.1)
    tall, pins = rng.uniform(0.12, 0.17), rng.uniform() < 0.5
    parts = []
    for n, y in enumerate(heights):
        side = -1 if y < 0 else 1
        housing = union(box(wide, tall, (0, y), 0.03), box(0.14, 0.05, (0, y + side * tall), 0.02))
        reach = wide + 0.2 - 0.01 * n
        parts.append(brittle(Part("housing", housing, shell, (0, y), reach, 0.04, 0.08, 0.4)))
        if pins and not n:
            pads = [(x, y) for x in xs]
            parts += [item("contact", box(step * 0.25, 0.05, p), gold, p, 0.07, 0.02, 0.09, 0) for p in pads]
        else:
            slots = union(*(box(step * 0.2, 0.045, (x, y)) for x in xs))
            parts.append(Part("slots", slots, slit, (0, y), wide, 0.02, 0.05))
        bead = box(wide - 0.02, 0.03, (0, y - side * tall), 0.02)
        parts.append(item("clamp", bead, shell, (0, y - side * tall), wide, 0.03, 0.12, 0.3))
        at = (-wide + 0.07, y + side * (tall - 0.06))
        shape = polygon(3, 0.02, at, side * math.pi / 2)
        parts.append(mark("arrow", shape, arrow, at, 0.06))
    return parts


def led_strip(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of an LED strip."""
    pitch, rows = fixed.uniform(0.26, 0.34), int(fixed.integers(1, 4))
    colour = colours.pale(fixed) if fixed.uniform() < 0.6 else colours.paint(fixed)
    foil = Material(colour, shades(fixed, colour, 0.03, 0.1), "weave", 16, 0.0, 0.001, 0.15)
    glow = colours.hsv(fixed.choice([0.12, 0.14, 0.0, 0.35, 0.6]), fixed.uniform(0.3, 0.9), 0.8)
    body = colours.pale(fixed)
    if abs(colours.brightness(body) - colours.brightness(glow)) < 0.2:
        body = colours.dark(fixed)
    # The dots of the texture are the windows of the housings, so that its rows must match the lamps.
    lamp = Material(body, glow, "dots", 1 / pitch, 0.0, 0.0, 0.3, 0.0)
    copper = lacquer(colours.hsv(0.1, fixed.uniform(0.1, 0.6), 0.75), 0.7)
    ink = lacquer(colours.distinct(fixed, colour, 0.35), 0.05)
    chip = lacquer(colours.dark(fixed), 0.2)
    lines = [(2 * k - rows + 1.5) * pitch for k in range(rows)]
    columns = [(k + 0.5) * pitch for k in range(-3, 3)]
    half = pitch * fixed.uniform(0.6, 0.75)
    every = int(fixed.choice([2, 3]))
    parts = []
    for y in lines:
        tape = box(0.99, half, (0, y), 0.01)
        parts.append(limb(Part("tape", tape, foil, (0, y), 1.1, 0.02, 0.015, 0.35)))
        tracks = union(*(box(0.97, 0.008, (0, y + s * half * 0.82)) for s in (-1, 1)))
        parts.append(Part("track", tracks, copper, (0, y), 1.0, opacity=0.5))
        seams = [c + pitch / 2 for c in columns[::every]]
        places = [(x + s * 0.05, y + t * half * 0.5) for x in seams for s in (-1, 1) for t in (-1, 1)]
        pads = union(*(box(0.04, 0.035, p) for p in places))
        parts.append(Part("pads", overlap(pads, tape), copper, (0, y), 1.0, 0.02, 0.01))
        cuts = union(*(box(0.006, half, (x, y)) for x in seams))
        parts.append(Part("cuts", overlap(cuts, tape), ink, (0, y), 1.0, printed=True))
        for k, x in enumerate(columns):
            shape = box(pitch * 0.34, pitch * 0.34, (x, y), 0.015)
            parts.append(item("led", shape, lamp, (x, y), pitch * 0.48, 0.02, 0.05))
            if k % every == every - 1 and rows < 3:
                at = (x + pitch / 2, y)
                small = box(0.03, 0.055, at)
                parts.append(item("resistor", small, chip, at, 0.06, 0.02, 0.03, 0.3))
    return tuple(parts)
