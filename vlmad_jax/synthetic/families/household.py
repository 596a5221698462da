"""Household products."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import LIMB, METAL, PIECE, PLACED, Family, Rng
from vlmad_jax.synthetic.families.figures import convex, glyph, profile, rope, sign, smooth
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel, tinted
from vlmad_jax.synthetic.families.parts import brittle, engraved, item, limb, mark, solid
from vlmad_jax.synthetic.grid import Array, Point
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
    polygon,
    ring,
    union,
)


def comb(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a comb."""
    colour = colours.paint(fixed) if fixed.uniform() < 0.7 else colours.earth(fixed)
    texture = str(fixed.choice(["flat", "flat", "marble", "wood"]))
    horn = Material(colour, colours.scaled(colour, 0.6), texture, 4, 0.0, 0.0, 0.4)
    back, length, count = fixed.uniform(0.11, 0.16), fixed.uniform(0.5, 0.7), int(fixed.integers(16, 27))
    handle, fine = fixed.uniform() < 0.4, fixed.uniform() < 0.4
    left = -0.2 if handle else -0.7
    xs = np.linspace(left, 0.76, count if not handle else int(0.7 * count))
    step = float(xs[1] - xs[0])
    if fine:  # wide teeth on one side and fine ones on the other
        half = len(xs) // 2
        xs = np.concatenate([np.linspace(left, 0.25, half), np.linspace(0.25, 0.76, half + 2)[1:]])
        step = min(step, float(xs[-1] - xs[-2]))
    arch = fixed.uniform(0, 0.15)
    teeth = []
    for x in xs.tolist():
        tip = -0.3 + length - arch * (2 * (x - left) / (0.76 - left) - 1) ** 2
        shape = rope([(x, -0.36), (x, tip)], [0.3 * step, 0.2 * step])
        place, reach = (x, (tip - 0.36) / 2), (tip + 0.36) / 2 + 0.03
        teeth.append(limb(item("tooth", shape, horn, place, reach, 0.3 * step, 0.04, 0.3)))
    sides = (0.86,) if handle else (-0.86, 0.86)
    shapes = [box(0.05, 0.45 * length, (x, -0.36 + 0.4 * length), 0.04) for x in sides]
    if handle:
        grip = rope([(-0.3, -0.4), (-0.8, -0.37)], [back, fixed.uniform(0.05, 0.11)])
        shapes += [box(0.61, back, (0.3, -0.42), 0.08), grip]
    else:
        shapes.append(box(0.91, back, (0, -0.42), 0.08))
    ink = lacquer(colours.distinct(fixed, colour, 0.35), 0.2)
    columns = (np.arange(int(fixed.integers(3, 7))) * 0.1 + 0.1).tolist()
    letters = union(*(glyph(fixed, (x, -0.42), 0.05) for x in columns))
    return (
        *teeth,
        brittle(Part("back", union(*shapes), horn, (0, -0.1), 1.1, 0.06, 0.06, 0.4)),
        Part("print", letters, ink, (0.35, -0.42), 0.4, printed=True),
    )


