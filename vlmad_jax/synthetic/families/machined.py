"""Turned, milled and ground pieces, most of them with rows or rings of equal features."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import LIMB, METAL, MOVED, PIECE, PLACED, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, shiny, steel, tinted, tool_steel
from vlmad_jax.synthetic.families.forms import rod, steep
from vlmad_jax.synthetic.families.parts import brittle, item, limb, solid
from vlmad_jax.synthetic.families.rotors import impeller, retaining_ring, saw_blade
from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, box, circle, circular, polar, union


def pipe_fitting(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a pipe fitting."""
    kind = str(fixed.choice(["elbow", "tee", "cross", "sleeve"]))
    headings = {"elbow": (0, 1), "tee": (0, 1, 2), "cross": (0, 1, 2, 3), "sleeve": (0, 2)}[kind]
    plastic = fixed.uniform() < 0.35
    material = moulded(colours.paint(fixed), 0.4) if plastic else steel(fixed, "cast")
    half, long = fixed.uniform(0.19, 0.26), fixed.uniform(0.68, 0.78)
    origin = {"elbow": (-0.3, -0.3), "tee": (0.0, -0.25)}.get(kind, (0.0, 0.0))
    ending = [_collared, _threaded, _flanged][int(fixed.integers(0, 3))]
    rim, bolt = tinted(material, fixed.uniform(0.85, 1.2)), shiny(fixed)
    seal = lacquer(colours.dark(fixed) if fixed.uniform() < 0.4 else colours.paint(fixed), 0.2)
    runs: list[Shape] = [] if kind == "sleeve" else [circle(half * 1.05, origin)]
    ends: list[Part] = []
    for heading in headings:
        angle = heading * math.pi / 2
        along = polar(1.0, angle)
        reach = long - 0.8 * (origin[0] * along[0] + origin[1] * along[1])
        runs.append(_length(origin, along, reach / 2 - 0.05, reach / 2 + 0.05, half))
        ends += ending(origin, along, reach, half, (rim, bolt, seal))
    body = brittle(Part("body", union(*runs), material, origin, 1.2, half, half * 0.7, 0.4))
    return (body, *ends)


def _length(origin: Point, along: Point, distance: float, length: float, half: float) -> Shape:
    """Return a section of round tube at `distance` from the point where the arms meet."""
    angle = math.atan2(along[1], along[0]) - math.pi / 2
    return rod(half, length, _at(origin, along, distance), angle)


def _at(origin: Point, along: Point, distance: float, aside: float = 0.0) -> Point:
    x, y = along
    return origin[0] + distance * x - aside * y, origin[1] + distance * y + aside * x


def _collared(origin: Point, along: Point, reach: float, half: float, look: Sequence[Material]) -> list[Part]:
    place, wide, tall = _at(origin, along, reach - 0.1), half * 1.25, half * 0.75
    bead = _length(origin, along, reach - 0.25, 0.035, half * 1.12)
    collar = _length(origin, along, reach - 0.1, 0.12, wide)
    return [
        item("seal", bead, look[2], place, 0.5, half, tall, 0.2),
        brittle(item("collar", collar, look[0], place, 0.45, wide, tall * 1.1)),
    ]


def _threaded(origin: Point, along: Point, reach: float, half: float, look: Sequence[Material]) -> list[Part]:
    place, tall = _at(origin, along, reach - 0.15), half * 0.7
    angle = math.atan2(along[1], along[0]) + math.pi / 2 + 0.1
    dark = colours.scaled(look[0].colour, 0.45)
    cuts = Material(look[0].colour, dark, "ribs", 18, angle, 0.012, 0.4)
    thread = _length(origin, along, reach - 0.1, 0.15, half * 0.95)
    stop = _length(origin, along, reach - 0.29, 0.035, half * 1.25)
    seal = _length(origin, along, reach - 0.23, 0.03, half * 1.12)
    return [
        brittle(Part("thread", thread, cuts, place, 0.4, half, tall, 0.3)),
        item("seal", seal, look[2], place, 0.42, half, tall * 1.05, 0.3),
        item("stop", stop, look[0], place, 0.45, half, tall * 1.15, 0.3),
    ]


