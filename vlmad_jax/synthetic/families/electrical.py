"""Electrical products of workshop and household."""

from __future__ import annotations

import itertools
import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import BROKEN, LIMB, PIECE, PLACED, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel
from vlmad_jax.synthetic.families.mains import electric_plug, rocker_switch, wall_socket
from vlmad_jax.synthetic.families.outlines import enamelled, words
from vlmad_jax.synthetic.families.parts import brittle, flexible, item, limb, mark, solid
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import (
    bar,
    box,
    circle,
    circular,
    cut,
    midpoint,
    overlap,
    polar,
    ring,
    spun,
    union,
)


def relay(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a relay."""
    wide, tall = fixed.uniform(0.55, 0.75), fixed.uniform(0.48, 0.6)
    floor = tall - 0.15
    lead = lacquer(colours.metal(fixed), 0.6)
    parts = []
    for x in np.linspace(0.12 - wide, wide - 0.12, int(fixed.integers(4, 8))).tolist():
        at = (x, floor + 0.2)
        parts.append(flexible(item("pin", box(0.035, 0.2, at, 0.01), lead, at, 0.21, 0.03, 0.03, 0.3)))
    open_case = fixed.uniform() < 0.6  # a clear cover, or a printed one
    colour = colours.pale(fixed) if open_case and fixed.uniform() < 0.7 else colours.paint(fixed)
    case = solid("case", box(wide, tall, (0, -0.15), 0.04), moulded(colour), 1.1, 0.05, 0.05)
    plinth = moulded(colours.dark(fixed) if open_case else colours.scaled(colour, 0.85))
    foot = box(wide + 0.03, 0.07, (0, floor), 0.02)
    base = Part("base", foot, plinth, (0, floor), wide + 0.1, 0.03, 0.06, 0.2)
    inner = _relay_works(fixed, wide, tall) if open_case else _relay_print(fixed, colour, wide, tall)
    return (*parts, case, *inner, base)


def _relay_works(rng: Rng, wide: float, tall: float) -> list[Part]:
    """Return coil, armature and contact springs between the heights -tall - 0.15 and tall - 0.15."""
    wire, metal, former = enamelled(rng), steel(rng, "plain"), moulded(colours.paint(rng))
    left, right, low, high = 0.1 - wide, wide * 0.1, tall - 0.25, 0.12 - tall
    middle = (left + right) / 2
    parts = []
    for y in (low, high):
        flange = box((right - left) / 2 + 0.02, 0.04, (middle, y), 0.01)
        parts.append(Part("flange", flange, former, (middle, y), 0.5, 0.03, 0.05, 0.3))
    count = int(rng.integers(8, 12))
    radius = (low - high - 0.08) / count / 2
    for y in np.linspace(high + 0.04 + radius, low - 0.04 - radius, count).tolist():
        turn = bar((left + radius, y), (right - radius, y), radius)
        parts.append(flexible(item("winding", turn, wire, (middle, y), 0.45, radius, radius, 0.2)))
    top = high - 0.1
    armature = box((right - left) / 2 + 0.05, 0.035, (middle + 0.05, top), 0.01, rng.uniform(-0.06, 0.06))
    parts.append(item("armature", armature, metal, (middle, top), 0.5, 0.03, 0.04, 0.3))
    spring, silver = lacquer(colours.hsv(0.1, 0.5, 0.7), 0.6), lacquer((0.8, 0.8, 0.78), 0.9)
    for x in np.linspace(right + 0.12, wide - 0.1, int(rng.integers(2, 4))).tolist():
        at = (x, -0.15)
        blade = box(0.022, tall - 0.12, at)
        parts.append(limb(item("spring", blade, spring, at, tall, 0.02, 0.04, 0.3)))
        at = (x, rng.uniform(-0.15 - tall * 0.5, -0.2))
        parts.append(item("contact", circle(0.055, at), silver, at, 0.06, 0.05, 0.06, 0.3))
    return parts


def _relay_print(rng: Rng, colour: colours.Colour, wide: float, tall: float) -> list[Part]:
    ink = lacquer(colours.distinct(rng, colour, 0.35), 0.05)
    left, x = 0.12 - wide, wide * 0.45
    diagram = union(
        cut(box(0.13, 0.07, (x, 0.05)), box(0.1, 0.04, (x, 0.05))),
        *(box(0.014, 0.07, (x + dx, 0.05 + dy)) for dx in (-0.08, 0.08) for dy in (-0.12, 0.12)),
        bar((x - 0.08, -0.15), (x + 0.06, -0.22), 0.014),
    )
    rows = np.linspace(-0.05 - tall * 0.5, tall * 0.4, int(rng.integers(3, 6))).tolist()
    return [
        mark("diagram", diagram, ink, (x, 0), 0.3),
        *(mark("text", words(rng, (left, y), wide * 0.7, 0.035), ink, (-wide * 0.4, y), 0.6) for y in rows),
    ]


def battery(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a battery."""
    kind = fixed.uniform()
    if kind < 0.3:
        return _round_cell(fixed)
    return _block(fixed) if kind < 0.6 else _pack(fixed)


def _round_cell(rng: Rng) -> tuple[Part, ...]:
    half = rng.uniform(0.24, 0.36)
    wrap, cap = moulded(colours.paint(rng), 0.6), steel(rng, "plain")
    band = moulded(colours.distinct(rng, wrap.colour, 0.25), 0.6)
    ink = lacquer(colours.distinct(rng, wrap.colour, 0.4), 0.1)
    split = rng.uniform(-0.45, -0.2)
    outline = box(half, 0.78, (0, 0.05), 0.05)

    def cell(x: Array, y: Array) -> Array:
        """Return a cylinder on its side, whose relief rises from its long sides."""
        return np.maximum(np.abs(x) - np.float32(half), 5 * outline(x, y))

    above = box(1, (split + 0.72) / 2, (0, (split - 0.72) / 2))
    upper = overlap(box(half - 0.005, 0.77, (0, 0.05), 0.05), above)
    cross = union(box(0.1, 0.028, (0, -0.55)), box(0.028, 0.1, (0, -0.55)))
    columns = (-half * 0.4, half * 0.3)
    along = union(*(box(half * 0.22, rng.uniform(0.12, 0.3), (x, 0.3), 0.02) for x in columns))
    return (
        item("nub", box(half * 0.36, 0.1, (0, -0.78), 0.03), cap, (0, -0.78), 0.2, 0.06, 0.08, 0.3),
        Part("cell", cell, wrap, (0, 0.05), 1.0, half, half * 0.7, 0.4),
        mark("band", upper, band, (0, split - 0.1), 0.6),
        mark("stripe", box(half, 0.02, (0, split + 0.05)), ink, (0, split + 0.05), half),
        mark("sign", cross, ink, (0, -0.55), 0.12),
        mark("name", along, ink, (0, 0.3), 0.4),
    )


def _block(rng: Rng) -> tuple[Part, ...]:
    wide, metal = rng.uniform(0.46, 0.58), steel(rng, "brushed")
    wrap = moulded(colours.paint(rng), 0.5)
    accent = moulded(colours.distinct(rng, wrap.colour, 0.25), 0.5)
    ink = lacquer(colours.distinct(rng, wrap.colour, 0.4), 0.1)
    x = wide * 0.5
    petals = union(box(0.17, 0.045, (x, -0.8), 0.02), box(0.12, 0.1, (x, -0.72)))
    signs = [box(0.07, 0.02, (x, -0.4)), union(box(0.07, 0.02, (-x, -0.4)), box(0.02, 0.07, (-x, -0.4)))]
    return (
        item("stud", box(0.12, 0.1, (-x, -0.74), 0.02), metal, (-x, -0.74), 0.17, 0.04, 0.06, 0.3),
        item("stud", petals, metal, (x, -0.75), 0.2, 0.04, 0.06, 0.3),
        Part("block", box(wide, 0.72, (0, 0.12), 0.04), wrap, (0, 0.1), 1.0, 0.08, 0.08, 0.4),
        item("lid", box(wide, 0.06, (0, -0.58), 0.02), metal, (0, -0.58), wide, 0.03, 0.09, 0.1),
        mark("band", box(wide - 0.02, 0.14, (0, 0.5)), accent, (0, 0.5), wide),
        *(mark("sign", s, ink, (d * x, -0.4), 0.1) for s, d in zip(signs, (1, -1), strict=True)),
        mark("name", words(rng, (-wide * 0.75, 0.0), wide, 0.08), ink, (0, 0), 0.65),
    )


def _pack(rng: Rng) -> tuple[Part, ...]:
    """Return round cells in a holder from their ends, with welded strips."""
    cols, rows = (int(k) for k in rng.choice([(2, 2), (3, 2), (3, 3), (4, 2), (4, 3)]))
    step = min(1.7 / cols, 0.6)
    radius = step * 0.45
    holder = moulded(colours.dark(rng) if rng.uniform() < 0.6 else colours.paint(rng), 0.2)
    washer = moulded(colours.distinct(rng, holder.colour, 0.25), 0.3)
    can, nickel = steel(rng, "turned"), steel(rng, "brushed")
    outline = box(cols * step / 2 + 0.06, rows * step / 2 + 0.06, round=0.08)
    parts = [solid("holder", outline, holder, 1.3, 0.05, 0.05)]
    xs, ys = ([(k - (count - 1) / 2) * step for k in range(count)] for count in (cols, rows))
    for at in itertools.product(xs, ys):
        parts += [
            Part("can", circle(radius, at), can, at, radius, 0.03, 0.05, 0.2),
            item("washer", ring(radius * 0.72, radius * 0.2, at), washer, at, radius, 0.02, 0.05, 0),
            item("nub", circle(radius * 0.36, at), nickel, at, radius * 0.4, 0.04, 0.09, 0.3),
        ]
    for y in ys if rng.uniform() < 0.6 else []:
        at = (0.0, y)
        strip = box((cols - 1) * step / 2 + radius * 0.25, radius * 0.22, at, 0.02)
        parts.append(flexible(item("strip", strip, nickel, at, 0.9, 0.02, 0.1, 0.3)))
    return tuple(parts)


def motor_stator(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a motor stator."""
    count, inward = int(fixed.choice([6, 8, 9, 12])), fixed.uniform() < 0.6
    iron = steel(fixed, str(fixed.choice(["turned", "cast"])))
    wire, start = enamelled(fixed), fixed.uniform(0, 1)
    near, far = (0.4, 0.72) if inward else (0.3, 0.76)
    middle, half = (near + far) / 2, 0.5 * near * math.tan(math.pi / count) + 0.01
    tooth = box((far - near) / 2 + 0.05, half, (middle, 0))
    tip = near if inward else far
    shoe = overlap(ring(tip, 0.045), box(0.5, tip * math.sin(math.pi / count) * 0.8, (0.5, 0)))
    yoke = ring(0.79, 0.11) if inward else ring(0.27, 0.09)
    core = union(yoke, spun(count, union(tooth, shoe), start))
    parts = [solid("core", core, iron, 1.0, 0.03, 0.04)]
    if fixed.uniform() < 0.6:
        cap = moulded(colours.paint(fixed), 0.2)
        sleeves = spun(count, box(0.17, half + 0.02, (middle, 0)), start)
        parts.append(Part("insulator", sleeves, cap, (0, 0), 0.8, 0.02, 0.05))
    room = middle * math.sin(math.pi / count)
    long, fat = (far - near) / 2 - 0.07, min(room * 0.88, half + 0.09)
    shade = colours.scaled(wire.colour, 0.4)
    for angle, at in circular(count, middle, start):
        turns = Material(wire.colour, shade, "ribs", fixed.uniform(18, 20), angle, 0.012, 0.5)
        coil = box(long, fat, at, 0.03, angle)
        parts.append(brittle(item("coil", coil, turns, at, math.hypot(long, fat), 0.06, 0.09)))
    for lane in range(3):
        angle = start + 2 * math.pi * (lane + 0.5) / count
        root, end = (polar(radius, angle) for radius in ((0.76, 1.02) if inward else (0.2, 0.3)))
        lead = lacquer(colours.hsv(lane / 3 + 0.02, 0.7, 0.6), 0.3)
        parts.append(flexible(item("lead", bar(root, end, 0.03), lead, midpoint(root, end), 0.2, 0.03, 0.05)))
    return tuple(parts)


ELECTRICAL: dict[str, Family] = {
    "relay": Family(relay, (*PIECE, *LIMB, "crack", "burn mark", "scratch"), turn=0.1),
    "wall socket": Family(wall_socket, (*PLACED, *BROKEN, "burn mark", "scratch", "stain"), turn=0.06),
    "battery": Family(battery, (*PIECE, "dent", "rust", "scratch", "stain", "burn mark"), turn=0.12),
    "motor stator": Family(
        motor_stator, (*PIECE, "broken part", "bent part", "burn mark", "rust", "contamination"), turn=3.2
    ),
    "rocker switch": Family(
        rocker_switch, (*PLACED, "broken part", "crack", "scratch", "burn mark", "contamination"), turn=0.08
    ),
    "electric plug": Family(
        electric_plug, (*PLACED, *LIMB, "crack", "burn mark", "scratch", "discoloration"), turn=0.2
    ),
}