def pencil(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a pencil."""
    half, paint = fixed.uniform(0.085, 0.12), colours.paint(fixed)
    lead = lacquer(colours.dark(fixed) if fixed.uniform() < 0.6 else paint, 0.3)
    body, upper, lower = (lacquer(colours.scaled(paint, s), 0.5) for s in (1.0, 1.25, 0.65))
    if fixed.uniform() < 0.25:
        upper = lacquer(colours.distinct(fixed, paint), 0.5)
    tone = colours.hsv(0.09, 0.4, fixed.uniform(0.6, 0.8))
    wood = Material(tone, colours.scaled(tone, 0.85), "wood", 5, 0.0, 0.001, 0.05)
    brass = lacquer(colours.metal(fixed), 0.5)
    rubber = moulded(colours.hsv(fixed.choice([0.0, 0.97, 0.6]), fixed.uniform(0.2, 0.6), 0.7), 0.05)
    ink, rib = (lacquer(colours.distinct(fixed, paint, 0.4), 0.4), tinted(brass, 0.6, 0.5))
    cone = convex((0.6, -half), (0.97, -0.015), (0.97, 0.015), (0.6, half))
    tip = overlap(cone, box(0.09, half, (0.93, 0)))
    shaft = union(box(0.6, half), *(circle(0.42 * half, (0.6, s * 0.6 * half)) for s in (-1, 0, 1)))
    rings = [
        mark("rib", box(0.012, half, (x, 0)), rib, (x, 0), half + 0.02)
        for x in (-0.71, -0.67, -0.6, -0.56)[: int(fixed.integers(2, 5))]
    ]
    first, count = fixed.uniform(-0.35, -0.2), int(fixed.integers(5, 9))
    facets = [
        mark("facet", box(0.58, half / 3.4, (0, side * 0.7 * half)), paint, (0, 0), 0.62)
        for side, paint in ((-1, upper), (1, lower))
    ]
    eraser, ferrule = box(0.12, 0.9 * half, (-0.84, 0), 0.06), box(0.12, half + 0.01, (-0.64, 0), 0.01)
    height = 0.8 * half
    return (
        brittle(item("eraser", eraser, rubber, (-0.84, 0), 0.18, half, height)),
        brittle(Part("cone", cone, wood, (0.78, 0), 0.28, half, 0.7 * half, 0.4)),
        brittle(item("tip", tip, lead, (0.91, 0), 0.1, 0.05, 0.03)),
        solid("shaft", shaft, body, 0.98, 0.7 * half, 0.6 * half, 0.5),
        *facets,
        item("ferrule", ferrule, brass, (-0.64, 0), 0.18, half, height, 0.3),
        *rings,
        *(sign(fixed, (first + 0.1 * k, 0.0), 0.045, ink) for k in range(count)),
    )


def fork(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a fork."""
    plastic = fixed.uniform() < 0.3
    metal = moulded(colours.paint(fixed), 0.4) if plastic else steel(fixed, "brushed", math.pi / 2)
    count, wide = int(fixed.integers(3, 6)), fixed.uniform(0.19, 0.25)
    root, end = fixed.uniform(-0.42, -0.34), fixed.uniform(0.09, 0.13)
    thick = min(0.36 * wide / (count - 1) * 2, 0.055)
    tines = []
    for x in np.linspace(-wide + thick, wide - thick, count).tolist():
        shape = rope([(x, root), (0.95 * x, -0.93)], [thick, 0.5 * thick])
        place, reach = (x, (root - 0.93) / 2), (root + 0.93) / 2 + 0.06
        tines.append(limb(item("tine", shape, metal, place, reach, thick, 0.045)))
    neck = ((root - 0.04, 0.92), (root + 0.03, 1), (root + 0.12, 0.9), (root + 0.22, 0.5))
    handle = ((0.6, 0.85), (0.8, 1), (0.89, 0.85), (0.94, 0.5), (0.96, 0.2))
    rows = [(y, wide * w) for y, w in neck] + [(root + 0.3, 0.055), (0.2, 0.06)]
    rows += [(y, end * w) for y, w in handle]
    head = profile([(y, 0.0, w) for y, w in rows])
    body = limb(solid("body", head, metal, 1.0, 0.06, 0.05, 0.5))
    if fixed.uniform() < 0.45 and not plastic:
        colour = colours.earth(fixed) if fixed.uniform() < 0.5 else colours.paint(fixed)
        scale = Material(colour, colours.scaled(colour, 0.7), "wood", 4, math.pi / 2, 0.001, 0.2)
        grip = union(box(end, 0.35, (0, 0.6), 0.05), box(0.07, 0.1, (0, 0.2), 0.02))
        pin = lacquer((0.7, 0.68, 0.6), 0.7)
        rivets = [
            item("rivet", circle(0.04, (0, y)), pin, (0, y), 0.05, 0.03, 0.03, 0)
            for y in np.linspace(0.35, 0.85, int(fixed.integers(2, 5))).tolist()
        ]
        return (*tines, body, Part("grip", grip, scale, (0, 0.55), 0.5, 0.08, 0.08, 0.4), *rivets)
    lines = cut(
        profile([(0.4, 0, 0.02), (0.6, 0, 0.55 * end), (0.86, 0, 0.5 * end)]),
        profile([(0.43, 0, 0.005), (0.6, 0, 0.35 * end), (0.84, 0, 0.3 * end)]),
    )
    return (*tines, body, engraved(metal, lines, (0, 0.63), 0.35))


def shoe_sole(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a shoe sole."""
    colour = colours.dark(fixed) if fixed.uniform() < 0.4 else colours.paint(fixed)
    rubber = Material(colour, colours.scaled(colour, 0.92), "grain", 12, 0.0, 0.0015, 0.1)
    lug = moulded(colours.scaled(colour, fixed.choice([0.7, 1.3])), 0.15)
    if fixed.uniform() < 0.4:
        lug = moulded(colours.distinct(fixed, colour, 0.25), 0.15)
    waist, side = fixed.uniform(0.1, 0.17), float(fixed.choice([-1, 1]))
    ys = -0.92 * np.cos(np.linspace(0, np.pi, 48))
    ball, heel = np.exp(-(((ys + 0.45) / 0.52) ** 2)), np.exp(-(((ys - 0.64) / 0.42) ** 2))
    halves = (waist + (0.36 - waist) * ball + (0.27 - waist) * heel) * np.sqrt(1 - np.abs(ys / 0.9201) ** 7)
    middles = side * 0.1 * np.minimum(ys, 0) ** 2
    rows, inset, inner = (
        list(zip(ys * (1 - s), middles, np.maximum(halves - s, 0), strict=True)) for s in (0, 0.05, 0.08)
    )
    kind, fore, rear = int(fixed.integers(0, 4)), int(fixed.integers(5, 8)), int(fixed.integers(3, 5))
    lugs = []
    lines = (*np.linspace(-0.76, 0.0, fore).tolist(), *np.linspace(0.42, 0.78, rear).tolist())
    step = 0.76 / (fore - 1)
    for y in lines:
        middle, half = float(np.interp(y, ys, middles)), float(np.interp(y, ys, halves)) - 0.06
        for k in (-1, 1) if kind < 3 else (-1, 0, 1):
            x = middle + k * half * (0.52 if kind < 3 else 0.7)
            place, long = (x, y), half * 0.4
            shapes = (
                box(long, 0.3 * step, place, 0.02, k * 0.35),
                box(long, 0.28 * step, place, 0.01),
                polygon(6, min(long, 0.38 * step), place, 0.0),
                circle(min(0.28 * half, 0.4 * step), place),
            )
            lugs.append(brittle(item("lug", shapes[kind], lug, place, 0.18, 0.03, 0.05)))
    ink = lacquer(colours.scaled(colour, 1.5), 0.2)
    rim = moulded(colours.scaled(colour, 0.75), 0.2)
    return (
        limb(solid("sole", profile(rows), rubber, 1.0, 0.05, 0.05, 0.5)),
        Part("groove", cut(profile(inset), profile(inner)), rim, (0, 0), 0.98, 0.02, -0.02),
        *lugs,
        *(sign(fixed, (0.11 * k, 0.2), 0.06, ink) for k in (-1, 0, 1)),
    )


def watch_dial(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a watch dial."""
    face = colours.pale(fixed) if fixed.uniform() < 0.5 else colours.paint(fixed)
    texture = str(fixed.choice(["flat", "turned", "plain"]))
    dial = Material(face, colours.scaled(face, 0.93), texture, 6, gloss=0.3)
    ink = lacquer(colours.distinct(fixed, face, 0.4), 0.5)
    red = lacquer(colours.distinct(fixed, face, 0.3), 0.3)
    case, radius = steel(fixed, "turned"), 0.66
    kind = int(fixed.integers(0, 4))
    marks = []
    for k, (angle, place) in enumerate(circular(12, 0.53)):
        main = k % 3 == 0
        shapes = (
            box(0.075, 0.03 if main else 0.02, place, angle=angle),
            circle(0.055 if main else 0.04, place),
            polygon(3, 0.035, place, angle + math.pi),
        )
        if kind < 3:
            marks.append(item("hour", shapes[kind], ink, place, 0.1, 0.02, 0.02, 0.3))
        else:
            marks.append(sign(fixed, place, 0.06, ink))
    minutes = cut(ring(0.62, 0.018), *(box(0.7, 0.022, angle=math.pi * (k + 0.5) / 15) for k in range(15)))
    hands = []
    for role, long, width, paint in (
        ("hour hand", 0.3, 0.04, ink),
        ("minute hand", 0.47, 0.028, ink),
        ("second hand", 0.5, 0.014, red),
    ):
        angle = fixed.uniform(0, 2 * math.pi)
        shape = rope([polar(-0.1, angle), polar(long, angle)], [width, 0.7 * width])
        middle, reach = polar(0.4 * long, angle), 0.62 * long + 0.1
        hands.append(limb(item(role, shape, paint, middle, reach, 0.02, 0.03, 0.5)))
    extra = _complication(fixed, ink, face)
    return (
        item("crown", box(0.06, 0.09, (0.85, 0), 0.02), case, (0.85, 0), 0.12, 0.04, 0.05, 0.3),
        Part("case", circle(0.8), case, (0, 0), 0.85, 0.08, 0.08, 0.5),
        Part("dial", circle(radius), dial, (0, 0), 0.7, 0.02, -0.02),
        Part("minutes", minutes, ink, (0, 0), 0.7, printed=True),
        *marks,
        *extra,
        *hands,
        Part("pin", circle(0.045), ink, (0, 0), 0.05, 0.04, 0.04),
    )


def _complication(fixed: Rng, ink: Material, face: colours.Colour) -> tuple[Part, ...]:
    parts = [sign(fixed, (x, -0.26), 0.045, ink) for x in (-0.15, -0.05, 0.05, 0.15)]
    if fixed.uniform() < 0.5:
        white = lacquer((0.85, 0.85, 0.83), 0.1)
        parts.append(Part("window", box(0.09, 0.06, (0.33, 0)), white, (0.33, 0), 0.12, printed=True))
        parts.append(sign(fixed, (0.33, 0.0), 0.04, lacquer((0.1, 0.1, 0.1))))
    else:
        dim, hand = lacquer(colours.scaled(face, 0.8), 0.3), bar((0, 0.28), (0.08, 0.2), 0.015)
        parts.append(item("small dial", circle(0.16, (0, 0.28)), dim, (0, 0.28), 0.17, shadow=0))
        parts.append(Part("small hand", hand, ink, (0.04, 0.24), 0.09, printed=True))
    return tuple(parts)


def pretzel(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a pretzel."""
    crust = colours.hsv(fixed.uniform(0.045, 0.08), fixed.uniform(0.6, 0.8), fixed.uniform(0.35, 0.6))
    dough = Material(crust, colours.scaled(crust, 0.85), "grain", 5, 0.0, 0.002, 0.35, 0.0)
    thick, wide = fixed.uniform(0.13, 0.17), fixed.uniform(0.68, 0.78)
    thin = thick * fixed.uniform(0.55, 0.8)
    shifts = varied.uniform(-0.03, 0.03, 4).tolist()
    hump: list[Point] = [(wide - 0.12, -0.42), (0.4, -0.55 + shifts[0]), (0.15, -0.42)]
    curve = smooth([(0, 0.62), (0.38, 0.55), (wide - 0.06, 0.28), (wide, -0.1), *hump], 3)
    along = np.linspace(0, 1, len(curve))
    half = rope(curve, np.interp(along, [0, 0.25, 0.7, 1], [thick, thick, thin, thin]).tolist())

    def base(x: Array, y: Array) -> Array:
        return np.where((np.abs(x) < 0.4) & (y < 0), np.float32(1), half(np.abs(x), y))

    height, arms = 0.8 * thin, []
    for side, shift in zip((-1, 1), shifts[1:], strict=False):
        line = smooth([*hump, (-0.02, -0.1), (-0.17 + shift, 0.2), (-0.33 + shift, 0.5 + shifts[3])], 2)
        strand = rope([(side * x, y) for x, y in line], np.linspace(thin, 0.85 * thin, len(line)).tolist())
        arm = _beyond(strand, side)
        arms.append(brittle(item("arm", arm, dough, (side * 0.05, 0), 0.78, thin, height, 0.5)))
    crumb, salt = colours.hsv(0.11, 0.3, 0.85), lacquer((0.88, 0.88, 0.86), 0.4)
    torn = Material(crumb, colours.scaled(crumb, 0.85), "grain", 8, 0.0, 0.003, 0.05)
    opening = profile([(-0.3, 0, 0.0), (0, 0, 0.05), (0.3, 0, 0.0)])
    split = Part("split", lambda x, y: opening(y - np.float32(0.66), x), torn, (0, 0.66), 0.32, 0.04, -0.03)
    grains = []
    for k in range(int(fixed.integers(10, 24))):
        x, y = curve[int(varied.integers(1, len(curve) - 5))]
        place = ((-1) ** k * x + varied.uniform(-0.06, 0.06), y + varied.uniform(-0.06, 0.06))
        grains.append(box(0.034, 0.028, place, 0.008, varied.uniform(0, 3)))
    return (
        solid("rope", base, dough, 1.05, thick, height * thick / thin, 0.5),
        *((split,) if fixed.uniform() < 0.6 else ()),
        *arms,
        Part("humps", _upper(base), dough, (0, -0.3), 0.95, thick, height * thick / thin),
        Part("salt", union(*grains), salt, (0, 0), 1.0, 0.02, 0.03, 0.4),
    )


def _upper(shape: Shape) -> Shape:
    """Return the upper part of a shape, which ends without a border."""
    return lambda x, y: np.where(y > -0.15, np.float32(1), shape(x, y))


def _beyond(shape: Shape, side: int) -> Shape:
    """Return the part of an arm outside the hump to which it is attached."""
    return lambda x, y: np.where((side * x > 0.4) & (y < 0), np.float32(1), shape(x, y))


HOUSEHOLD: dict[str, Family] = {
    "comb": Family(
        comb, ("missing part", *LIMB, "wrong colour", "crack", "contamination", "thread"), turn=0.12
    ),
    "pencil": Family(pencil, (*PLACED, "broken part", "chip", "crack", "scratch", "smear"), turn=0.3),
    "fork": Family(fork, ("missing part", *LIMB, "misplaced part", *METAL[:4]), turn=0.3),
    "shoe sole": Family(shoe_sole, (*PIECE, "broken part", "cut", "hole", "stain", "glue strip"), turn=0.2),
    "watch dial": Family(watch_dial, (*PIECE, "bent part", "scratch", "contamination", "thread"), turn=0.1),
    "pretzel": Family(
        pretzel,
        ("missing part", "misplaced part", "broken part", "crack", "burn mark", "contamination", "hole"),
        turn=0.3,
    ),
}
