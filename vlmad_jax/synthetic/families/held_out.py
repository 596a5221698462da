"""The families of the test categories, which pretraining does not use."""

from __future__ import annotations

import itertools
import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import BROKEN, CLOTH, LIMB, METAL, PLACED, STONE, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel
from vlmad_jax.synthetic.families.parts import brittle, item, limb, solid
from vlmad_jax.synthetic.families.surfaces import surface
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import bar, box, circle, cut, polygon, union


def leather(rng: Rng) -> Material:
    """Draw the material of leather."""
    colour = colours.earth(rng)
    second = colours.scaled(colour, rng.uniform(0.6, 0.8))
    return Material(colour, second, "hide", rng.uniform(8, 14), rng.uniform(0, 3), 0.008, 0.2, 0.05)


def corduroy(rng: Rng) -> Material:
    """Draw the material of corduroy."""
    colour = colours.paint(rng)
    second = colours.scaled(colour, rng.uniform(0.45, 0.7))
    return Material(colour, second, "ribs", rng.uniform(6, 11), rng.uniform(0, 3), 0.02, 0.02)


def terrazzo(rng: Rng) -> Material:
    """Draw the material of terrazzo."""
    colour = colours.stone(rng)
    second = colours.scaled(colour, rng.choice([0.45, 1.6]))
    return Material(colour, second, "chips", rng.uniform(4, 8), rng.uniform(0, 3), 0.0, 0.3)


def wire_grating(rng: Rng) -> Material:
    """Draw the material of wire grating."""
    below = colours.dark(rng) if rng.uniform() < 0.7 else colours.pale(rng)
    angle = rng.choice([0.0, math.pi / 4])
    return Material(colours.metal(rng), below, "mesh", rng.uniform(3.5, 6), angle, 0.02, 0.4)


def hex_nut(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a hex nut."""
    bore = fixed.uniform(0.3, 0.38)
    material = steel(fixed, str(fixed.choice(["turned", "brushed"])))
    dim, dark = (colours.scaled(material.colour, factor) for factor in (0.6, 0.3))
    thread = Material(dim, dark, "turned", 8, 0, 0.002, 0.4)
    body = cut(polygon(6, 0.66, round=0.08), circle(bore))
    wall = cut(circle(bore + 0.01), circle(bore - 0.06))
    return (
        solid("body", body, material, 0.8, 0.08, 0.06),
        Part("thread", wall, thread, (0, 0), 0.5, 0.05, -0.03),
    )


def blister_pack(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a blister pack."""
    foil = colours.hsv(0.6, 0.03, fixed.uniform(0.6, 0.75))
    pill = Material(colours.paint(fixed), None, "grain", 14, 0.0, 0.001, 0.2)
    rows, cols = int(fixed.integers(2, 4)), int(fixed.integers(3, 5))
    radius = 0.5 / max(rows, cols)
    backing = Material(foil, colours.scaled(foil, 0.88), "weave", 16, 0.8, 0.003, 0.5)
    dome = lacquer(colours.scaled(foil, 1.15), 0.8)
    parts = [solid("foil", box(0.88, 0.7, round=0.08), backing, 1.2, 0.02, 0.01, 0.3)]
    xs, ys = np.linspace(-0.6, 0.6, cols).tolist(), np.linspace(-0.42, 0.42, rows).tolist()
    for place in itertools.product(xs, ys):
        parts.append(Part("blister", circle(radius * 1.3, place), dome, place, radius * 1.3, 0.05, 0.05))
        parts.append(brittle(item("tablet", circle(radius, place), pill, place, radius, 0.06, 0.06, 0.2)))
    return tuple(parts)


def wall_plug(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a wall plug."""
    material = moulded(colours.paint(fixed), 0.3)
    half, count = fixed.uniform(0.2, 0.27), int(fixed.integers(4, 7))
    teeth = [box(half + 0.07, 0.04, (0, y), 0.02) for y in np.linspace(-0.25, 0.6, count).tolist()]
    shaft = cut(union(box(half, 0.72, (0, 0.05), 0.1), *teeth), box(0.03, 0.5, (0, 0.35), 0.02))
    wing = [bar((s * half * 0.7, -0.1), (s * (half + 0.2), -0.42), 0.045) for s in (-1, 1)]
    lower = moulded(colours.scaled(material.colour, 0.9), 0.3)
    collar = box(half + 0.12, 0.07, (0, -0.68), 0.03)
    return (
        limb(Part("wings", union(*wing), lower, (0, -0.25), 0.6, 0.04, 0.04, 0.3)),
        limb(solid("shaft", shaft, material, 1.0, 0.12, 0.1)),
        brittle(item("collar", collar, material, (0, -0.68), 0.5, 0.05, 0.08, 0.3)),
    )


def glass_fuse(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a glass fuse."""
    half, length = fixed.uniform(0.17, 0.23), fixed.uniform(0.55, 0.7)
    tint = colours.hsv(fixed.uniform(0.4, 0.6), 0.15, fixed.uniform(0.45, 0.7))
    glass = Material(tint, colours.scaled(tint, 0.9), "plain", gloss=0.9)
    cap = steel(fixed, "brushed", math.pi / 2)
    wire = lacquer(colours.scaled(tint, 0.3), 0.3)
    sag = varied.uniform(-0.04, 0.04)
    wires = union(bar((-length, 0), (0, sag), 0.02), bar((0, sag), (length, 0), 0.02))
    caps = [
        brittle(item("cap", box(0.16, half + 0.03, p, 0.03), cap, p, 0.35, 0.06, half * 0.75, 0.3))
        for p in ((-length, 0.0), (length, 0.0))
    ]
    return (
        solid("glass", box(length, half, round=0.03), glass, 0.85, half, half * 0.7, 0.35),
        Part("wire", wires, wire, reach=0.8, opacity=0.9, printed=True, loose=True, bendable=True),
        *caps,
    )


HELD_OUT: dict[str, Family] = {
    "leather": surface(leather, (*CLOTH, "scratch"), 0.05),
    "corduroy": surface(corduroy, CLOTH, 0.05),
    "terrazzo": surface(terrazzo, STONE, 0.05),
    "wire grating": surface(wire_grating, (*METAL, "glue strip", "thread"), 0.03),
    "hex nut": Family(hex_nut, (*METAL, *BROKEN), turn=3.2),
    "blister pack": Family(
        blister_pack, (*PLACED, "broken part", "cut", "contamination", "scratch"), turn=0.08
    ),
    "wall plug": Family(
        wall_plug, (*LIMB, "missing part", "scratch", "burn mark", "contamination", "discoloration"), turn=0.3
    ),
    "glass fuse": Family(
        glass_fuse, ("crack", "missing part", "misplaced part", *LIMB, "stain", "rust", "scratch"), turn=0.3
    ),
}
