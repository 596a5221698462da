"""Sockets, switches and plugs for mains power."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel, tinted
from vlmad_jax.synthetic.families.outlines import tapered, words
from vlmad_jax.synthetic.families.parts import brittle, engraved, flexible, item, limb, mark, solid
from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, bar, box, circle, cut, overlap, ring


def wall_socket(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a wall socket."""
    colour = colours.pale(fixed) if fixed.uniform() < 0.7 else colours.paint(fixed)
    material = moulded(colour, fixed.uniform(0.2, 0.6))
    kind, count = int(fixed.integers(0, 4)), int(fixed.integers(1, 3))
    wide, tall, size, step = (0.82, 0.82, 0.55, 0.0) if count == 1 else (0.5, 0.92, 0.36, 0.84)
    shell = box(wide, tall, round=fixed.uniform(0.04, 0.14))
    frame = moulded(colours.scaled(colour, 0.93) if fixed.uniform() < 0.5 else colours.paint(fixed), 0.4)
    parts = [
        solid("frame", shell, frame, 1.2, 0.06, 0.06),
        Part("plate", box(wide - 0.08, tall - 0.08, round=0.04), material, (0, 0), 1.1, 0.04, 0.05, 0.2),
    ]
    for k in range(count):
        parts += _outlet(fixed, material, kind, (0.0, step * (k - 0.5)), size)
    if kind == 1 or count == 2:
        places = [(0.0, 0.0)] if count == 2 else [(0.0, -0.66), (0.0, 0.66)]
        head = steel(fixed, "plain")
        for p in places:
            shape = cut(circle(0.06, p), box(0.05, 0.012, p, angle=fixed.uniform(0, 3)))
            parts.append(item("screw", shape, head, p, 0.06, 0.03, 0.03, 0.3))
    return tuple(parts)


def _outlet(rng: Rng, plate: Material, kind: int, at: Point, size: float) -> list[Part]:
    """Return an outlet: recessed with clips (0) or a pin (3), or flat with two (1) or three slots (2)."""
    black = lacquer((0.05, 0.05, 0.06), 0.1)
    sunk = moulded(colours.scaled(plate.colour, 0.9), 0.3)
    metal = lacquer(colours.hsv(0.11, rng.uniform(0.05, 0.4), 0.72), 0.7)

    def place(u: float, v: float) -> Point:
        return at[0] + u * size, at[1] + v * size

    def slot(u: float, v: float, half_x: float, half_y: float) -> Part:
        shape = box(half_x * size, half_y * size, place(u, v))
        return item("hole", shape, black, place(u, v), 0.25 * size, 0.03, -0.03, 0)

    def bore(u: float, v: float, radius: float) -> Part:
        shape = circle(radius * size, place(u, v))
        return item("hole", shape, black, place(u, v), 0.25 * size, 0.03, -0.03, 0)

    if kind == 1:
        face = overlap(circle(size, at), box(size, 0.82 * size, at))
        return [
            brittle(Part("face", face, plate, at, size, 0.04, 0.05, 0.3)),
            slot(-0.34, -0.25, 0.06, 0.24),
            slot(0.34, -0.25, 0.06, 0.2),
            bore(0, 0.4, 0.14),
        ]
    if kind == 2:
        plain = Part("face", box(size, 0.95 * size, at, 0.1 * size), plate, at, 1.3 * size, 0.03, 0.03, 0.2)
        slots = [slot(u, 0.35, 0.19, 0.09) for u in (-0.45, 0.45)]
        return [plain, slot(0, -0.35, 0.09, 0.19), *slots]
    parts = [
        Part("rim", ring(size * 1.05, 0.03, at), plate, at, 1.15 * size, 0.03, 0.04, 0.2),
        Part("well", circle(size, at), sunk, at, size, 0.1, -0.1),
        *(bore(u, 0, 0.13) for u in (-0.4, 0.4)),
    ]
    for p in (place(-0.88, 0), place(0.88, 0)):
        rib = box(0.09 * size, 0.13 * size, p, 0.02)
        parts.append(item("rib", rib, plate, p, 0.2 * size, 0.03, 0.05, 0.2))
    if kind == 3:
        p = place(0, -0.5)
        return [*parts, item("pin", circle(0.12 * size, p), metal, p, 0.13 * size, 0.05, 0.1, 0.5)]
    for p in (place(0, -0.84), place(0, 0.84)):
        clip = box(0.1 * size, 0.17 * size, p, 0.02)
        parts.append(flexible(item("clip", clip, metal, p, 0.22 * size, 0.03, 0.05)))
    return parts


