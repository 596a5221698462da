"""Electronic components and chip cards."""

from __future__ import annotations

import itertools
import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import LIMB, PIECE, PLACED, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, shades, steel, tinted
from vlmad_jax.synthetic.families.flexible import led_strip, ribbon_cable
from vlmad_jax.synthetic.families.outlines import enamelled, words
from vlmad_jax.synthetic.families.parts import brittle, flexible, item, limb, mark, solid
from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import bar, box, circle, cut, midpoint, overlap, polar, ring, union


def inductor(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of an inductor."""
    return _toroid(fixed) if fixed.uniform() < 0.6 else _drum(fixed)


def _toroid(rng: Rng) -> tuple[Part, ...]:
    colour = colours.hsv(rng.choice([0.14, 0.36, 0.58, 0.6]), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.65))
    ferrite, wire = Material(colour, None, "cast", 12, 0.0, 0.001, 0.2), enamelled(rng)
    inner, outer = rng.uniform(0.28, 0.36), rng.uniform(0.62, 0.7)
    count, share = int(rng.integers(14, 27)), rng.uniform(0.6, 0.86)
    radius = min(0.05, 0.9 * math.pi * share * inner / count)
    slant = rng.uniform(0.05, 0.25)
    core = ring((inner + outer) / 2, (outer - inner) / 2)
    parts = []
    turns = (0.5 * math.pi + math.pi * (1 - share)) + 2 * math.pi * share * np.arange(count) / (count - 1)
    for k, side in ((0, 1), (-1, -1)):
        a = float(turns[k])
        root = polar(outer, a)
        foot = (root[0] + side * 0.02, 0.97)
        at, lead = midpoint(root, foot), bar(root, foot, radius)
        parts.append(
            flexible(item("lead", lead, wire, at, math.dist(at, foot) + radius, radius, radius, 0.3))
        )
    parts.append(solid("core", core, ferrite, 1.0, 0.14, 0.12))
    for a in turns.tolist():
        start, end = polar(inner - 0.03, a - slant), polar(outer + 0.04, a)
        at, reach = midpoint(start, end), math.dist(start, end) / 2 + radius
        parts.append(flexible(item("turn", bar(start, end, radius), wire, at, reach, radius, 0.16, 0.3)))
    return tuple(parts)


def _drum(rng: Rng) -> tuple[Part, ...]:
    """Return a bobbin from its side."""
    wire, lead = enamelled(rng), lacquer(colours.metal(rng), 0.6)
    ferrite = Material(colours.dark(rng), None, "cast", 12, 0.0, 0.001, 0.15)
    wide, waist, count = rng.uniform(0.45, 0.62), rng.uniform(0.3, 0.4), int(rng.integers(9, 16))
    parts = []
    for x in (-wide * 0.6, wide * 0.6):
        at = (x, 0.72)
        parts.append(flexible(item("lead", box(0.03, 0.25, at, 0.02), lead, at, 0.26, 0.03, 0.03, 0.3)))
    flanges = [box(wide, 0.09, (0, y), 0.03) for y in (-0.62, 0.46)]
    spool = union(*flanges, box(waist - 0.05, 0.6, (0, -0.08)))
    parts.append(brittle(Part("spool", spool, ferrite, (0, -0.08), 1.0, 0.12, 0.1, 0.4)))
    radius = 0.98 / count / 2
    for y in np.linspace(-0.53 + radius, 0.37 - radius, count).tolist():
        turn = bar((radius - waist, y), (waist - radius, y + 0.5 * radius), radius)
        parts.append(flexible(item("turn", turn, wire, (0, y), waist + radius, radius, 0.8 * radius, 0.2)))
    return tuple(parts)


def potentiometer(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a potentiometer."""
    metal, brass = steel(fixed, "turned"), steel(fixed, "plain")
    board = moulded(colours.hsv(fixed.uniform(0.05, 0.12), fixed.uniform(0.4, 0.7), fixed.uniform(0.3, 0.55)))
    square = fixed.uniform() < 0.35  # a trimmer in a square case
    case = moulded(colours.paint(fixed), 0.3) if square or fixed.uniform() < 0.3 else metal
    radius, rise = fixed.uniform(0.5, 0.58), -0.22
    parts = []
    for x in (-0.3, 0.0, 0.3):
        at = (x, 0.68)
        lug = cut(box(0.075, 0.25, at, 0.06), box(0.025, 0.06, (x, 0.8), 0.02))
        parts.append(limb(item("lug", lug, brass, at, 0.28, 0.02, 0.03, 0.3)))
    wafer = box(0.46, 0.16, (0, 0.38), 0.03)
    parts.append(brittle(Part("wafer", wafer, board, (0, 0.38), 0.5, 0.02, 0.04, 0.3)))
    for x in (-0.3, 0.0, 0.3):
        at = (x, 0.44)
        parts.append(item("rivet", circle(0.06, at), brass, at, 0.06, 0.04, 0.07, 0.2))
    shell = box(radius, radius, (0, rise), 0.06) if square else circle(radius, (0, rise))
    parts.append(solid("case", shell, case, 1.05, 0.06, 0.08))
    dial = lacquer(colours.distinct(fixed, case.colour, 0.3), 0.1)
    for a in np.linspace(0.75 * math.pi, 2.25 * math.pi, int(fixed.integers(7, 13))).tolist():
        start, end = (polar(r * radius, a, (0, rise)) for r in (0.78, 0.92))
        parts.append(mark("tick", bar(start, end, 0.016), dial, midpoint(start, end), 0.07))
    turn = fixed.uniform(0.75 * math.pi, 2.25 * math.pi) + varied.uniform(-0.2, 0.2)
    return (*parts, *_spindle(fixed, metal, (0.0, rise), radius, turn))


def _spindle(rng: Rng, metal: Material, at: Point, radius: float, turn: float) -> list[Part]:
    """Return a knob with a pointer, or a bare shaft with a slot."""
    black = lacquer(colours.dark(rng), 0.1)
    if rng.uniform() < 0.5:
        size, knob = radius * 0.68, moulded(colours.paint(rng), 0.3)
        count = int(rng.integers(12, 24))

        def shape(x: Array, y: Array) -> Array:
            u, v = x - np.float32(at[0]), y - np.float32(at[1])
            ridge = np.float32(0.012) * np.cos(count * np.arctan2(v, u))
            return np.sqrt(u * u + v * v) - np.float32(size) - ridge

        pointer = bar(at, polar(0.85 * size, turn, at), 0.03)
        paint = lacquer(colours.distinct(rng, knob.colour, 0.4), 0.1)
        return [
            brittle(item("knob", shape, knob, at, size + 0.02, 0.07, 0.16, 0.5)),
            Part("top", ring(size * 0.66, 0.02, at), knob, at, size * 0.8, 0.02, 0.2),
            mark("pointer", pointer, paint, at, size),
        ]
    slot = box(radius * 0.26, 0.035, at, angle=turn)
    return [
        item("washer", ring(radius * 0.5, radius * 0.12, at), metal, at, radius * 0.7, 0.03, 0.12, 0.3),
        Part("bush", circle(radius * 0.4, at), metal, at, radius * 0.4, 0.03, 0.15, 0.4),
        item("shaft", circle(radius * 0.28, at), steel(rng, "plain"), at, radius * 0.28, 0.04, 0.22, 0.5),
        item("slot", slot, black, at, radius * 0.3, 0.02, 0.12, 0),
    ]


def chip_card(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a chip card."""
    colour = colours.paint(fixed)
    texture = str(fixed.choice(["plain", "marble", "grain"]))
    card = Material(colour, shades(fixed, colour, 0.05, 0.3), texture, 5, fixed.uniform(0, 3), 0.0, 0.4)
    ink, accent = (lacquer(colours.distinct(fixed, colour, d), 0.2) for d in (0.4, 0.25))
    if fixed.uniform() < 0.35:  # a SIM card, which is small, lacks one corner and has mostly contacts
        outline = cut(box(0.6, 0.84, round=0.06), box(0.3, 0.3, (0.62, -0.82), angle=math.pi / 4))
        base = limb(solid("card", outline, card, 1.15, 0.015, 0.02, 0.35))
        number = mark("print", words(fixed, (-0.45, 0.66), 0.7, 0.045), ink, (0, 0.66), 0.65)
        return (base, number, *_contacts(fixed, (0.0, -0.08), 0.46, 0.5))
    outline = box(0.92, 0.58, round=0.07)
    parts = [limb(solid("card", outline, card, 1.15, 0.015, 0.02, 0.35))]
    if fixed.uniform() < 0.5:
        stripe = overlap(outline, box(1, 0.09, (0, -0.43)))
        parts.append(mark("stripe", stripe, accent, (0, -0.43), 1.0))
    light = tinted(ink, 1.1, 0.7)
    for group in range(4):
        x = -0.76 + 0.4 * group
        places = [(x + 0.075 * k, 0.21) for k in range(4)]
        digits = [ring(0.026, 0.011, p) if fixed.uniform() < 0.5 else box(0.012, 0.036, p) for p in places]
        parts.append(item("digits", union(*digits), light, (x + 0.11, 0.21), 0.2, 0.012, 0.02, 0))
    parts.append(mark("name", words(fixed, (-0.78, 0.42), 0.6, 0.03), ink, (-0.4, 0.42), 0.5))
    logo = [
        circle(0.12, (0.68, 0.36)),
        union(circle(0.1, (0.6, 0.36)), ring(0.08, 0.02, (0.74, 0.36))),
        box(0.16, 0.09, (0.66, 0.36), 0.03),
    ]
    parts.append(mark("logo", logo[int(fixed.integers(0, 3))], accent, (0.67, 0.36), 0.25))
    return (*parts, *_contacts(fixed, (-0.55, -0.1), 0.19, 0.16))


def _contacts(rng: Rng, at: Point, wide: float, tall: float) -> list[Part]:
    """Return the gilded contacts of a chip: two columns of three or four, and the field between them."""
    hue, pale = rng.uniform(0.1, 0.14), rng.uniform(0.05, 0.6)
    light, dim = (colours.hsv(hue, pale, value) for value in (0.8, 0.68))
    gold = Material(light, dim, "brushed", 10, 0.0, 0.0005, 0.6)
    dark = tinted(gold, 0.35, 0.1)
    gap, rows = wide * 0.05, int(rng.integers(3, 5))
    back = box(wide + gap, tall + gap, at, 0.25 * wide)
    parts = [Part("module", back, dark, at, math.hypot(wide, tall) + gap, 0.02, 0.02, 0.2)]
    half = tall / rows
    field, reach = box(wide, tall, at, 0.22 * wide), math.hypot(wide * 0.34, half)
    for row, side in itertools.product(range(rows), (-1, 1)):
        p = (at[0] + side * wide * 0.66, at[1] - tall + (2 * row + 1) * half)
        pad = overlap(box(wide * 0.34 - gap / 2, half - gap / 2, p, gap), field)
        parts.append(item("contact", pad, gold, p, reach, 0.01, 0.025, 0))
    middle = box(wide * 0.32 - gap, tall - gap / 2, at, 0.4 * wide * 0.3)
    parts.append(item("field", middle, gold, at, tall + gap, 0.01, 0.025, 0))
    return parts


COMPONENTS: dict[str, Family] = {
    "ribbon cable": Family(
        ribbon_cable,
        (*PLACED, "bent part", "cut", "burn mark", "crack", "scratch", "contamination"),
        turn=0.1,
    ),
    "led strip": Family(
        led_strip, (*PIECE, "burn mark", "scratch", "cut", "contamination", "stain"), turn=0.1
    ),
    "inductor": Family(inductor, (*PIECE, *LIMB, "crack", "burn mark", "contamination"), turn=0.15),
    "potentiometer": Family(potentiometer, (*PIECE, *LIMB, "crack", "scratch", "rust"), turn=0.15),
    "chip card": Family(
        chip_card, (*PLACED, "broken part", "crack", "scratch", "smear", "cut", "stain"), turn=0.1
    ),
}
