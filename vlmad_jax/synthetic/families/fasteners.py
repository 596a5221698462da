"""Fasteners and connecting parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import LIMB, PIECE, PLACED, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, shiny, steel, tinted
from vlmad_jax.synthetic.families.forms import rod, track
from vlmad_jax.synthetic.families.parts import brittle, flexible, item, limb, solid
from vlmad_jax.synthetic.grid import Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, bar, box, circle, cut, ellipse, ring, union


def _screws(rng: Rng, places: Sequence[Point], radius: float) -> list[Part]:
    """Return countersunk screws, each over a dark hole that is visible if the screw is missing."""
    material, arms = shiny(rng), int(rng.integers(1, 3))
    hole = union(*(circle(radius * 1.12, p) for p in places))
    parts = [Part("holes", hole, tinted(material, 0.2), reach=1.2, bevel=0.02, height=0.01)]
    for p, angle in zip(places, rng.uniform(0, math.pi, len(places)).tolist(), strict=True):
        slots = [box(radius * 0.7, radius * 0.14, p, 0, angle + k * math.pi / 2) for k in range(arms)]
        head = cut(circle(radius, p), *slots)
        parts.append(item("screw", head, material, p, radius, 0.3 * radius, 0.05, 0))
    return parts


def rivet(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a rivet."""
    return _blind_rivets(fixed) if fixed.uniform() < 0.5 else _riveted_joint(fixed)


def _blind_rivets(rng: Rng) -> tuple[Part, ...]:
    count = int(rng.integers(1, 4))
    sleeve = lacquer(colours.paint(rng), 0.4) if rng.uniform() < 0.3 else shiny(rng)
    mandrel = shiny(rng)
    size = 1.1 if count == 1 else 0.85
    half, flange = size * rng.uniform(0.12, 0.15), size * rng.uniform(0.26, 0.32)
    length, thin, thick = rng.uniform(0.25, 0.36), size * rng.uniform(0.04, 0.055), size * 0.06
    bulb = half * rng.uniform(0.85, 1.05)
    parts: list[Part] = []
    for x in np.linspace(-0.56, 0.56, count).tolist() if count > 1 else [0.0]:
        dome = union(box(flange, thick, (x, 0), thick), ellipse(flange * 0.7, 0.13 * size, (x, -0.02)))
        nail, body = rod(thin, 0.42, (x, -0.42)), rod(half, length, (x, length))
        end: Point = (x, 2 * length)
        parts += [
            limb(item("mandrel", nail, mandrel, (x, -0.42), 0.44, thin, thin)),
            item("bulb", circle(bulb, end), mandrel, end, 0.46, bulb, bulb * 0.8),
            brittle(item("sleeve", body, sleeve, (x, length), 0.42, half, half * 0.7)),
            brittle(item("flange", dome, sleeve, (x, 0), flange, 0.07, 0.08)),
        ]
    return tuple(parts)


def _riveted_joint(rng: Rng) -> tuple[Part, ...]:
    under, over, head = steel(rng, "brushed"), steel(rng, "brushed", 0.2), shiny(rng)
    rows, cols = int(rng.integers(1, 4)), int(rng.integers(4, 7))
    radius = rng.uniform(0.09, 0.12) if rows < 3 else 0.09
    half, flat = 0.14 + 0.13 * rows, rng.uniform(0.5, 1.0)
    sheet = box(0.88, rng.uniform(0.62, 0.74), (0, 0), 0.04)
    strap = box(0.88, half, (0, 0), 0.02)
    parts = [
        flexible(Part("sheet", sheet, under, (0, 0), 1.1, 0.02, 0.01, 0.4)),
        solid("strap", strap, over, 0.95, 0.02, 0.04, 0.5),
    ]
    step = 1.5 / (cols - 1)
    for j, y in enumerate((0.26 * (np.arange(rows) - (rows - 1) / 2)).tolist()):
        for k in range(cols - j % 2):
            p = (-0.75 + step * (k + 0.5 * (j % 2)), y)
            parts.append(item("rivet", circle(radius, p), head, p, radius, radius * flat, 0.1, 0.5))
    return tuple(parts)


