"""Consumer goods, pharmaceuticals and food."""

from __future__ import annotations

import itertools
import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import BROKEN, PLACED, PLASTIC, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel
from vlmad_jax.synthetic.families.parts import brittle, engraved, item, mark, solid
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, around, bar, box, circle, cut, ellipse, ring, toothed, union


def bottle(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a bottle."""
    glass = colours.hsv(fixed.uniform(0.05, 0.6), fixed.uniform(0.2, 0.8), fixed.uniform(0.35, 0.75))
    radius = fixed.uniform(0.7, 0.82)
    mouth = radius * fixed.uniform(0.5, 0.65)
    rim = Material(colours.scaled(glass, 1.5), colours.scaled(glass, 1.1), "plain", gloss=0.8)
    wall = Material(glass, colours.scaled(glass, 0.7), "plain", gloss=0.8)
    inside = Material(colours.scaled(glass, 0.3), colours.scaled(glass, 0.45), "plain", gloss=0.3)
    return (
        solid("wall", circle(radius), wall, 0.9, 0.2, 0.12, 0.3),
        Part("mouth", circle(mouth), inside, reach=0.7, bevel=0.1, height=-0.08),
        solid("rim", ring(mouth + 0.03, 0.05), rim, 0.8, 0.05, 0.06, 0),
    )


def capsule(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a capsule."""
    half, length = fixed.uniform(0.25, 0.34), fixed.uniform(0.4, 0.5)
    left, right = colours.paint(fixed), colours.pale(fixed) if fixed.uniform() < 0.5 else colours.paint(fixed)
    whole = bar((-length, 0), (length, 0), half)
    wider = bar((-length, 0), (length, 0), half + 0.02)

    def cap(x: Array, y: Array) -> Array:
        return np.maximum(wider(x, y), 4 * (x - np.float32(0.02)))  # a steep step at the end of the cap

    printed = moulded(colours.distinct(fixed, right), 0.1)
    marks = union(*(box(0.03, 0.07, (0.2 + 0.11 * k, 0), 0.01) for k in range(int(fixed.integers(2, 5)))))
    return (
        solid("body", whole, moulded(right, 0.6), 0.95, half, half * 0.8),
        brittle(item("cap", cap, moulded(left, 0.6), (-0.4, 0), 0.6, half, half * 0.85, 0)),
        mark("print", marks, printed, (0.36, 0), 0.4),
    )


def tablet(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a tablet."""
    colour = colours.pale(fixed)
    material = Material(colour, colours.scaled(colour, 0.93), "grain", 16, 0.0, 0.002, 0.1)
    radius = fixed.uniform(0.55, 0.75)
    shape = circle(radius) if fixed.uniform() < 0.6 else ellipse(radius, radius * 0.6)
    reach = radius * 0.55
    score = bar((-reach, 0), (reach, 0), 0.02)
    if fixed.uniform() < 0.4:
        score = union(score, bar((0, -reach), (0, reach), 0.02))
    return (solid("tablet", shape, material, 0.9, 0.2, 0.12), engraved(material, score, (0, 0), 0.6))


def button(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a button."""
    radius = fixed.uniform(0.6, 0.75)
    count = int(fixed.choice([2, 4]))
    hole = fixed.uniform(0.06, 0.09)
    openings = around(count, 0.18, lambda c: circle(hole, c), fixed.uniform(0, 1))
    colour = colours.paint(fixed)
    texture = str(fixed.choice(["plain", "marble", "turned"]))
    material = Material(colour, colours.scaled(colour, 0.8), texture, 4, 0.0, 0.0, 0.5)
    return (
        solid("disc", cut(circle(radius), openings), material, 0.85, 0.1, 0.07),
        engraved(material, ring(radius * 0.7, 0.025), (0, 0), 0.6),
    )


def lens(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a lens."""
    mount = moulded(colours.dark(fixed), 0.3)
    tint = colours.hsv(fixed.uniform(0.4, 0.8), fixed.uniform(0.1, 0.5), fixed.uniform(0.3, 0.7))
    glass = Material(tint, colours.scaled(tint, 0.8), "plain", gloss=0.9)
    radius = fixed.uniform(0.45, 0.6)
    return (
        solid("mount", circle(0.8), mount, 0.85, 0.05, 0.05),
        item("ring", ring(radius + 0.06, 0.04), steel(fixed, "turned"), (0, 0), 0.8, 0.03, 0.02, 0),
        solid("glass", circle(radius), glass, 0.7, radius, 0.15, 0),
    )


def biscuit(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a biscuit."""
    colour = colours.hsv(fixed.uniform(0.07, 0.11), fixed.uniform(0.4, 0.65), fixed.uniform(0.55, 0.8))
    second = colours.scaled(colour, 0.75)
    material = Material(colour, second, "grain", fixed.uniform(5, 10), 0.0, 0.004, 0.03, 0.06)
    square = fixed.uniform() < 0.5
    outline = box(0.7, 0.55, round=0.15) if square else toothed(int(fixed.integers(14, 24)), 0.7, 0.06)
    docked = union(*(circle(0.03, p) for p in itertools.product((-0.26, 0.0, 0.26), repeat=2)))
    return (solid("biscuit", outline, material, 0.95, 0.1, 0.08), engraved(material, docked, (0, 0), 0.45))


def nut_kernel(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a nut kernel."""
    colour = colours.hsv(fixed.uniform(0.04, 0.1), fixed.uniform(0.5, 0.8), fixed.uniform(0.3, 0.6))
    angle = varied.uniform(-0.3, 0.3)
    light, scale = colours.scaled(colour, 1.35), fixed.uniform(4, 7)
    shell = Material(colour, light, "brushed", scale, math.pi / 2 + angle, 0.004, 0.2, 0.08)
    wide = fixed.uniform(0.5, 0.62) * varied.uniform(0.94, 1.06)
    tall = fixed.uniform(0.6, 0.7) * varied.uniform(0.94, 1.06)
    base = Material(colours.scaled(colour, 1.6), colours.scaled(colour, 1.2), "grain", 8, 0, 0.003, 0.05)
    return (
        solid("shell", ellipse(wide, tall, angle=angle), shell, 0.85, 0.5, 0.35),
        Part("base", ellipse(0.3, 0.14, (0, 0.42), angle), base, (0, 0.42), 0.35, printed=True),
    )


def label(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a label."""
    ground = colours.pale(fixed)
    paper = Material(ground, None, "grain", 16, 0.0, 0.0006, 0.05, 0.02)
    ink = lacquer(colours.distinct(fixed, ground, 0.4), 0.05)
    accent = lacquer(colours.distinct(fixed, ground, 0.25), 0.05)
    rows = [
        item("line", _words(fixed, y), ink, (0, y), 0.75, shadow=0)
        for y in np.linspace(-0.05, 0.2, int(fixed.integers(2, 4))).tolist()
    ]
    bars, x = [], -0.6
    while x < 0.1:
        width = fixed.uniform(0.012, 0.035)
        bars.append(box(width, 0.12, (x, 0.42)))
        x += 2 * width + fixed.uniform(0.02, 0.05)
    corner = (0.45, 0.38)
    logo = ring(0.13, 0.04, corner) if fixed.uniform() < 0.5 else ellipse(0.2, 0.12, corner, 0.3)
    return (
        solid("paper", box(0.82, 0.64, round=0.05), paper, 1.1, 0.01, 0.006, 0.25),
        item("title", box(0.7, 0.12, (0, -0.38), 0.02), accent, (0, -0.38), 0.75, shadow=0),
        *rows,
        item("bar code", union(*bars), ink, (-0.25, 0.42), 0.5, shadow=0),
        item("logo", logo, accent, corner, 0.25, shadow=0),
    )


def _words(rng: Rng, y: float) -> Shape:
    words, x = [], -0.68
    while x < 0.5:
        half = rng.uniform(0.04, 0.14)
        words.append(box(half, 0.03, (x + half, y), 0.01))
        x += 2 * half + 0.05
    return union(*words)


def toothbrush(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a toothbrush."""
    handle = moulded(colours.paint(fixed), 0.5)
    first, second = colours.pale(fixed), colours.paint(fixed)
    parts = [solid("head", box(0.36, 0.8, round=0.3), handle, 1.0, 0.15, 0.08)]
    for j, y in enumerate(np.linspace(-0.55, 0.55, 6).tolist()):
        for i, x in enumerate((-0.19, 0.0, 0.19)):
            colour = first if (i + j) % 2 else second
            bristle = Material(colour, colours.scaled(colour, 0.5), "pebbles", 22, 0.0, 0.01, 0.1, 0.0)
            place = (x + varied.uniform(-0.01, 0.01), y + varied.uniform(-0.01, 0.01))
            parts.append(item("tuft", circle(0.085, place), bristle, place, 0.09, 0.04, 0.04, 0))
    return tuple(parts)


def zipper(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a zipper."""
    colour = colours.paint(fixed)
    tape = Material(colour, colours.scaled(colour, 0.7), "twill", fixed.uniform(12, 16), 0.4, 0.006, 0.02)
    metal = fixed.uniform() < 0.6
    tooth = lacquer(colours.metal(fixed) if metal else colours.distinct(fixed, colour, 0.3), 0.6)
    count, half = int(fixed.integers(7, 10)), fixed.uniform(0.12, 0.16)
    step = 2.0 / count
    shift = varied.uniform(-step / 2, step / 2)
    parts = [
        Part("tape", box(0.62, 1.3), tape, reach=1.5, shadow=0.3),
        Part("seam", box(0.05, 1.3), lacquer(colours.scaled(colour, 0.4), 0.0), reach=1.4),
    ]
    for k, side in itertools.product(range(count + 1), (-1, 1)):
        place = (side * half * 0.45, -1 + step * (k + 0.25 * side) + shift)
        shape = box(half, step * 0.2, place, 0.03)
        parts.append(brittle(item("tooth", shape, tooth, place, half * 1.1, 0.03, 0.03, 0)))
    return tuple(parts)


GOODS: dict[str, Family] = {
    "bottle": Family(bottle, ("contamination", "stain", "scratch", *BROKEN), turn=3.2),
    "capsule": Family(
        capsule, (*PLASTIC, *BROKEN, "misplaced part", "missing part", "wrong colour", "hole"), turn=0.3
    ),
    "tablet": Family(
        tablet, (*BROKEN, "contamination", "stain", "discoloration", "scratch", "pinholes"), turn=3.2
    ),
    "button": Family(button, (*BROKEN, *PLASTIC), turn=3.2),
    "lens": Family(
        lens, ("scratch", "crack", "chip", "stain", "contamination", "thread", "glue strip"), turn=3.2
    ),
    "biscuit": Family(biscuit, (*BROKEN, "burn mark", "contamination", "hole", "discoloration"), turn=0.3),
    "nut kernel": Family(nut_kernel, ("crack", "hole", "cut", "smear", "scratch", "broken part"), turn=0.4),
    "label": Family(
        label,
        ("smear", "fold", "misplaced part", "missing part", "stain", "scratch", "wrong colour", "cut"),
        turn=0.1,
    ),
    "toothbrush": Family(toothbrush, (*PLACED, "contamination", "thread"), turn=0.1),
    "zipper": Family(
        zipper,
        ("missing part", "misplaced part", "broken part", "cut", "stain", "thread", "wrong colour"),
        turn=0.04,
    ),
}
