"""Electrical and electronic products, most of them with many parts."""

from __future__ import annotations

import itertools
import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import PIECE, PLACED, PLASTIC, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel, tinted
from vlmad_jax.synthetic.families.parts import brittle, flexible, item, limb, mark, solid
from vlmad_jax.synthetic.grid import Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import bar, box, circle, circular, cut, lines, overlap, union


def solar_cell(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a solar cell."""
    glowing = fixed.uniform() < 0.5  # the image of an infrared camera under current, or a visible one
    if glowing:
        base = colours.hsv(0.6, 0.0, fixed.uniform(0.5, 0.75))
        metal = colours.scaled(base, 0.35)
    else:
        base = colours.hsv(fixed.uniform(0.58, 0.68), fixed.uniform(0.3, 0.7), fixed.uniform(0.2, 0.45))
        metal = colours.hsv(0.1, 0.05, fixed.uniform(0.6, 0.8))
    texture = str(fixed.choice(["crystals", "plain", "marble"]))
    second = colours.scaled(base, fixed.uniform(0.65, 0.85))
    body = Material(base, second, texture, fixed.uniform(3, 6), fixed.uniform(0, 3), 0.0, 0.2, 0.08)
    wire = lacquer(metal, 0.3)
    count = int(fixed.integers(2, 6))
    bars = tuple(
        item("busbar", box(0.022, 0.96, (x, 0.0)), wire, (x, 0.0), 1.0, shadow=0)
        for x in np.linspace(-1, 1, 2 * count + 1)[1::2].tolist()
    )
    fingers = Part("fingers", lines(fixed.uniform(0.07, 0.14), 0.006), wire, reach=1.5, opacity=0.6)
    cell = solid("cell", box(0.97, 0.97, round=fixed.choice([0.02, 0.2])), body, 1.5, 0.02, shadow=0)
    return (cell, fingers, *bars)


def cable(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a cable."""
    jacket = Material(colours.pale(fixed) if fixed.uniform() < 0.5 else colours.dark(fixed))
    count = int(fixed.integers(3, 6))
    filler = moulded(colours.dark(fixed), 0.1)
    core, start = fixed.uniform(0.22, 0.26), fixed.uniform(0, 6) + varied.uniform(-0.1, 0.1)
    distance = 0.36 if count < 5 else 0.42
    core = min(core, distance * math.sin(math.pi / count) * 0.95)
    copper = colours.hsv(fixed.uniform(0.05, 0.1), fixed.uniform(0.4, 0.7), fixed.uniform(0.6, 0.85))
    strands = Material(copper, colours.scaled(copper, 0.4), "pebbles", 16, 0.0, 0.01, 0.5)
    parts = [
        solid("jacket", circle(0.82), jacket, 0.9, 0.04, 0.02),
        Part("filler", circle(0.68), filler, reach=0.75, bevel=0.03, height=-0.02),
    ]
    for k, (_, place) in enumerate(circular(count, distance, start)):
        hue = k / count + 0.03
        insulation = moulded(colours.hsv(hue, fixed.uniform(0.5, 0.9), fixed.uniform(0.4, 0.8)), 0.1)
        shape = cut(circle(core, place), circle(core * 0.62, place))
        parts.append(item("wire", circle(core * 0.64, place), strands, place, core, 0.02, 0.01, 0))
        parts.append(brittle(item("wire", shape, insulation, place, core, 0.03, 0.02, 0)))
    return tuple(parts)


def circuit_board(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a circuit board."""
    hue = fixed.choice([0.33, 0.4, 0.6, 0.0, 0.75])
    mask = colours.hsv(hue, fixed.uniform(0.5, 0.9), fixed.uniform(0.2, 0.45))
    board = Material(mask, colours.scaled(mask, 0.9), "twill", 16, 0.0, 0.001, 0.2)
    trace = lacquer(colours.scaled(mask, 1.5), 0.2)
    lanes = []
    for _ in range(int(fixed.integers(5, 9))):
        x, y, length = fixed.uniform(-0.7, 0.7), fixed.uniform(-0.6, 0.6), fixed.uniform(0.2, 0.6)
        corner = (x + length * fixed.choice([-1, 1]), y)
        end = (corner[0], corner[1] + fixed.uniform(-0.4, 0.4))
        lanes += [bar((x, y), corner, 0.015), bar(corner, end, 0.015)]
    corners = union(*(circle(0.05, (sx * 0.78, sy * 0.62)) for sx in (-1, 1) for sy in (-1, 1)))
    plate = cut(box(0.9, 0.74, round=0.04), corners)
    parts = [
        solid("board", plate, board, 1.2, 0.02, 0.02),
        Part("tracks", overlap(union(*lanes), plate), trace, reach=1.0),
    ]
    slots = [(x, y) for x in (-0.55, 0.0, 0.55) for y in (-0.38, 0.05, 0.45)]
    order = fixed.permutation(len(slots))[: int(fixed.integers(5, 8))]
    for rank, index in enumerate(order):
        x, y = slots[int(index)]
        place = (x + fixed.uniform(-0.05, 0.05), y + fixed.uniform(-0.04, 0.04))
        parts += _component(fixed, place, 0 if rank == 0 else int(fixed.integers(0, 3)))
    return tuple(parts)


def _component(rng: Rng, place: Point, kind: int) -> list[Part]:
    x, y = place
    if kind == 0:  # a chip with pins
        half = rng.uniform(0.13, 0.18)
        pins = union(*(box(half + 0.06, 0.014, (x, y + k * half * 0.45)) for k in (-1.5, -0.5, 0.5, 1.5)))
        epoxy = lacquer(colours.dark(rng), 0.2)
        return [
            item("pins", pins, lacquer((0.75, 0.75, 0.72), 0.6), place, 0.35, shadow=0),
            item("chip", box(half, half, place, 0.01), epoxy, place, 0.27, 0.03, 0.04, 0.5),
        ]
    if kind == 1:  # a resistor with metal ends
        turn = math.pi / 2 * int(rng.integers(0, 2))
        half = rng.uniform(0.1, 0.14)
        ends, paint = box(half, 0.055, place, 0.01, turn), lacquer(colours.paint(rng))
        return [
            item("ends", ends, lacquer((0.78, 0.76, 0.72), 0.6), place, 0.18, shadow=0),
            item("resistor", box(half * 0.65, 0.055, place, 0.0, turn), paint, place, 0.14, 0.02, 0.03),
        ]
    radius = rng.uniform(0.08, 0.13)
    can, band = lacquer(colours.metal(rng), 0.6), cut(circle(radius * 0.9, place), box(1, 1, (x - 1, y)))
    return [
        item("capacitor", circle(radius, place), can, place, radius, 0.05, 0.06, 0.5),
        item("band", band, lacquer(colours.dark(rng)), place, radius, shadow=0),
    ]


def connector(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a connector."""
    shell = moulded(colours.paint(fixed), 0.2)
    rows, cols = int(fixed.integers(1, 4)), int(fixed.integers(3, 7))
    wide, tall = 0.8, 0.2 + 0.16 * rows
    cavity = moulded(colours.scaled(shell.colour, 0.35), 0.05)
    pin = lacquer(colours.hsv(0.12, fixed.uniform(0.1, 0.6), 0.8), 0.8)
    square = fixed.uniform() < 0.5
    parts = [
        solid("housing", box(wide, tall, round=0.06), shell, 1.2, 0.05, 0.05),
        Part("cavity", box(wide - 0.1, tall - 0.1, round=0.03), cavity, reach=1.1, bevel=0.04, height=-0.05),
    ]
    xs, ys = np.linspace(-0.58, 0.58, cols).tolist(), (0.28 * (np.arange(rows) - (rows - 1) / 2)).tolist()
    for place in itertools.product(xs, ys):
        shape = box(0.055, 0.055, place, 0.01) if square else circle(0.06, place)
        parts.append(item("pin", shape, pin, place, 0.08, 0.03, 0.03, 0))
    return tuple(parts)


def integrated_circuit(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of an integrated circuit."""
    epoxy = Material(colours.dark(fixed), None, "grain", 14, 0.0, 0.0015, 0.15)
    count, wide = int(fixed.integers(4, 8)), fixed.uniform(0.35, 0.5)
    pin = lacquer(colours.hsv(0.1, 0.05, fixed.uniform(0.6, 0.8)), 0.7)
    pins = []
    for y, side in itertools.product(np.linspace(-0.58, 0.58, count).tolist(), (-1, 1)):
        place = (side * (wide + 0.12), y)
        pins.append(flexible(item("pin", box(0.16, 0.04, place, 0.01), pin, place, 0.2, 0.02, 0.02, 0.3)))
    text = lacquer(colours.hsv(0.1, 0.05, fixed.uniform(0.5, 0.8)), 0.05)
    marks = union(*(box(0.02, fixed.uniform(0.1, 0.3), (x, 0.05)) for x in (-0.12, 0.0, 0.12)))
    corner = (-wide + 0.14, -0.55)
    return (
        *pins,
        solid("body", box(wide, 0.72, round=0.02), epoxy, 0.95, 0.06, 0.05),
        Part("notch", circle(0.06, corner), tinted(epoxy, 0.5, 0.3), corner, 0.1, 0.04, 0.03),
        mark("print", marks, text, (0, 0), 0.5),
    )


def keypad(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a keypad."""
    case = Material(colours.paint(fixed), None, "cast", 10, 0.0, 0.001, 0.15)
    cap = lacquer(colours.distinct(fixed, case.colour, 0.25), 0.3)
    ink = lacquer(colours.distinct(fixed, cap.colour, 0.4), 0.05)
    rows, cols = int(fixed.integers(2, 5)), int(fixed.integers(2, 4))
    parts = [solid("case", box(0.75, 0.82, round=0.1), case, 1.15, 0.06, 0.05)]
    half = 0.32 / max(rows, cols) + 0.05
    signs = []
    xs, ys = np.linspace(-0.48, 0.48, cols).tolist(), np.linspace(-0.55, 0.55, rows).tolist()
    for x, y in itertools.product(xs, ys):
        parts.append(item("key", box(half, half, (x, y), 0.04), cap, (x, y), half * 1.4, 0.04, 0.05))
        end = (x + half * 0.4, y + half * fixed.uniform(-0.5, 0.5))
        signs.append(bar((x - half * 0.4, y), end, 0.025))
    parts.append(Part("signs", union(*signs), ink, reach=0.95, printed=True))
    return tuple(parts)


def transistor(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a transistor."""
    body = Material(colours.dark(fixed), None, "grain", 12, 0.0, 0.001, 0.2)
    tab, lead = steel(fixed), lacquer(colours.metal(fixed), 0.6)
    legs = [
        limb(item("leg", box(0.035, 0.36, (x, 0.55), 0.01), lead, (x, 0.55), 0.38, 0.03, 0.03, 0.3))
        for x in (-0.22, 0.0, 0.22)
    ]
    plate = cut(box(0.38, 0.3, (0, -0.58), 0.04), circle(0.1, (0, -0.66)))
    marks = union(*(box(fixed.uniform(0.1, 0.22), 0.02, (0, y)) for y in (-0.12, -0.02, 0.08)))
    return (
        *legs,
        Part("tab", plate, tab, (0, -0.58), 0.5, 0.02, 0.02, 0.3),
        solid("body", box(0.4, 0.3, (0, -0.02), 0.02), body, 0.55, 0.05, 0.05),
        mark("print", marks, lacquer((0.75, 0.75, 0.7), 0.05), (0, 0), 0.3),
    )


ELECTRONICS: dict[str, Family] = {
    "solar cell": Family(
        solar_cell,
        (
            "crack",
            "scratch",
            "broken part",
            "discoloration",
            "burn mark",
            "missing part",
            "misplaced part",
            "smear",
        ),
        turn=0.02,
    ),
    "cable": Family(
        cable, ("missing part", "wrong colour", "misplaced part", "cut", "contamination", "scratch"), turn=3.2
    ),
    "circuit board": Family(
        circuit_board, (*PIECE, "scratch", "contamination", "stain", "burn mark", "glue strip"), turn=0.1
    ),
    "connector": Family(connector, (*PIECE, "crack", "burn mark", "chip", "scratch"), turn=0.1),
    "integrated circuit": Family(
        integrated_circuit,
        ("bent part", "missing part", "scratch", "crack", "chip", "contamination", "stain"),
        turn=0.1,
    ),
    "keypad": Family(keypad, (*PLACED, *PLASTIC), turn=0.08),
    "transistor": Family(
        transistor,
        ("bent part", "missing part", "misplaced part", "broken part", "crack", "scratch", "burn mark"),
        turn=0.1,
    ),
}
