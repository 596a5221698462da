"""Round pieces with a ring of equal features."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel, tinted, tool_steel
from vlmad_jax.synthetic.families.forms import path, wedge
from vlmad_jax.synthetic.families.parts import brittle, item, limb, mark, solid
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import (
    Shape,
    bar,
    box,
    circle,
    circular,
    cut,
    overlap,
    polar,
    ring,
    spun,
    union,
)


def impeller(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of an impeller."""
    metal = fixed.uniform() < 0.6
    material = steel(fixed, "turned") if metal else moulded(colours.paint(fixed))
    count, hand = int(fixed.integers(5, 12)), float(fixed.choice([-1, 1]))
    hub, bore = fixed.uniform(0.17, 0.24), fixed.uniform(0.06, 0.1)
    start, sweep = varied.uniform(0, 2 * math.pi), hand * fixed.uniform(0.5, 1.1)
    thick = fixed.uniform(0.028, 0.045)
    blade = tinted(material, fixed.uniform(1.1, 1.3))
    angles = [start + 2 * math.pi * k / count for k in range(count)]
    frame: list[Part] = []
    if fixed.uniform() < 0.4:
        blades = [_fan_blade(angle, sweep, hub, blade, count) for angle in angles]
        if fixed.uniform() < 0.5:
            frame = [solid("shroud", ring(0.87, 0.035), material, 0.95, 0.03, 0.05)]
    else:
        blades = [_vane(angle, sweep, hub, thick, blade) for angle in angles]
        disc: Shape = circle(0.84)
        if fixed.uniform() < 0.5:  # a scalloped back plate
            scallop = fixed.uniform(0.5, 0.75) * 0.84 * math.sin(math.pi / count)
            disc = cut(disc, spun(count, circle(scallop, (0.9, 0.0)), start + math.pi / count + sweep))
        frame = [solid("plate", disc, material, 0.95, 0.04, 0.02)]
    nose = cut(circle(hub), circle(bore), box(bore * 0.35, bore * 1.4, (0, -bore * 0.4)))
    cap = steel(fixed, "turned") if fixed.uniform() < 0.6 else blade
    return (*frame, *blades, item("hub", nose, cap, (0, 0), 0.65, 0.1, 0.12, 0.5))


def _vane(angle: float, sweep: float, hub: float, thick: float, look: Material) -> Part:
    """Return a thin blade that stands on the plate and sweeps backwards."""
    steps = np.linspace(0, 1, 5).tolist()
    points = [polar(hub * 0.9 + (0.8 - hub * 0.9) * t, angle + sweep * t**1.3) for t in steps]
    reach = max(math.dist(points[2], p) for p in points) + thick
    return limb(item("vane", path(points, thick), look, points[2], reach, thick, 0.07, 0.45))


def _fan_blade(angle: float, sweep: float, hub: float, look: Material, count: int) -> Part:
    """Return a broad, twisted blade that rises slowly from its trailing to its leading edge."""
    half, side = 0.78 * math.pi / count, math.copysign(1.0, sweep)
    lean = angle + 0.25 * sweep
    near, far = 0.8 * hub, 0.81

    def shape(x: Array, y: Array) -> Array:
        radius = np.sqrt(x * x + y * y)
        turn = np.arctan2(y, x) - np.float32(angle) - np.float32(0.5 * sweep) * (radius - np.float32(hub))
        turn = turn - np.float32(2 * math.pi) * np.rint(turn * np.float32(0.5 / math.pi))
        across = turn * radius * np.float32(side)
        wide = np.float32(half) * radius * (np.float32(0.6) + np.float32(0.4) * radius)
        return np.maximum.reduce([1.5 * (across - wide), 0.6 * (-across - wide), radius - far, near - radius])

    return limb(item("blade", shape, look, polar(0.5, lean), 0.34 + 0.5 * half, 0.16, 0.14, 0.5))