def rocker_switch(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a rocker switch."""
    bezel = moulded(colours.dark(fixed) if fixed.uniform() < 0.7 else colours.paint(fixed), 0.4)
    cap = moulded(colours.distinct(fixed, bezel.colour, 0.2) if fixed.uniform() < 0.7 else bezel.colour, 0.6)
    ink = lacquer(colours.distinct(fixed, cap.colour, 0.4), 0.1)
    count = int(fixed.integers(1, 5))
    wide = (0.5, 0.72, 0.88, 0.92)[count - 1]
    tall = fixed.uniform(0.6, 0.8)
    step = 2 * (wide - 0.06) / count
    half, high = step / 2 - 0.06, tall - 0.14
    parts = [solid("bezel", box(wide, tall, round=0.06), bezel, 1.25, 0.08, 0.07)]
    lamp = lacquer(colours.hsv(fixed.uniform(), 0.8, 0.9), 0.8) if fixed.uniform() < 0.5 else None
    pressed, dark = int(fixed.choice([-1, 1])), tinted(bezel, 0.3, 0.1)
    for k in range(count):
        x = (k - (count - 1) / 2) * step
        well = box(half + 0.03, high + 0.03, (x, 0), 0.03)
        parts.append(Part("well", well, dark, (x, 0), high + half, 0.02, -0.03))
        key = _slanted(box(half, high, (x, 0), 0.03), high, pressed)
        parts.append(brittle(item("rocker", key, cap, (x, 0), math.hypot(half, high), 0.8 * high, 0.2, 0.3)))
        size, y = min(0.11, half * 0.5), high * 0.55
        signs = ((bar((x, -y - size), (x, -y + size), 0.028), -y), (ring(size, 0.024, (x, y)), y))
        parts += [mark("sign", s, ink, (x, v), 0.15) for s, v in signs]
        if lamp:
            window = box(min(0.1, half * 0.6), 0.05, (x, 0), 0.02)
            parts.append(item("lamp", window, lamp, (x, 0), 0.12, 0.03, 0.05, 0))
    return tuple(parts)


def _slanted(face: Shape, high: float, pressed: int) -> Shape:
    """Return a face of two planes, which is almost level on the pressed side and rises on the other."""

    def shape(x: Array, y: Array) -> Array:
        v = y * np.float32(-pressed)
        rise = np.float32(0.12) * (v + np.float32(1.1 * high)) + np.maximum(v, 0)
        return np.maximum(6 * face(x, y), -rise)

    return shape


def electric_plug(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of an electric plug."""
    colour = colours.dark(fixed) if fixed.uniform() < 0.5 else colours.paint(fixed)
    rubber, metal = moulded(colour, fixed.uniform(0.1, 0.5)), lacquer(colours.metal(fixed), 0.7)
    wide, narrow = fixed.uniform(0.4, 0.58), fixed.uniform(0.18, 0.26)
    places = [(-0.26, -0.62), (0.26, -0.62)]
    blade, sleeved = fixed.uniform() < 0.4, fixed.uniform() < 0.6
    half = fixed.uniform(0.06, 0.09) if blade else fixed.uniform(0.05, 0.065)
    if fixed.uniform() < 0.4:
        places.append((0.0, -0.66))
    bow, lead = fixed.uniform(-0.5, 0.5) + varied.uniform(-0.15, 0.15), fixed.uniform(0.08, 0.11)

    def sweep(x: Array, y: Array) -> Array:
        away = np.maximum(y - np.float32(0.45), 0)
        return np.maximum(np.abs(x - np.float32(bow) * away * away) - np.float32(lead), np.float32(0.4) - y)

    shade = moulded(colours.scaled(colour, 0.85), 0.2)
    parts = [flexible(item("lead", sweep, shade, (0, 0.85), 0.6, lead, lead))]
    sleeve = lacquer(colours.dark(fixed), 0.2)
    for p in places:
        pin = box(half, 0.24, p, 0.02 if blade else half)
        parts.append(limb(item("pin", pin, metal, p, 0.28, half, half)))
        if sleeved:
            q = (p[0], p[1] + 0.12)
            parts.append(item("sleeve", box(half, 0.1, q), sleeve, q, 0.12, half, half, 0))
    for k, y in enumerate(np.linspace(0.5, 0.76, 4).tolist()):
        bead = box(lead + 0.07 - 0.015 * k, 0.025, (0, y), 0.02)
        parts.append(item("relief", bead, rubber, (0, y), 0.2, 0.03, 0.12, 0.2))
    face = box(wide + 0.05, 0.06, (0, -0.4), 0.03)
    rows = [(0, y) for y in (0.2, 0.27, 0.34)]
    grooves = [engraved(rubber, box(wide * 0.62, 0.016, p, 0.01), p, wide) for p in rows]
    paint = lacquer(colours.scaled(colour, 1.5 if colours.brightness(colour) < 0.5 else 0.5), 0.1)
    badge = ring(0.12, 0.025, (0, -0.12)) if fixed.uniform() < 0.5 else words(fixed, (-0.2, -0.12), 0.3, 0.05)
    screw = cut(circle(0.08, (0, 0.07)), box(0.06, 0.014, (0, 0.07), angle=fixed.uniform(0, 3)))
    return (
        *parts,
        solid("body", tapered(-0.4, 0.46, wide, narrow), rubber, 1.0, 0.2, 0.16),
        brittle(Part("face", face, rubber, (0, -0.4), wide + 0.1, 0.04, 0.14, 0.3)),
        *grooves,
        mark("badge", badge, paint, (0, -0.12), 0.4),
        item("screw", screw, metal, (0, 0.07), 0.09, 0.03, 0.16, 0.2),
    )
