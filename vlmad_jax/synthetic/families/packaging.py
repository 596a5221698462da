"""Packaging and packed goods."""

from __future__ import annotations

import itertools
import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import LIMB, METAL, PIECE, PLACED, Family, Rng
from vlmad_jax.synthetic.families.figures import barrel, convex, glyph, sign
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel, tinted
from vlmad_jax.synthetic.families.parts import brittle, item, limb, mark, solid
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import bar, box, circle, circular, cut, ellipse, polar, polygon, ring, union


def bottle_cap(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a bottle cap."""
    colour = colours.paint(fixed)
    crown = fixed.uniform() < 0.6  # a crown cork with pressed flutes, or a screw cap with ribs
    tin = Material(colour, colours.scaled(colour, 0.9), "plain", gloss=0.7 if crown else 0.3)
    ink = lacquer(colours.distinct(fixed, colour, 0.4), 0.3)
    radius = fixed.uniform(0.62, 0.68)
    count = 21 if crown else int(fixed.integers(24, 29))
    half = radius * math.sin(math.pi / count) * (0.9 if crown else 0.6)
    inner, outer = radius - 0.06, radius + (0.035 if crown else 0.02)
    reach = half + (outer - inner) / 2
    flutes = []
    for angle, place in circular(count, (inner + outer) / 2):
        flute = bar(polar(inner, angle), polar(outer, angle), half)
        flutes.append(brittle(item("flute", flute, tin, place, reach, half, half, 0.3)))
    figures = (polygon(3, 0.14, angle=0.5), ring(0.2, 0.05), glyph(fixed, (0, 0), 0.24))
    figure = figures[int(fixed.integers(0, 3))]
    marks: tuple[Part, ...] = (Part("line", ring(0.42, 0.02), ink, reach=0.5, printed=True),)
    if fixed.uniform() < 0.6:
        places = circular(int(fixed.integers(6, 11)), 0.4)
        marks = tuple(sign(fixed, p, 0.06, ink, a + math.pi / 2) for a, p in places)
    return (
        limb(solid("skirt", circle(radius + 0.01), tin, 0.75, 0.05, 0.03, 0.5)),
        *flutes,
        Part("top", circle(radius - 0.05), tin, (0, 0), 0.72, 0.14, 0.1),
        *marks,
        mark("emblem", figure, ink, (0, 0), 0.36),
    )


def tin_can(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a tin can."""
    return _lid(fixed) if fixed.uniform() < 0.5 else _side(fixed)


def _lid(fixed: Rng) -> tuple[Part, ...]:
    material = steel(fixed, "turned")
    groove, raised = (tinted(material, s, 0.5) for s in (0.55, 1.2))
    ink = tinted(material, 0.3, 0.1)
    beads = [
        Part("bead", ring(r, 0.018), raised, (0, 0), 0.7, 0.02, 0.025)
        for r in np.linspace(0.47, 0.58, int(fixed.integers(1, 4))).tolist()
    ]
    hole = box(fixed.uniform(0.07, 0.1), fixed.uniform(0.06, 0.12), (0, 0.02), 0.06)
    tab = cut(box(fixed.uniform(0.15, 0.18), 0.27, (0, 0.16), 0.13), hole)
    columns = (np.arange(int(fixed.integers(4, 7))) * 0.13 - 0.3).tolist()
    return (
        solid("lid", circle(0.78), material, 0.82, 0.04, 0.03, 0.5),
        Part("groove", ring(0.665, 0.03), groove, (0, 0), 0.72, 0.03, -0.04),
        Part("seam", ring(0.74, 0.045), raised, (0, 0), 0.8, 0.045, 0.05),
        *beads,
        *(sign(fixed, (x, -0.26), 0.07, ink) for x in columns),
        limb(item("tab", tab, raised, (0, 0.16), 0.32, 0.05, 0.06, 0.6)),
        item("rivet", circle(0.055, (0, 0.32)), material, (0, 0.32), 0.06, 0.05, 0.06),
    )


def _side(fixed: Rng) -> tuple[Part, ...]:
    half = fixed.uniform(0.42, 0.6)
    tall = min(half * fixed.uniform(1.2, 1.6), 0.8)
    material = steel(fixed, "plain")
    light, dim = (tinted(material, s, 0.6) for s in (1.2, 0.55))
    paper = lacquer(colours.paint(fixed), 0.3)
    ink = lacquer(colours.distinct(fixed, paper.colour, 0.4), 0.2)
    reach, height, label = math.hypot(half, tall), 0.6 * half, tall * fixed.uniform(0.5, 0.66)
    rows = np.arange(label + 0.07, tall - 0.06, 0.085).tolist()
    beads = []
    for y in (side * row for row in rows for side in (-1, 1)):
        beads.append(Part("groove", box(half, 0.012, (0, y + 0.03)), dim, (0, y), half, printed=True))
        beads.append(mark("bead", box(half, 0.018, (0, y)), light, (0, y), half))
    rims = [
        Part("rim", barrel(half + 0.03, 0.04, (0, y)), light, (0, y), half + 0.05, half, height + 0.01, 0.3)
        for y in (-tall, tall)
    ]
    columns = [x * half for x in (-0.5, -0.25, 0.0, 0.25, 0.5)]
    stripe = box(half, 0.04, (0, 0.75 * label))
    return (
        limb(solid("can", barrel(half, tall), material, reach, half, height, 0.5)),
        *beads,
        mark("label", box(half, label), paper, (0, 0), 0.9 * reach),
        mark("stripe", stripe, ink, (0, 0.75 * label), half),
        mark("figure", ellipse(0.55 * half, 0.25 * label, (0, 0.2 * label)), ink, (0, 0.2 * label), half),
        *(sign(fixed, (x, -0.45 * label), 0.09, ink) for x in columns),
        *rims,
    )


def egg_tray(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of an egg tray."""
    cols, rows = ((4, 3), (5, 2), (5, 3), (4, 4), (5, 4), (6, 3), (6, 4), (5, 5))[int(fixed.integers(0, 8))]
    pitch = min(1.74 / cols, 1.5 / rows)
    base = colours.stone(fixed) if fixed.uniform() < 0.7 else colours.paint(fixed)
    pulp = Material(base, colours.scaled(base, 0.85), "grain", 12, 0.0, 0.004, 0.02, 0.05)
    cup = Material(colours.scaled(base, 0.5), colours.scaled(base, 0.4), "grain", 12, 0.0, 0.003, 0.0)
    xs, ys = ((pitch * (np.arange(n) - (n - 1) / 2)).tolist() for n in (cols, rows))
    spots = list(itertools.product(xs, ys))
    peaks = [(x + pitch / 2, y + pitch / 2) for x, y in itertools.product(xs[:-1], ys[:-1])]
    tones = ((0.06, 0.4, 0.75), (0.09, 0.08, 0.86), (0.05, 0.55, 0.6))
    shell = colours.hsv(*tones[int(fixed.integers(0, 3))])
    radius = pitch * fixed.uniform(0.36, 0.41)
    eggs = []
    for place in spots:
        tint = colours.scaled(shell, varied.uniform(0.94, 1.06))
        material = Material(tint, colours.scaled(tint, 0.95), "grain", 14, 0.0, 0.001, 0.25)
        shape = ellipse(radius, radius * varied.uniform(0.9, 0.97), place, varied.uniform(0, 3))
        eggs.append(brittle(item("egg", shape, material, place, radius, radius, 0.8 * radius, 0.5)))
    wide, tall = pitch * cols / 2 + 0.06, pitch * rows / 2 + 0.06
    cups = union(*(circle(0.46 * pitch, p) for p in spots))
    tips = union(*(circle(0.13 * pitch, p) for p in peaks))
    reach = math.hypot(wide, tall)
    return (
        solid("tray", box(wide, tall, round=0.1), pulp, reach, 0.05, 0.04, 0.5),
        Part("cups", cups, cup, (0, 0), reach, 0.1, -0.06),
        Part("peaks", tips, pulp, (0, 0), reach, 0.1 * pitch, 0.06, 0.2),
        *eggs,
    )


def chocolate_bar(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a chocolate bar."""
    cols, rows = int(fixed.integers(4, 8)), int(fixed.integers(2, 5))
    pitch, wide, gap = 1.64 / cols, 0.82, 0.018
    across = min(pitch * fixed.uniform(0.75, 1.1), 1.3 / rows)
    tall, half_x, half_y = across * rows / 2, pitch / 2 - gap, across / 2 - gap
    tone = ((0.04, 0.6, 0.24), (0.06, 0.6, 0.42), (0.12, 0.28, 0.82))[int(fixed.integers(0, 3))]
    colour = colours.hsv(*tone)
    cocoa = Material(colour, colours.scaled(colour, 0.92), "plain", 4, 0.0, 0.001, 0.35)
    kind, wrapped = int(fixed.integers(0, 4)), fixed.uniform() < 0.4
    pieces, small, reach = [], min(half_x, half_y), math.hypot(half_x, half_y)
    for i, j in itertools.product(range(cols - int(wrapped)), range(rows)):
        x, y = place = (pitch * (i + 0.5) - wide, across * (j + 0.5) - tall)
        signs = (
            ring(0.45 * small, 0.12 * small, place),
            bar((x - 0.4 * small, y), (x + 0.4 * small, y), 0.12 * small),
            polygon(4, 0.3 * small, place, math.pi / 4),
        )
        shape = box(half_x, half_y, place, 0.02)
        shape = cut(shape, signs[kind]) if kind < 3 else shape
        pieces.append(brittle(item("piece", shape, cocoa, place, reach, 0.06, 0.07, 0.3)))
    base = solid("base", box(wide + 0.03, tall + 0.03, round=0.03), cocoa, 1.2, 0.03, 0.03, 0.5)
    if not wrapped:
        return (base, *pieces)
    silver = Material((0.7, 0.7, 0.72), (0.5, 0.5, 0.53), "crystals", 7, 0.0, 0.006, 0.7)
    paper, edge = lacquer(colours.paint(fixed), 0.2), wide - 0.9 * pitch
    teeth = [circle(0.045, (edge, y)) for y in np.linspace(-tall, tall, 9).tolist()]
    foil = union(box(0.22, tall + 0.07, (edge + 0.22, 0)), *teeth)
    sleeve = box(0.12, tall + 0.09, (edge + 0.33, 0))
    return (
        base,
        *pieces,
        item("foil", foil, silver, (edge + 0.2, 0), tall + 0.4, 0.03, 0.07),
        item("sleeve", sleeve, paper, (edge + 0.33, 0), tall + 0.3, 0.03, 0.09, 0.3),
    )


def carton(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a carton."""
    return _shipping_box(fixed) if fixed.uniform() < 0.5 else _drink_carton(fixed)


def _shipping_box(fixed: Rng) -> tuple[Part, ...]:
    colour = colours.hsv(fixed.uniform(0.07, 0.1), fixed.uniform(0.3, 0.5), fixed.uniform(0.5, 0.72))
    board = Material(colour, colours.scaled(colour, 0.93), "grain", 9, 0.0, 0.0015, 0.05, 0.05)
    ink = lacquer(colours.scaled(colour, 0.25) if fixed.uniform() < 0.7 else (0.65, 0.12, 0.1), 0.05)
    dark, paper = lacquer(colours.scaled(colour, 0.4), 0.0), lacquer((0.82, 0.82, 0.8), 0.05)
    tape = lacquer(colours.scaled(colour, fixed.choice([0.6, 1.4])), 0.4)
    wide, tall, strip = 0.84, fixed.uniform(0.55, 0.72), fixed.uniform(0.08, 0.11)
    row, side = -0.55 * tall, float(fixed.choice([-1, 1]))
    arrows = []
    for x in (side * 0.45 + 0.2 * np.arange(int(fixed.integers(2, 4))) - 0.2).tolist():
        head = convex((x - 0.09, row), (x, row - 0.14), (x + 0.09, row))
        arrow = union(head, box(0.03, 0.1, (x, row + 0.05)), box(0.08, 0.014, (x, row + 0.17)))
        arrows.append(mark("arrow", arrow, ink, (x, row), 0.22))
    x, y = -side * 0.42, 0.58 * tall
    places = [(x, y + 0.075 * k) for k in (-1, 0, 1)]
    lines = [mark("line", box(fixed.uniform(0.12, 0.24), 0.016, p), ink, p, 0.26) for p in places]
    columns = [side * 0.45 + u for u in (-0.26, -0.13, 0.0, 0.13, 0.26)]
    return (
        solid("box", box(wide, tall, round=0.02), board, 1.12, 0.04, 0.06, 0.6),
        Part("seam", box(wide, 0.014), dark, (0, 0), 0.9, printed=True),
        *arrows,
        *(sign(fixed, (u, y), 0.08, ink) for u in columns),
        mark("label", box(0.3, 0.15, (x, y), 0.01), paper, (x, y), 0.36),
        *lines,
        Part("tape", box(wide, strip), tape, (0, 0), 0.9, opacity=0.7, printed=True, loose=True),
    )


def _drink_carton(fixed: Rng) -> tuple[Part, ...]:
    ground, half = colours.pale(fixed), fixed.uniform(0.42, 0.54)
    paper, slope = (Material(colours.scaled(ground, s), gloss=0.2, mottle=0.02) for s in (1, 0.82))
    first, second = (lacquer(colours.distinct(fixed, ground, 0.35), 0.2) for _ in range(2))
    foot, top = 0.85, -0.3
    roof = convex((-half, top), (-0.8 * half, -0.62), (0.8 * half, -0.62), (half, top))
    crimp = lacquer(colours.scaled(ground, 0.6), 0.1)
    crimps = [
        item("crimp", box(0.013, 0.075, (x, -0.72)), crimp, (x, -0.72), 0.08, 0.02, -0.01, 0)
        for x in np.linspace(-0.75 * half, 0.75 * half, int(fixed.integers(7, 13))).tolist()
    ]
    wave, high = fixed.uniform(0.03, 0.08), fixed.uniform(0.35, 0.5)

    def field(x: Array, y: Array) -> Array:
        edge = np.float32(high) + np.float32(wave) * np.sin(np.float32(7) * x)
        return np.maximum.reduce([edge - y, y - np.float32(foot), np.abs(x) - np.float32(half)])

    figure = ellipse(0.17, fixed.uniform(0.1, 0.17), (0, 0.14)) if wave < 0.06 else polygon(3, 0.1, (0, 0.16))
    columns = [0.17 * k * half / 0.45 for k in (-2, -1, 0, 1, 2)]
    lid = moulded(second.colour, 0.4)
    return (
        solid("body", box(half, 0.58, (0, 0.27)), paper, 1.05, 0.03, 0.03, 0.5),
        Part("field", field, first, (0, 0.6), 0.65, printed=True),
        Part("roof", roof, slope, (0, -0.46), 0.6, 0.03, 0.03, 0.3),
        Part("fin", box(0.82 * half, 0.1, (0, -0.72), 0.01), paper, (0, -0.72), 0.5, 0.02, 0.03, 0.3),
        *crimps,
        item("cap", circle(0.12, (0, -0.46)), lid, (0, -0.46), 0.12, 0.04, 0.06, 0.6),
        mark("figure", figure, second, (0, 0.14), 0.24),
        *(sign(fixed, (x, -0.14), 0.1, first) for x in columns),
    )


def syringe(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a syringe."""
    half, start, end = fixed.uniform(0.13, 0.18), -0.42, 0.4
    stop, wide = fixed.uniform(-0.2, 0.15), fixed.uniform(0.28, 0.36)
    white, rubber = moulded(colours.pale(fixed), 0.3), lacquer(colours.dark(fixed), 0.2)
    clear, wall = (lacquer(colours.hsv(0.55, 0.1, v), 0.8) for v in (0.8, fixed.uniform(0.6, 0.8)))
    drug = lacquer(colours.hsv(fixed.uniform(), fixed.uniform(0.1, 0.6), 0.75), 0.5)
    tint = moulded(colours.hsv(fixed.uniform(), fixed.uniform(0.5, 0.9), fixed.uniform(0.5, 0.85)), 0.4)
    ink, metal = lacquer(colours.hsv(0.6, 0.3, 0.12), 0.05), lacquer((0.6, 0.61, 0.64), 0.7)
    rod, middle = ((stop - 0.9) / 2, 0.0), (start + end) / 2
    ribs = union(box(stop / 2 + 0.45, 0.015, rod), box(0.02, 0.065, rod))
    ticks = []
    for k, x in enumerate(np.linspace(start + 0.1, end - 0.06, int(fixed.integers(8, 13))).tolist()):
        length = 0.075 if k % 3 == 0 else 0.045
        ticks.append(mark("tick", box(0.013, length, (x, half - 0.02 - length)), ink, (x, half / 2), 0.1))
        if k % 3 == 0:
            spot = (x, -0.4 * half)
            ticks.append(Part("sign", glyph(fixed, spot, 0.05), ink, spot, 0.07, printed=True))
    tip = convex((end + 0.06, -0.08), (end + 0.24, -0.045), (end + 0.24, 0.045), (end + 0.06, 0.08))
    walls = cut(box(0.41, half, (middle, 0), 0.03), box(0.5, half - 0.022, (middle - 0.12, 0)))
    thumb, glass = box(0.03, 0.18, (-0.91, 0), 0.03), box(0.41, half, (middle, 0), 0.03)
    pump = box(0.055, half - 0.015, (stop, 0), 0.015)
    needle, flange = bar((end + 0.1, 0), (0.97, 0), 0.019), box(0.03, wide, (start - 0.01, 0), 0.03)
    return (
        Part("rod", box(stop / 2 + 0.45, 0.065, rod), white, rod, 0.6, 0.03, 0.03, 0.4),
        Part("ribs", ribs, lacquer(colours.scaled(white.colour, 0.7)), rod, 0.6, 0.02, 0.02),
        brittle(item("thumb rest", thumb, white, (-0.91, 0), 0.19, 0.03, 0.06)),
        Part("drug", box((end - stop) / 2, half - 0.02, ((end + stop) / 2, 0)), drug, (0.1, 0), 0.5),
        item("stopper", pump, rubber, (stop, 0), 0.19, 0.03, 0.03, 0),
        limb(item("needle", needle, metal, (0.78, 0), 0.3, 0.02, 0.02)),
        brittle(item("hub", tip, tint, (end + 0.15, 0), 0.13, 0.06, 0.06)),
        Part("nose", box(0.07, 0.05, (end + 0.03, 0)), wall, (end + 0.03, 0), 0.1, 0.05, 0.04, 0.3),
        brittle(Part("barrel", glass, clear, (middle, 0), 0.62, half, 0.7 * half, 0.4, 0.4)),
        Part("wall", walls, wall, (middle, 0), 0.5, 0.02, 0.02, opacity=0.8),
        brittle(Part("flange", flange, wall, (start, 0), 0.4, 0.03, 0.05, 0.4)),
        *ticks,
    )


PACKAGING: dict[str, Family] = {
    "bottle cap": Family(bottle_cap, (*PIECE, *LIMB, "scratch", "dent", "rust"), turn=3.2),
    "tin can": Family(tin_can, (*METAL[:4], *PLACED, "bent part"), turn=0.15),
    "egg tray": Family(
        egg_tray, (*PIECE, "broken part", "crack", "hole", "contamination", "stain"), turn=0.1
    ),
    "chocolate bar": Family(
        chocolate_bar, (*PLACED, "broken part", "crack", "discoloration", "contamination"), turn=0.2
    ),
    "carton": Family(carton, (*PIECE, "cut", "fold", "stain", "hole", "smear"), turn=0.1),
    "syringe": Family(syringe, (*PLACED, *LIMB, "crack", "contamination", "smear"), turn=0.2),
}