def cotter_pin(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a cotter pin."""
    return _hairpin(fixed, varied) if fixed.uniform() < 0.35 else _split_pins(fixed, varied)


def _split_pins(rng: Rng, varied: Rng) -> tuple[Part, ...]:
    material, count = shiny(rng), int(rng.integers(1, 4))
    half = rng.uniform(0.05, 0.075) * (1.3 if count == 1 else 1.0)
    eye, more = rng.uniform(0.12, 0.17), rng.uniform(0.04, 0.12)
    top, long = -0.58, rng.uniform(0.62, 0.76)
    parts: list[Part] = []
    for x in np.linspace(-0.48, 0.48, count).tolist() if count > 1 else [0.0]:
        spread, neck = varied.uniform(0, 0.015), top + eye + 0.16
        throat = [bar((x + s * eye, top + 0.05), (x + s * half, neck), half * 0.9) for s in (-1, 1)]
        for side, low in ((-1, long), (1, long - more)):
            middle = (x + side * (half + spread), (neck + low) / 2)
            leg = box(half, (low - neck) / 2 + 0.03, middle, half * 0.6, -side * spread)
            parts.append(limb(item("leg", leg, material, middle, 0.55, half, half)))
        # The eye has a larger reach than a leg, so that no leg counts as the part that carries all others.
        loop = union(ring(eye, half * 0.9, (x, top)), *throat)
        parts.append(item("eye", loop, material, (x, top + 0.1), 0.6, half * 0.9, half * 1.1))
    return tuple(parts)


def _hairpin(rng: Rng, varied: Rng) -> tuple[Part, ...]:
    """Return a straight leg, a coil, and a wavy leg that holds the shaft."""
    material = shiny(rng)
    radius, coil = rng.uniform(0.04, 0.055), rng.uniform(0.14, 0.18)
    low, bulge, end = 0.25, rng.uniform(0.22, 0.3), rng.uniform(0.62, 0.8)
    near = low - 2 * radius - varied.uniform(0.01, 0.04)
    start = low - 2 * coil
    points = [(-0.6, start), (-0.48, start), (-0.3, near), (-0.2, near), (-0.08, near - bulge)]
    points += [(0.12, near - bulge), (0.24, near), (0.36, near), (end, near - rng.uniform(0.2, 0.32))]
    p: Point = (-0.6, low - coil)
    return (
        limb(item("leg", bar((-0.6, low), (0.85, low), radius), material, (0.1, low), 0.8, radius, radius)),
        limb(item("wave", track(points, radius), material, (0.05, 0), 0.75, radius, radius)),
        brittle(item("coil", ring(coil, radius, p), material, p, 0.25, radius, radius * 1.1)),
    )


def hinge(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a hinge."""
    material = steel(fixed, str(fixed.choice(["brushed", "plain", "cast"])), math.pi / 2)
    wide, tall = fixed.uniform(0.28, 0.38), fixed.uniform(0.62, 0.8)
    tube, count = fixed.uniform(0.07, 0.1), int(fixed.choice([3, 5, 5, 7]))
    rows, corner = int(fixed.integers(2, 5)), fixed.choice([0.02, 0.14])
    barrel = tinted(material, fixed.uniform(0.9, 1.15), 0.5)
    zig = wide * fixed.uniform(0, 0.3)
    leaves: list[Part] = []
    places: list[Point] = []
    rise = (np.linspace(-0.76, 0.76, rows) * tall).tolist()
    for side in (-1, 1):
        p = (side * (tube * 0.4 + wide), 0.0)
        leaves.append(limb(Part("leaf", box(wide, tall, p, corner), material, p, 0.9, 0.02, 0.02, 0.4)))
        places += [(side * (tube + wide + zig * (-1) ** k), y) for k, y in enumerate(rise)]
    step = 2 * tall / count
    knuckles = []
    for k in range(count):
        p = (0.0, -tall + step * (k + 0.5))
        tubes = rod(tube, step / 2 - 0.012, p)
        knuckles.append(item("knuckle", tubes, barrel, p, step / 2 + tube, tube, tube))
    ends = [circle(tube * 0.9, (0, side * (tall + 0.03))) for side in (-1, 1)]
    pin = union(box(tube * 0.6, tall + 0.02), *ends)
    return (
        *leaves,
        *_screws(fixed, places, fixed.uniform(0.065, 0.09)),
        Part("pin", pin, lacquer(colours.metal(fixed), 0.6), (0, 0), 0.85, tube * 0.8, tube * 0.8, 0.4),
        *knuckles,
    )


def roller_chain(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a roller chain."""
    inner, pin = steel(fixed, "brushed"), shiny(fixed)
    outer = steel(fixed, "plain") if fixed.uniform() < 0.5 else tinted(inner, fixed.choice([0.6, 1.25]))
    lay = _links_above if fixed.uniform() < 0.4 else _links_aside
    count = int(fixed.integers(3, 7))
    pitch = 1.6 / count
    rows = [0.0] if count < 5 and fixed.uniform() < 0.6 else [-1.0, 1.0]
    gap = fixed.uniform(0.75, 1.0) * min(pitch, 0.42)
    first = int(fixed.integers(0, 2))
    parts: list[Part] = []
    for row in rows:
        joints = [(-0.8 + pitch * k, row * gap) for k in range(count + 1)]
        parts += lay(joints, pitch, first, (inner, outer, pin))
    return tuple(parts)


def _links_aside(joints: Sequence[Point], pitch: float, first: int, look: Sequence[Material]) -> list[Part]:
    """Return a chain from its side, with alternating plates in the shape of an 8 and the ends of pins."""
    radius = min(pitch * 0.42, 0.2)
    parts: list[Part] = []
    for layer in (0, 1):
        for k in range((first + layer) % 2, len(joints) - 1, 2):
            p = (joints[k][0] + pitch / 2, joints[k][1])
            waist = box(pitch / 2, radius * 0.6, p)
            plate = union(circle(radius, joints[k]), circle(radius, joints[k + 1]), waist)
            high = 0.02 + 0.025 * layer
            parts.append(brittle(item("plate", plate, look[layer], p, pitch / 2 + radius, 0.025, high, 0.45)))
    # The pins have a larger reach than a plate, so that no plate counts as the part that carries all others.
    size, reach = radius * 0.45, pitch / 2 + radius + 0.01
    return parts + [item("pin", circle(size, p), look[2], p, reach, 0.03, 0.08) for p in joints]


def _links_above(joints: Sequence[Point], pitch: float, first: int, look: Sequence[Material]) -> list[Part]:
    """Return a chain from above, with rollers across and plates along both sides."""
    half, tube, thin = min(pitch * 0.36, 0.2), min(pitch * 0.26, 0.13), min(0.08 * pitch, 0.03)
    parts: list[Part] = []
    axles = union(*(rod(tube * 0.35, half + 6 * thin, p) for p in joints))
    parts.append(Part("pins", axles, look[2], (0, joints[0][1]), 0.95, tube * 0.35, 0.05, 0.3))
    parts += [item("roller", rod(tube, half, p), look[2], p, half + tube, tube, tube) for p in joints]
    for k in range(len(joints) - 1):
        layer = (first + k) % 2
        for side in (-1, 1):
            p = (joints[k][0] + pitch / 2, joints[k][1] + side * (half + thin * (1.2 + 2 * layer)))
            plate = box(pitch / 2 + tube * 0.9, thin, p, 0.015)
            parts.append(limb(item("plate", plate, look[layer], p, pitch * 0.8, 0.02, 0.05)))
    return parts


def angle_bracket(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of an angle bracket."""
    coated = fixed.uniform() < 0.3
    material = moulded(colours.paint(fixed), 0.3) if coated else steel(fixed)
    half, count = fixed.uniform(0.13, 0.19), int(fixed.integers(2, 4))
    long, other = fixed.uniform(0.6, 0.68), fixed.uniform(0.5, 0.68)
    x, y = -0.45, -0.45
    rounding = fixed.choice([0.03, half * 0.95])
    arms = (
        box(long, half, (x + long - half, y), rounding),
        box(half, other, (x, y + other - half), rounding),
    )
    plate: Shape = union(*arms, box(half, half, (x, y), 0.03))
    web = fixed.uniform(0.25, 0.5) if fixed.uniform() < 0.6 else 0.0
    if web:
        plate = union(plate, _triangle((x, y), 2 * half + web))
    radius = min(half * fixed.uniform(0.4, 0.55), 0.1)
    rises = np.linspace(0.0, 1.0, count + 1)[1:].tolist()
    places = [(x + t * (2 * long - 2 * half - 1.5 * radius), y) for t in rises]
    places += [(x, y + t * (2 * other - 2 * half - 1.5 * radius)) for t in rises]
    at = web * 0.3
    bead = bar((x - 0.3 * half, y - 0.3 * half), (x + half + at, y + half + at), 0.045)
    ribs = [Part("rib", bead, material, (x + 0.1, y + 0.1), 0.5, 0.045, 0.09)] if web else []
    body = limb(Part("plate", plate, material, (-0.1, -0.1), 1.3, 0.03, 0.03, 0.4))
    return (body, *ribs, *_screws(fixed, places, radius))


def _triangle(corner: Point, side: float) -> Shape:
    """Return a right triangle with its right angle at `corner` and its legs along x and y."""
    x0, y0 = map(np.float32, corner)
    diagonal, reach = np.float32(math.sqrt(0.5)), np.float32(side)
    return lambda x, y: np.maximum.reduce([x0 - x, y0 - y, (x - x0 + y - y0 - reach) * diagonal])


def hose_clamp(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a hose clamp."""
    band, cover = steel(fixed, "brushed"), shiny(fixed)
    screw = lacquer(colours.metal(fixed), 0.6)
    wide, deep, half = fixed.uniform(0.68, 0.8), fixed.uniform(0.38, 0.5), fixed.uniform(0.12, 0.17)
    upper, lower = ellipse(wide, deep, (0, -half)), ellipse(wide, deep, (0, half))
    outer = cut(union(upper, lower, box(wide, half)), upper)
    slot, count = tinted(band, 0.25), int(fixed.integers(9, 15))
    start = fixed.uniform(-0.3, 0.3)
    parts = [
        Part("inside", cut(upper, lower), tinted(band, 0.5), (0, 0), 0.95, 0.03, 0.02, 0.4),
        solid("band", outer, band, 0.95, 0.04, 0.06),
    ]
    for t in np.linspace(0.2, math.pi - 0.2, count).tolist():
        p = (wide * 0.97 * math.cos(t), deep * math.sin(t))
        if abs(p[0] - start) > 0.34:
            parts.append(item("slot", box(0.022, half * 0.62, p, 0.02, 0.25), slot, p, half, 0.02, -0.02, 0))
    y = deep * math.sqrt(1 - (start / wide) ** 2)
    shell = box(0.26, half * 1.15, (start, y), 0.06)
    end = (start + 0.42, y)
    thread = limb(item("screw", bar((start - 0.4, y), end, 0.05), screw, (start, y), 0.45, 0.05, 0.1))
    return (
        *parts,
        thread,
        item("head", box(0.06, 0.11, end, 0.03), screw, end, 0.14, 0.05, 0.14),
        item("housing", shell, cover, (start, y), 0.34, 0.1, 0.16, 0.5),
    )


FASTENERS: dict[str, Family] = {
    "rivet": Family(rivet, ("scratch", "rust", "dent", *LIMB, *PIECE), turn=0.15),
    "cotter pin": Family(cotter_pin, ("rust", "contamination", *LIMB, *PLACED), turn=0.5),
    "hinge": Family(hinge, (*PLACED, "scratch", "rust", *LIMB, "stain"), turn=0.15),
    "roller chain": Family(roller_chain, (*PIECE, "broken part", "rust", "contamination"), turn=0.15),
    "angle bracket": Family(
        angle_bracket, (*PIECE, "bent part", "scratch", "rust", "dent", "broken part"), turn=0.4
    ),
    "hose clamp": Family(hose_clamp, (*PLACED, *LIMB, "scratch", "rust", "contamination"), turn=0.4),
}
