"""Invented objects with random outlines, materials, details and limbs.

A model trained on sixty kinds of objects learns the defects of those objects. Every product of these families
has a different design, so that a model can learn only what manufactured things have in common: symmetry,
repetition, even surfaces and clean edges. A defect breaks one of these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import BROKEN, METAL, PIECE, Family, Rng
from vlmad_jax.synthetic.families.figures import glyph, profile, rope
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, shades, steel, tinted
from vlmad_jax.synthetic.families.parts import brittle, item, limb, mark, solid
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
    ellipse,
    midpoint,
    polar,
    polygon,
    ring,
    union,
)

Figure = Callable[[Rng, Point, float, float], Shape]
_FINISHES = ("brushed", "turned", "plain", "flat")
_ROUGH = ("cast", "grain", "wood", "hide", "pebbles", "crystals", "marble", "cork")
_PATTERNS = ("weave", "twill", "ribs", "mesh", "checks", "dots", "studs", "holes")
_COLOURS = (colours.paint, colours.paint, colours.pale, colours.dark, colours.stone, colours.earth)
_BODY_REACH = 0.85


def assembly(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw a plate or housing with limbs below it and several groups of details on it."""
    outline = _stretched(fixed, _outline(fixed))
    material = _material(fixed)
    body = _body(fixed, outline, material)
    steps = [_step(fixed, outline, material)] if fixed.uniform() < 0.4 else []
    groups = [_group(fixed, outline, material) for _ in range(int(fixed.integers(1, 4)))]
    below = _limbs(fixed, outline) if fixed.uniform() < 0.5 else []
    return (*below, body, *steps, *itertools.chain(*groups))