def _flanged(origin: Point, along: Point, reach: float, half: float, look: Sequence[Material]) -> list[Part]:
    """Return a flange with the heads of its bolts on the inner side."""
    place, wide = _at(origin, along, reach - 0.05), half * 1.7
    disc = _length(origin, along, reach - 0.04, 0.06, wide)
    joint = _length(origin, along, reach + 0.04, 0.025, wide * 0.95)
    parts = [
        item("seal", joint, look[2], place, 0.5, 0.1, 0.05, 0.3),
        brittle(Part("flange", disc, look[0], place, 0.5, wide, 0.12, 0.4)),
    ]
    for k in (-1.4, -0.5, 0.5, 1.4):
        p = _at(origin, along, reach - 0.14, k * half)
        head = _length(p, along, 0, 0.05, 0.055)
        parts.append(item("bolt", head, look[1], p, 0.09, 0.055, 0.2, 0.3))
    return parts


def heat_sink(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a heat sink."""
    anodised = colours.dark(fixed) if fixed.uniform() < 0.4 else colours.paint(fixed)
    base = steel(fixed, "brushed") if fixed.uniform() < 0.5 else moulded(anodised, 0.3)
    ridge = tinted(base, 1.25, 0.5)
    wide, tall = fixed.uniform(0.7, 0.84), fixed.uniform(0.6, 0.82)
    kind = str(fixed.choice(["fins", "fins", "pins", "rays"]))
    plate: Shape = circle(0.84) if kind == "rays" else box(wide, tall, (0, 0), 0.03)
    floor = solid("base", plate, tinted(base, 0.55, 0.2), 1.15, 0.03, 0.02)
    if kind == "fins":
        return (floor, *_fins(fixed, wide, tall, ridge))
    if kind == "pins":
        return (floor, *_posts(fixed, wide, tall, ridge))
    hub = fixed.uniform(0.22, 0.32)
    centre = Part("hub", circle(hub), base, (0, 0), hub, 0.05, 0.12, 0.4)
    return (floor, *_rays(int(fixed.integers(14, 25)), hub, ridge), centre)


def _fins(rng: Rng, wide: float, tall: float, ridge: Material) -> list[Part]:
    """Return rows of upright fins in one to three blocks."""
    count, blocks = int(rng.integers(7, 13)), int(rng.integers(1, 4))
    half = (2 * wide / count) * rng.uniform(0.2, 0.3)
    length = tall / blocks
    parts = []
    for j in range(blocks):
        y = -tall + length * (2 * j + 1)
        for x in (np.linspace(-1, 1, count) * (wide - half - 0.02)).tolist():
            fin = box(half, length - 0.035, (x, y), 0.01)
            parts.append(limb(item("fin", fin, ridge, (x, y), length, half, 0.1, 0.6)))
    return parts


def _posts(rng: Rng, wide: float, tall: float, ridge: Material) -> list[Part]:
    rows, cols = int(rng.integers(4, 6)), int(rng.integers(4, 7))
    half, square = 0.3 * min(2 * wide / cols, 2 * tall / rows), rng.uniform() < 0.5
    parts = []
    xs, ys = np.linspace(-0.84, 0.84, cols) * wide, np.linspace(-0.84, 0.84, rows) * tall
    for p in itertools.product(xs.tolist(), ys.tolist()):
        shape = box(half, half, p, 0.02) if square else circle(half, p)
        parts.append(limb(item("post", shape, ridge, p, 1.5 * half, 0.03, 0.12, 0.6)))
    return parts


def _rays(count: int, hub: float, ridge: Material) -> list[Part]:
    half = (0.8 - hub) / 2
    parts = []
    for angle, p in circular(count, hub + half):
        fin = box(half, 0.028, p, 0.02, angle)
        parts.append(limb(item("fin", fin, ridge, p, half + 0.03, 0.02, 0.1, 0.5)))
    return parts


def drill_bit(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a drill bit."""
    material = tool_steel(fixed)
    shank = shiny(fixed) if fixed.uniform() < 0.5 else material
    count = int(fixed.choice([1, 1, 3, 4, 5]))
    return _one_bit(fixed, material, shank) if count == 1 else _set_of_bits(fixed, count, material, shank)


def _one_bit(rng: Rng, material: Material, shank: Material) -> tuple[Part, ...]:
    half, long = rng.uniform(0.1, 0.15), 0.88
    body = _pointed(0.0, half, long)

    def flutes(x: Array, y: Array) -> Array:
        across = np.arcsin(np.clip(x / np.float32(half), -1, 1))
        groove = np.float32(0.3) - np.cos(np.float32(math.pi / (2.4 * half)) * y + across)
        return np.maximum(groove * np.float32(half * 0.55), body(x, y) + np.float32(0.012))

    p, q, middle = (0.0, rng.uniform(0.35, 0.5)), (0.0, 0.55), (0.0, -0.3)
    band = lacquer(colours.paint(rng), 0.4)
    return (
        brittle(item("shank", rod(half * 0.92, 0.3, q), shank, q, 0.35, half, half * 0.7)),
        limb(Part("bit", body, material, middle, 0.7, half, half * 0.7, 0.4)),
        Part("flutes", flutes, tinted(material, 0.45, 0.2), middle, 0.7, half * 0.4, -half * 0.3),
        item("collar", rod(half * 1.5, 0.07, p), band, p, 0.26, half * 1.5, half * 1.1),
    )


def _set_of_bits(rng: Rng, count: int, material: Material, shank: Material) -> tuple[Part, ...]:
    """Return bits of decreasing size with their shanks in a holder."""
    dark = colours.scaled(material.colour, 0.3)
    parts: list[Part] = []
    for k, x in enumerate(np.linspace(-0.62, 0.62, count).tolist()):
        shrink = 1 - 0.4 * k / count
        half, long = 0.48 / count * shrink, 0.85 * math.sqrt(shrink)
        p, q = (x, (0.25 - long) / 2), (x, 0.55)
        # The flutes are a texture here, so that they move with their bit.
        fluted = Material(material.colour, dark, "ribs", 0.34 / half, math.pi / 2 + 0.6, 0.2 * half, 0.5)
        stem, bit = rod(half * 0.92, 0.3, q), _pointed(x, half, long)
        parts.append(brittle(item("shank", stem, shank, q, 0.35, half, half * 0.7)))
        parts.append(limb(item("bit", bit, fluted, p, (long + 0.3) / 2, half, half * 0.8)))
    rack, p = moulded(colours.paint(rng), 0.3), (0.0, 0.62)
    return (*parts, brittle(Part("holder", box(0.86, 0.13, p, 0.04), rack, p, 0.9, 0.05, 0.16, 0.5)))


def _pointed(x: float, half: float, long: float) -> Shape:
    """Return a cylinder around the line at `x` with its tip `long` above the origin."""

    def shape(u: Array, v: Array) -> Array:
        aside = np.abs(u - np.float32(x))
        tip = (np.float32(0.6) * aside - v - np.float32(long)) * np.float32(0.85)
        return np.maximum.reduce([aside - np.float32(half), tip, steep(v - np.float32(0.27))])

    return shape


MACHINED: dict[str, Family] = {
    "impeller": Family(impeller, (*PLACED, *LIMB, "scratch", "rust", "contamination"), turn=0.3),
    "saw blade": Family(saw_blade, (*MOVED, "broken part", "bent part", *METAL[:4], "crack"), turn=0.3),
    "pipe fitting": Family(
        pipe_fitting, (*PLACED, "crack", "scratch", "dent", "broken part", "stain", "pinholes"), turn=0.3
    ),
    "heat sink": Family(heat_sink, (*PLACED, *LIMB, "scratch", "contamination", "glue strip"), turn=0.1),
    "drill bit": Family(drill_bit, (*PIECE, *LIMB, "rust", "scratch"), turn=0.15),
    "retaining ring": Family(retaining_ring, (*PLACED, *LIMB, "scratch", "rust", "dent"), turn=3.2),
}