def saw_blade(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a saw blade."""
    material = steel(fixed, str(fixed.choice(["turned", "brushed", "plain"])))
    count, hand = int(fixed.integers(14, 31)), float(fixed.choice([-1, 1]))
    radius, depth = fixed.uniform(0.82, 0.88), min(fixed.uniform(2.2, 3.2) / count, 0.15)
    start = varied.uniform(0, 2 * math.pi)
    openings: list[Shape] = [circle(fixed.uniform(0.08, 0.14))]
    slots = int(fixed.integers(3, 7))
    if fixed.uniform() < 0.7:  # slots that let the rim expand
        inner = fixed.uniform(0.5, 0.6)
        slot = union(bar((inner, 0), (1.0, 0), 0.012), circle(0.03, (inner, 0)))
        openings.append(spun(slots, slot, start))
    if fixed.uniform() < 0.4:
        openings.append(spun(slots, circle(0.05, (0.4, 0)), start + 0.5))
    body = cut(_sawtooth(count, radius, depth, hand, start), *openings)
    tip = lacquer(colours.scaled(colours.metal(fixed), fixed.choice([0.7, 1.4])), 0.6)
    size = min(depth * 0.42, 0.045)
    teeth = []
    for k in range(count):
        angle = start + hand * 2 * math.pi * k / count
        p = polar(radius - 1.2 * size, angle + hand * size * 0.8 / radius)
        teeth.append(item("tip", box(size * 1.4, size, p, 0.01, angle), tip, p, 2 * size, 0.015, 0.04, 0.15))
    ink = lacquer(colours.distinct(fixed, material.colour, 0.3), 0.1)
    band = overlap(ring(fixed.uniform(0.28, 0.42), fixed.uniform(0.03, 0.06)), box(1, 0.3, (0, -0.32)))
    return (
        limb(solid("blade", body, material, 0.95, 0.02, 0.015)),
        mark("print", cut(band, *openings[1:]), ink, (0, 0), 0.5),
        *teeth,
    )


def _sawtooth(count: int, radius: float, depth: float, hand: float, start: float) -> Shape:
    """Return a disc whose rim falls slowly behind each tooth and rises steeply to the next."""

    def shape(x: Array, y: Array) -> Array:
        phase = (np.arctan2(y, x) - np.float32(start)) * np.float32(hand * count / (2 * math.pi))
        fall = np.minimum((phase - np.floor(phase)) * np.float32(1.3), 1)
        rim = np.float32(radius) - np.float32(depth) * fall * np.sqrt(fall)
        return (np.sqrt(x * x + y * y) - rim) * np.float32(0.8)

    return shape


def retaining_ring(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a retaining ring."""
    material = tool_steel(fixed) if fixed.uniform() < 0.5 else steel(fixed, "plain")
    kind = fixed.uniform()
    if kind < 0.45:
        return _circlip(fixed, material)
    return _grip_ring(fixed, material) if kind < 0.65 else _star_ring(fixed, material)


def _circlip(rng: Rng, material: Material) -> tuple[Part, ...]:
    """Return a ring that is open at the top, with a lug and hole at each end, inside or outside the ring."""
    outer, inside = rng.uniform(0.64, 0.76), rng.uniform() < 0.5
    inner, gap = outer - rng.uniform(0.14, 0.2), rng.uniform(0.1, 0.3)
    lug, eye = rng.uniform(0.12, 0.15), rng.uniform(0.045, 0.06)
    at = (outer + inner) / 2 + lug * (-0.6 if inside else 0.5)
    shape = cut(circle(outer), circle(inner, (0, -rng.uniform(0.02, 0.05))), wedge(gap))
    parts = [limb(solid("ring", shape, material, 0.95, 0.03, 0.03))]
    for side in (-1, 1):
        p = polar(at, -math.pi / 2 + side * (gap + lug * 0.75 / at))
        shape = cut(circle(lug, p), circle(eye, p))
        parts.append(brittle(item("lug", shape, material, p, lug, 0.03, 0.03, 0)))
    return tuple(parts)


def _grip_ring(rng: Rng, material: Material) -> tuple[Part, ...]:
    """Return an E-shaped ring that is open on one side and has three prongs."""
    outer, thick = rng.uniform(0.72, 0.8), rng.uniform(0.17, 0.22)
    gap, shaft = rng.uniform(0.6, 0.8), rng.uniform(0.28, 0.36)
    body = cut(circle(outer), circle(outer - thick), wedge(gap))
    parts = [limb(solid("ring", body, material, 0.95, 0.03, 0.03))]
    middle = (shaft + outer - thick * 0.5) / 2
    for angle in (math.pi / 2, -math.pi / 2 - gap - 0.14, -math.pi / 2 + gap + 0.14):
        p = polar(middle, angle)
        prong = cut(box(middle - shaft + 0.05, 0.1, p, 0.03, angle), circle(shaft))
        parts.append(brittle(item("prong", prong, material, p, 0.3, 0.03, 0.03, 0)))
    return tuple(parts)


def _star_ring(rng: Rng, material: Material) -> tuple[Part, ...]:
    """Return a closed ring with inner teeth that lock on a shaft."""
    outer, thick = rng.uniform(0.7, 0.8), rng.uniform(0.14, 0.2)
    count, long = int(rng.integers(6, 15)), rng.uniform(0.08, 0.13)
    wide = 0.62 * (outer - thick - long) * math.sin(math.pi / count)
    hoop, look = ring(outer - thick / 2, thick / 2), tinted(material, rng.uniform(0.85, 1.15))
    parts = [limb(solid("ring", hoop, material, 0.9, 0.04, 0.05))]
    for angle, p in circular(count, outer - thick - long * 0.8):
        tooth = box(long, wide, p, 0.03, angle)
        parts.append(brittle(item("tooth", tooth, look, p, max(long, wide) * 1.3, 0.03, 0.03, 0.3)))
    return tuple(parts)