def casting(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw one mostly bare lump with a hole, a step or a few details."""
    outline = _stretched(fixed, _outline(fixed))
    material = _rough(fixed) if fixed.uniform() < 0.6 else _material(fixed)
    body = replace(_body(fixed, outline, material), bevel=fixed.uniform(0.08, 0.3))
    step = _step(fixed, outline, material)
    return (body, step, *(_group(fixed, outline, material) if fixed.uniform() < 0.5 else []))


def turned_part(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw a long part from its side, with sections of different widths and materials along one axis."""
    count = int(fixed.integers(2, 6))
    ends = np.concatenate([[0], np.cumsum(fixed.uniform(0.3, 1.5, count))])
    ends = 1.8 * ends / ends[-1] - 0.9
    widest = fixed.uniform(0.12, 0.4)
    materials = [_material(fixed) for _ in range(int(fixed.integers(1, 4)))]
    parts = []
    for top, bottom in itertools.pairwise(ends.tolist()):
        half, material = widest * fixed.uniform(0.25, 1), materials[int(fixed.integers(len(materials)))]
        middle, tall = (top + bottom) / 2, (bottom - top) / 2 + 0.01
        other = half * float(fixed.choice([1, 1, fixed.uniform(0.4, 1)]))
        shape = profile([(middle - tall, 0, half), (middle + tall, 0, other)])
        centre, reach = (0.0, middle), math.hypot(tall, half) + 0.02
        parts.append(limb(item("section", shape, material, centre, reach, half, half * 0.8)))
        if fixed.uniform() < 0.5:
            parts += _rings(fixed, middle, tall, min(half, other), material)
    if fixed.uniform() < 0.3:
        parts = _wings(fixed, widest, materials[0]) + parts
    return tuple(parts)


def stamping(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw strips of sheet metal or moulded arms with holes, mirrored or repeated around a centre."""
    material = steel(fixed, str(fixed.choice(_FINISHES))) if fixed.uniform() < 0.7 else _material(fixed)
    half, hub = fixed.uniform(0.06, 0.14), fixed.uniform(0.12, 0.3)
    points = [(0.0, 0.0), *(polar(r, fixed.normal(0, 0.35)) for r in np.linspace(0.3, 0.85, 3).tolist())]
    count = int(fixed.choice([1, 2, 2, 3, 4, 5, 6]))
    start = fixed.uniform(0, 2 * math.pi)
    widths = np.linspace(half, half * fixed.uniform(0.6, 1.0), 4).tolist()
    arms, holes = [], []
    for angle, _ in circular(count, 1.0, start):
        turned = [_turn(p, angle) for p in points]
        arms.append(limb(item("arm", rope(turned, widths), material, _mean(turned), 0.6, half / 2, 0.04)))
        end = turned[-1]
        holes.append(item("hole", circle(half * 0.5, end), _hollow(material), end, half, 0.02))
    centre = _figure(fixed)(fixed, (0.0, 0.0), hub, start)
    middle = brittle(item("hub", centre, material, (0, 0), 1.5 * hub, 0.04, 0.05))
    return (*arms, middle, *holes, *_group(fixed, circle(hub), material))


def _outline(rng: Rng) -> Shape:
    """Draw an outline around the origin that stays within about `_BODY_REACH`."""
    size, angle = rng.uniform(0.5, 0.75), float(rng.choice([0, math.pi / 2, rng.uniform(0, math.pi)]))
    kind = int(rng.integers(8))
    if kind == 0:
        return circle(size)
    if kind == 1:
        return box(size, size, round=size * rng.uniform(0, 0.5))
    if kind == 2:
        return polygon(int(rng.integers(3, 9)), size * 0.85, angle=angle, round=rng.uniform(0.02, 0.12))
    if kind == 3:
        return cut(circle(size), _figure(rng)(rng, (0.0, 0.0), size * rng.uniform(0.2, 0.7), angle))
    if kind == 4:
        narrow = size * rng.uniform(0.2, 0.6)
        return union(box(size, narrow, round=0.04), box(narrow, size * rng.uniform(0.6, 1), round=0.04))
    if kind == 5:
        plate, places = box(size, size, round=0.08), _places(rng, size)
        return cut(plate, *(_figure(rng)(rng, place, 0.12, angle) for place, angle in places))
    if kind == 6:
        tall = np.linspace(-0.8, 0.8, int(rng.integers(3, 7)))
        halves = rng.uniform(0.2, 0.75, len(tall))
        return profile([(y, 0.0, h) for y, h in zip(tall.tolist(), halves.tolist(), strict=True)])
    return _lobed(rng, size)


def _lobed(rng: Rng, size: float) -> Shape:
    """Draw a disc with a wavy border."""
    fold, sides = int(rng.choice([1, 1, 2, 3, 4, 5, 6])), rng.choice([0.0, 1.0])
    waves = [(fold * k, rng.normal(0, 0.12 / k), sides * rng.uniform(0, 2 * math.pi)) for k in (1, 2, 3)]

    def shape(x: Array, y: Array) -> Array:
        angle = np.arctan2(y, x)
        swing = sum((a * np.cos(k * angle + phase) for k, a, phase in waves), np.zeros_like(x))
        return (np.sqrt(x * x + y * y) - np.float32(size) * (1 + swing)) * np.float32(0.85)

    return shape


def _stretched(rng: Rng, shape: Shape) -> Shape:
    """Draw an axis, and return the shape stretched or compressed along it, or unchanged."""
    narrow = rng.uniform(0.3, 1.0)
    factor = [(1.0, 1.0), (narrow, 1.15), (1.15, narrow)][int(rng.integers(3))]
    fx, fy = (np.float32(1 / f) for f in factor)
    return lambda x, y: shape(x * fx, y * fy) * np.float32(min(factor))


def _scaled(shape: Shape, factor: float) -> Shape:
    rate = np.float32(1 / factor)
    return lambda x, y: shape(x * rate, y * rate) * np.float32(factor)


def _body(rng: Rng, outline: Shape, material: Material) -> Part:
    bevel, height = rng.uniform(0.03, 0.2), rng.uniform(0.03, 0.12)
    return limb(solid("body", outline, material, 1.1, bevel, height))


def _step(rng: Rng, outline: Shape, below: Material) -> Part:
    """Draw a smaller copy of the outline that is raised from the body or sunk into it."""
    factor = rng.uniform(0.35, 0.85)
    material = tinted(below, rng.uniform(0.7, 1.2)) if rng.uniform() < 0.5 else _material(rng)
    height = rng.uniform(0.02, 0.08) * rng.choice([-1, 1, 1])
    return brittle(item("step", _scaled(outline, factor), material, (0, 0), factor, 0.05, height, 0.2))


def _group(rng: Rng, outline: Shape, below: Material) -> list[Part]:
    """Draw the same raised, sunk or printed detail at repeated places, at least at the centre."""
    size, figure = rng.uniform(0.05, 0.16), _figure(rng)
    places = [(p, a) for p, a in _places(rng, rng.uniform(0.2, 0.75)) if _inside(outline, p, -size / 2)]
    places = places or [((0.0, 0.0), 0.0)]
    gaps = [math.dist(a, b) for (a, _), (b, _) in itertools.combinations(places, 2)]
    size = min([size, *(0.45 * gap for gap in gaps)])
    kind, other = rng.uniform(), lacquer(colours.distinct(rng, below.colour, 0.3), rng.uniform(0, 0.5))
    letters = rng.uniform() < 0.3
    parts = []
    for place, angle in places:
        shape = glyph(rng, place, size) if letters else figure(rng, place, size, angle)
        if kind < 0.3:
            parts.append(mark("print", shape, other, place, 1.5 * size))
        elif kind < 0.5:
            parts.append(item("hollow", shape, _hollow(below), place, 1.5 * size, 0.03, -0.03, 0))
        else:
            material = other if kind < 0.8 else tinted(below, rng.uniform(0.8, 1.25))
            parts.append(brittle(item("detail", shape, material, place, 1.5 * size, size / 2, size / 2, 0.3)))
    if kind >= 0.5 and rng.uniform() < 0.4:  # a second part on every detail
        top, inner = tinted(other, rng.choice([0.5, 1.5])), _figure(rng)
        parts += [mark("top", inner(rng, p, size * 0.5, a), top, p, size) for p, a in places]
    return parts


def _places(rng: Rng, radius: float) -> list[tuple[Point, float]]:
    """Draw repeated places and their outward directions: a circle, a row, a grid, or a mirrored pair."""
    kind, start = int(rng.integers(5)), rng.choice([0, math.pi / 4, math.pi / 2])
    if kind == 0:
        return [((0.0, 0.0), start)]
    if kind == 1:
        count = int(rng.integers(3, 11))
        return [(place, angle) for angle, place in circular(count, radius, start)]
    if kind == 2:
        row, off = np.linspace(-radius, radius, int(rng.integers(2, 8))).tolist(), rng.uniform(-0.4, 0.4)
        return [((x, off), 0.0) for x in row] if rng.uniform() < 0.5 else [((off, y), 0.0) for y in row]
    if kind == 3:
        across, down = (np.linspace(-radius, radius, int(rng.integers(2, 5))).tolist() for _ in range(2))
        return [((x, y), 0.0) for x in across for y in down]
    x, y = (radius * rng.uniform(0.2, 1, 2)).tolist()
    mirrored = [(x, y), (-x, y)] + ([(x, -y), (-x, -y)] if rng.uniform() < 0.5 else [])
    return [(p, math.atan2(p[1], p[0])) for p in mirrored]


def _figure(rng: Rng) -> Figure:
    """Draw a small figure (rng, place, size, angle) -> shape, which is the same at every place."""
    aspect, sides = rng.uniform(0.2, 0.9), int(rng.integers(3, 8))
    figures: Sequence[Figure] = (
        lambda rng, p, s, a: circle(s, p),
        lambda rng, p, s, a: ring(s * 0.75, s * 0.25, p),
        lambda rng, p, s, a: box(s, s * aspect, p, s * aspect * 0.3, a),
        lambda rng, p, s, a: box(s, s * aspect, p, 0.0, a + math.pi / 2),
        lambda rng, p, s, a: polygon(sides, s * 0.85, p, a),
        lambda rng, p, s, a: ellipse(s, s * aspect, p, a),
        lambda rng, p, s, a: union(*(box(s, s * 0.3, p, 0.0, a + t) for t in (0, math.pi / 2))),
        lambda rng, p, s, a: cut(circle(s, p), box(s * 0.8, s * 0.18, p, 0.0, a)),
        lambda rng, p, s, a: cut(box(s, s, p, s * 0.2, a), circle(s * aspect, p)),
    )
    return figures[int(rng.integers(len(figures)))]


def _limbs(rng: Rng, outline: Shape) -> list[Part]:
    """Draw pins, legs or arms that stick out from below the body on one side, on two, or all around."""
    half, material, length = rng.uniform(0.02, 0.06), _material(rng), rng.uniform(0.15, 0.35)
    kind, count = int(rng.integers(3)), int(rng.integers(2, 7))
    if kind == 2:
        roots = [((0.0, 0.0), angle) for angle, _ in circular(count, 1.0)]
    else:
        row = np.linspace(-0.4, 0.4, count).tolist()
        roots = [((x, 0.0), side * math.pi / 2) for x in row for side in ((1,) if kind == 0 else (1, -1))]
    return [_pin(outline, root, a, half, length, material) for root, a in roots]


def _pin(outline: Shape, root: Point, heading: float, half: float, length: float, material: Material) -> Part:
    """Return a bar that extends outwards from below the border of the body."""
    ways = np.linspace(0, 0.9, 31)
    points = [polar(r, heading, root) for r in ways.tolist()]
    border = max([k for k, p in enumerate(points) if _inside(outline, p)], default=0)
    start, far = points[max(border - 3, 0)], min(float(ways[border]) + length, 0.97)
    end = polar(far, heading, root)
    reach = math.dist(start, end) / 2 + half
    return limb(item("pin", bar(start, end, half), material, midpoint(start, end), reach, half, half))


def _rings(rng: Rng, middle: float, tall: float, half: float, material: Material) -> list[Part]:
    """Draw grooves, bands or ribs across a section."""
    count, rib = int(rng.integers(1, 7)), rng.uniform() < 0.4
    thick = min(0.5 * tall / count, 0.04)
    other = tinted(material, rng.choice([0.6, 0.8, 1.25])) if rng.uniform() < 0.6 else _material(rng)
    wide = half * (rng.uniform(1.1, 1.4) if rib else 0.98)
    rows = np.linspace(middle - 0.75 * tall, middle + 0.75 * tall, count).tolist()
    parts = []
    for y in rows if count > 1 else [middle]:
        band = box(wide, thick, (0, y), thick / 2)
        parts.append(brittle(item("band", band, other, (0, y), wide + 0.02, wide, wide * 0.8, 0.1)))
    return parts


def _wings(rng: Rng, half: float, material: Material) -> list[Part]:
    """Draw a pair of arms at the two sides of a long part."""
    y, out, rise = rng.uniform(-0.5, 0.5), rng.uniform(0.15, 0.35), rng.uniform(-0.3, 0.3)
    parts = []
    for side in (-1, 1):
        start, end = (0.0, y), (side * (half + out), y + rise)
        reach = math.dist(start, end) / 2 + 0.06
        middle = midpoint(start, end)
        parts.append(limb(item("wing", bar(start, end, 0.05), material, middle, reach, 0.05, 0.05)))
    return parts


def _material(rng: Rng) -> Material:
    kind = rng.uniform()
    if kind < 0.35:
        return moulded(_colour(rng), rng.uniform(0, 0.7))
    if kind < 0.65:
        return steel(rng, str(rng.choice(_FINISHES)), rng.uniform(0, math.pi))
    return _rough(rng) if kind < 0.85 else _patterned(rng)


def _rough(rng: Rng) -> Material:
    return _textured(rng, _ROUGH, 0.1, 0.3)


def _patterned(rng: Rng) -> Material:
    return _textured(rng, _PATTERNS, 0.15, 0.5)


def _textured(rng: Rng, textures: Sequence[str], low: float, high: float) -> Material:
    colour, angle = _colour(rng), float(rng.choice([0, math.pi / 4, math.pi / 2]))
    second = shades(rng, colour, low, high)
    bump, gloss = rng.uniform(0, 0.006), rng.uniform(0, 0.4)
    return Material(colour, second, str(rng.choice(textures)), rng.uniform(6, 14), angle, bump, gloss)


def _colour(rng: Rng) -> colours.Colour:
    return _COLOURS[int(rng.integers(len(_COLOURS)))](rng)


def _hollow(material: Material) -> Material:
    return tinted(material, 0.35, 0.1)


def _inside(shape: Shape, point: Point, margin: float = 0.0) -> bool:
    x, y = (np.full((1, 1), value, np.float32) for value in point)
    return bool(shape(x, y)[0, 0] < margin)


def _turn(point: Point, angle: float) -> Point:
    cos, sin = math.cos(angle), math.sin(angle)
    return cos * point[0] - sin * point[1], sin * point[0] + cos * point[1]


def _mean(points: Sequence[Point]) -> Point:
    x, y = np.mean(points, axis=0).tolist()
    return x, y


_DEFECTS = (*METAL, *BROKEN, *PIECE, "bent part", "burn mark", "cut", "smear", "hole")

INVENTIONS: dict[str, Family] = {
    "assembly": Family(assembly, _DEFECTS, turn=0.3),
    "casting": Family(casting, _DEFECTS, turn=0.3),
    "turned part": Family(turned_part, _DEFECTS, turn=0.3),
    "stamping": Family(stamping, _DEFECTS, turn=0.3),
}
