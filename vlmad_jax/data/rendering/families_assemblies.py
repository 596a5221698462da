"""Families of things put together from several parts. They are seen in training."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.data.rendering import colours
from vlmad_jax.data.rendering.families_parts import moulded, steel
from vlmad_jax.data.rendering.family import METAL, PIECE, PLASTIC, Family, Rng
from vlmad_jax.data.rendering.materials import Material
from vlmad_jax.data.rendering.scene import Part
from vlmad_jax.data.rendering.shapes import Shape, around, bar, box, circle, cut, ellipse, ring, union


def _flat(colour: colours.Colour, gloss: float = 0.3) -> Material:
    return Material(colour, texture="flat", gloss=gloss, mottle=0)


def cable(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    jacket = Material(
        colours.pale(fixed) if fixed.uniform() < 0.5 else colours.dark(fixed), None, "plain", gloss=0.1
    )
    count = int(fixed.integers(3, 6))
    filler = moulded(colours.dark(fixed), 0.1)
    core, start = fixed.uniform(0.22, 0.26), fixed.uniform(0, 6) + varied.uniform(-0.1, 0.1)
    distance = 0.36 if count < 5 else 0.42
    core = min(core, distance * math.sin(math.pi / count) * 0.95)
    copper = colours.hsv(fixed.uniform(0.05, 0.1), fixed.uniform(0.4, 0.7), fixed.uniform(0.6, 0.85))
    strands = Material(copper, colours.scaled(copper, 0.4), "pebbles", 16, 0.0, 0.01, 0.5)
    parts = [
        Part("jacket", circle(0.82), jacket, reach=0.9, bevel=0.04, height=0.02, shadow=0.4, breakable=True),
        Part("filler", circle(0.68), filler, reach=0.75, bevel=0.03, height=-0.02),
    ]
    for k in range(count):
        angle = start + 2 * math.pi * k / count
        place = (distance * math.cos(angle), distance * math.sin(angle))
        insulation = moulded(
            colours.hsv(k / count + 0.03, fixed.uniform(0.5, 0.9), fixed.uniform(0.4, 0.8)), 0.1
        )
        shape = cut(circle(core, place), circle(core * 0.62, place))
        parts.append(Part("wire", circle(core * 0.64, place), strands, place, core, 0.02, 0.01, loose=True))
        parts.append(Part("wire", shape, insulation, place, core, 0.03, 0.02, loose=True, breakable=True))
    return tuple(parts)


def circuit_board(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    hue = fixed.choice([0.33, 0.4, 0.6, 0.0, 0.75])
    mask = colours.hsv(hue, fixed.uniform(0.5, 0.9), fixed.uniform(0.2, 0.45))
    board = Material(mask, colours.scaled(mask, 0.9), "twill", 16, 0.0, 0.001, 0.2)
    trace = _flat(colours.scaled(mask, 1.5), 0.2)
    lanes = []
    for _ in range(int(fixed.integers(5, 9))):
        x, y, length = fixed.uniform(-0.7, 0.7), fixed.uniform(-0.6, 0.6), fixed.uniform(0.2, 0.6)
        corner = (x + length * fixed.choice([-1, 1]), y)
        lanes += [
            bar((x, y), corner, 0.015),
            bar(corner, (corner[0], corner[1] + fixed.uniform(-0.4, 0.4)), 0.015),
        ]
    corners = union(*(circle(0.05, (sx * 0.78, sy * 0.62)) for sx in (-1, 1) for sy in (-1, 1)))
    plate = cut(box(0.9, 0.74, round=0.04), corners)
    parts = [
        Part("board", plate, board, reach=1.2, bevel=0.02, height=0.02, shadow=0.4, breakable=True),
        Part("tracks", union(*lanes), trace, reach=1.0),
    ]
    slots = [(x, y) for x in (-0.55, 0.0, 0.55) for y in (-0.38, 0.05, 0.45)]
    order = fixed.permutation(len(slots))[: int(fixed.integers(5, 8))]
    for rank, index in enumerate(order):
        x, y = slots[int(index)]
        place = (x + fixed.uniform(-0.05, 0.05), y + fixed.uniform(-0.04, 0.04))
        parts += _component(fixed, place, 0 if rank == 0 else int(fixed.integers(0, 3)))
    return tuple(parts)


def _component(rng: Rng, place: tuple[float, float], kind: int) -> list[Part]:
    x, y = place
    if kind == 0:  # a chip with pins
        half = rng.uniform(0.13, 0.18)
        pins = union(*(box(half + 0.06, 0.014, (x, y + k * half * 0.45)) for k in (-1.5, -0.5, 0.5, 1.5)))
        return [
            Part("pins", pins, _flat((0.75, 0.75, 0.72), 0.6), place, 0.35, loose=True),
            Part(
                "chip",
                box(half, half, place, 0.01),
                _flat(colours.dark(rng), 0.2),
                place,
                0.27,
                0.03,
                0.04,
                0.5,
                loose=True,
            ),
        ]
    if kind == 1:  # a resistor with metal ends
        turn = math.pi / 2 * int(rng.integers(0, 2))
        half = rng.uniform(0.1, 0.14)
        return [
            Part(
                "ends",
                box(half, 0.055, place, 0.01, turn),
                _flat((0.78, 0.76, 0.72), 0.6),
                place,
                0.18,
                loose=True,
            ),
            Part(
                "resistor",
                box(half * 0.65, 0.055, place, 0.0, turn),
                _flat(colours.paint(rng)),
                place,
                0.14,
                0.02,
                0.03,
                0.4,
                loose=True,
            ),
        ]
    radius = rng.uniform(0.08, 0.13)
    return [
        Part(
            "capacitor",
            circle(radius, place),
            _flat(colours.metal(rng), 0.6),
            place,
            radius,
            0.05,
            0.06,
            0.5,
            loose=True,
        ),
        Part(
            "band",
            cut(circle(radius * 0.9, place), box(1, 1, (x - 1, y))),
            _flat(colours.dark(rng)),
            place,
            radius,
            loose=True,
        ),
    ]


def zipper(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    colour = colours.paint(fixed)
    tape = Material(colour, colours.scaled(colour, 0.7), "twill", fixed.uniform(12, 16), 0.4, 0.006, 0.02)
    tooth = _flat(colours.metal(fixed) if fixed.uniform() < 0.6 else colours.apart(fixed, colour, 0.3), 0.6)
    count, half = int(fixed.integers(7, 10)), fixed.uniform(0.12, 0.16)
    step = 2.0 / count
    shift = varied.uniform(-step / 2, step / 2)
    parts = [
        Part("tape", box(0.62, 1.3), tape, reach=1.5, shadow=0.3, breakable=False),
        Part("seam", box(0.05, 1.3), _flat(colours.scaled(colour, 0.4), 0.0), reach=1.4),
    ]
    for k in range(count + 1):
        for side in (-1, 1):
            place = (side * half * 0.45, -1 + step * (k + 0.25 * side) + shift)
            parts.append(
                Part(
                    "tooth",
                    box(half, step * 0.2, place, 0.03),
                    tooth,
                    place,
                    half * 1.1,
                    0.03,
                    0.03,
                    loose=True,
                    breakable=True,
                )
            )
    return tuple(parts)


def connector(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    shell = moulded(colours.paint(fixed), 0.2)
    rows, cols = int(fixed.integers(1, 4)), int(fixed.integers(3, 7))
    wide, tall = 0.8, 0.2 + 0.16 * rows
    cavity = moulded(colours.scaled(shell.colour, 0.35), 0.05)
    pin = _flat(colours.hsv(0.12, fixed.uniform(0.1, 0.6), 0.8), 0.8)
    square = fixed.uniform() < 0.5
    parts = [
        Part(
            "housing",
            box(wide, tall, round=0.06),
            shell,
            reach=1.2,
            bevel=0.05,
            height=0.05,
            shadow=0.4,
            breakable=True,
        ),
        Part("cavity", box(wide - 0.1, tall - 0.1, round=0.03), cavity, reach=1.1, bevel=0.04, height=-0.05),
    ]
    for x in np.linspace(-0.58, 0.58, cols).tolist():
        for y in (np.arange(rows) - (rows - 1) / 2).tolist():
            place = (x, 0.28 * y)
            shape = box(0.055, 0.055, place, 0.01) if square else circle(0.06, place)
            parts.append(Part("pin", shape, pin, place, 0.08, 0.03, 0.03, loose=True))
    return tuple(parts)


def label(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    ground = colours.pale(fixed)
    paper = Material(ground, None, "grain", 16, 0.0, 0.0006, 0.05, 0.02)
    ink = _flat(colours.apart(fixed, ground, 0.4), 0.05)
    accent = _flat(colours.apart(fixed, ground, 0.25), 0.05)
    rows = [
        Part("line", _words(fixed, y), ink, (0, y), 0.75, loose=True)
        for y in np.linspace(-0.05, 0.2, int(fixed.integers(2, 4))).tolist()
    ]
    bars = []
    x = -0.6
    while x < 0.1:
        width = fixed.uniform(0.012, 0.035)
        bars.append(box(width, 0.12, (x, 0.42)))
        x += 2 * width + fixed.uniform(0.02, 0.05)
    logo: Shape = (
        ring(0.13, 0.04, (0.45, 0.38)) if fixed.uniform() < 0.5 else ellipse(0.2, 0.12, (0.45, 0.38), 0.3)
    )
    return (
        Part(
            "paper",
            box(0.82, 0.64, round=0.05),
            paper,
            reach=1.1,
            bevel=0.01,
            height=0.006,
            shadow=0.25,
            breakable=True,
        ),
        Part("title", box(0.7, 0.12, (0, -0.38), 0.02), accent, (0, -0.38), 0.75, loose=True),
        *rows,
        Part("bar code", union(*bars), ink, (-0.25, 0.42), 0.5, loose=True),
        Part("logo", logo, accent, (0.45, 0.38), 0.25, loose=True),
    )


def _words(rng: Rng, y: float) -> Shape:
    words, x = [], -0.68
    while x < 0.5:
        half = rng.uniform(0.04, 0.14)
        words.append(box(half, 0.03, (x + half, y), 0.01))
        x += 2 * half + 0.05
    return union(*words)


def integrated_circuit(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    epoxy = Material(colours.dark(fixed), None, "grain", 14, 0.0, 0.0015, 0.15)
    count, wide = int(fixed.integers(4, 8)), fixed.uniform(0.35, 0.5)
    pin = _flat(colours.hsv(0.1, 0.05, fixed.uniform(0.6, 0.8)), 0.7)
    pins = []
    for y in np.linspace(-0.58, 0.58, count).tolist():
        for side in (-1, 1):
            place = (side * (wide + 0.12), y)
            pins.append(
                Part(
                    "pin",
                    box(0.16, 0.04, place, 0.01),
                    pin,
                    place,
                    0.2,
                    0.02,
                    0.02,
                    0.3,
                    loose=True,
                    bendable=True,
                )
            )
    text = _flat(colours.hsv(0.1, 0.05, fixed.uniform(0.5, 0.8)), 0.05)
    marks = union(*(box(0.02, fixed.uniform(0.1, 0.3), (x, 0.05)) for x in (-0.12, 0.0, 0.12)))
    return (
        *pins,
        Part(
            "body",
            box(wide, 0.72, round=0.02),
            epoxy,
            reach=0.95,
            bevel=0.06,
            height=0.05,
            shadow=0.4,
            breakable=True,
        ),
        Part(
            "notch",
            circle(0.06, (-wide + 0.14, -0.55)),
            _flat(colours.scaled(epoxy.colour, 0.5), 0.3),
            (-wide + 0.14, -0.55),
            0.1,
            0.04,
            0.03,
        ),
        Part("print", marks, text, reach=0.5, height=0.05, bevel=0.001, loose=True),
    )


def toothbrush(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    handle = moulded(colours.paint(fixed), 0.5)
    first, second = colours.pale(fixed), colours.paint(fixed)
    parts = [
        Part(
            "head",
            box(0.36, 0.8, round=0.3),
            handle,
            reach=1.0,
            bevel=0.15,
            height=0.08,
            shadow=0.4,
            breakable=True,
        )
    ]
    for j, y in enumerate(np.linspace(-0.55, 0.55, 6).tolist()):
        for i, x in enumerate((-0.19, 0.0, 0.19)):
            colour = first if (i + j) % 2 else second
            bristle = Material(colour, colours.scaled(colour, 0.5), "pebbles", 22, 0.0, 0.01, 0.1, 0.0)
            place = (x + varied.uniform(-0.01, 0.01), y + varied.uniform(-0.01, 0.01))
            parts.append(Part("tuft", circle(0.085, place), bristle, place, 0.09, 0.04, 0.04, loose=True))
    return tuple(parts)


def keypad(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    case = Material(colours.paint(fixed), None, "cast", 10, 0.0, 0.001, 0.15)
    cap = _flat(colours.apart(fixed, case.colour, 0.25), 0.3)
    ink = _flat(colours.apart(fixed, cap.colour, 0.4), 0.05)
    rows, cols = int(fixed.integers(2, 5)), int(fixed.integers(2, 4))
    parts = [
        Part(
            "case",
            box(0.75, 0.82, round=0.1),
            case,
            reach=1.15,
            bevel=0.06,
            height=0.05,
            shadow=0.4,
            breakable=True,
        )
    ]
    half = 0.32 / max(rows, cols) + 0.05
    signs = []
    for x in np.linspace(-0.48, 0.48, cols).tolist():
        for y in np.linspace(-0.55, 0.55, rows).tolist():
            parts.append(
                Part(
                    "key", box(half, half, (x, y), 0.04), cap, (x, y), half * 1.4, 0.04, 0.05, 0.4, loose=True
                )
            )
            signs.append(
                bar((x - half * 0.4, y), (x + half * 0.4, y + half * fixed.uniform(-0.5, 0.5)), 0.025)
            )
    parts.append(Part("signs", union(*signs), ink, reach=0.95, height=0.05, bevel=0.001))
    return tuple(parts)


def transistor(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    body = Material(colours.dark(fixed), None, "grain", 12, 0.0, 0.001, 0.2)
    tab, lead = steel(fixed), _flat(colours.metal(fixed), 0.6)
    legs = [
        Part(
            "leg",
            box(0.035, 0.36, (x, 0.55), 0.01),
            lead,
            (x, 0.55),
            0.38,
            0.03,
            0.03,
            0.3,
            loose=True,
            bendable=True,
            breakable=True,
        )
        for x in (-0.22, 0.0, 0.22)
    ]
    plate = cut(box(0.38, 0.3, (0, -0.58), 0.04), circle(0.1, (0, -0.66)))
    marks = union(*(box(fixed.uniform(0.1, 0.22), 0.02, (0, y)) for y in (-0.12, -0.02, 0.08)))
    return (
        *legs,
        Part("tab", plate, tab, (0, -0.58), 0.5, 0.02, 0.02, 0.3),
        Part("body", box(0.4, 0.3, (0, -0.02), 0.02), body, (0, 0), 0.55, 0.05, 0.05, 0.4, breakable=True),
        Part(
            "print", marks, _flat((0.75, 0.75, 0.7), 0.05), (0, 0), 0.3, height=0.05, bevel=0.001, loose=True
        ),
    )


def flange(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    material = steel(fixed, str(fixed.choice(["turned", "cast"])))
    count = int(fixed.integers(4, 9))
    bores = around(count, 0.6, lambda c: circle(0.07, c))
    head = steel(fixed, "plain")
    angles = [2 * math.pi * k / count for k in range(count)]
    places = [(0.6 * math.cos(a), 0.6 * math.sin(a)) for a in angles]
    screws = [
        Part("screw", cut(circle(0.1, p), circle(0.035, p)), head, p, 0.1, 0.04, 0.05, 0.3, loose=True)
        for p in places
    ]
    return (
        Part(
            "plate",
            cut(circle(0.8), circle(0.28), bores),
            material,
            reach=0.85,
            bevel=0.04,
            height=0.03,
            shadow=0.4,
            breakable=True,
        ),
        Part("collar", ring(0.33, 0.06), material, reach=0.45, bevel=0.04, height=0.06),
        *screws,
    )


ASSEMBLIES: dict[str, Family] = {
    "cable": Family(
        cable, ("missing part", "wrong colour", "misplaced part", "cut", "contamination", "scratch"), turn=3.2
    ),
    "circuit board": Family(
        circuit_board, (*PIECE, "scratch", "contamination", "stain", "burn mark", "glue strip"), turn=0.1
    ),
    "zipper": Family(
        zipper,
        ("missing part", "misplaced part", "broken part", "cut", "stain", "thread", "wrong colour"),
        turn=0.04,
    ),
    "connector": Family(connector, (*PIECE, "crack", "burn mark", "chip", "scratch"), turn=0.1),
    "label": Family(
        label,
        ("smear", "fold", "misplaced part", "missing part", "stain", "scratch", "wrong colour", "cut"),
        turn=0.1,
    ),
    "integrated circuit": Family(
        integrated_circuit,
        ("bent part", "missing part", "scratch", "crack", "chip", "contamination", "stain"),
        turn=0.1,
    ),
    "toothbrush": Family(
        toothbrush, ("missing part", "misplaced part", "wrong colour", "contamination", "thread"), turn=0.1
    ),
    "keypad": Family(keypad, (*PIECE[:3], *PLASTIC), turn=0.08),
    "transistor": Family(
        transistor,
        ("bent part", "missing part", "misplaced part", "broken part", "crack", "scratch", "burn mark"),
        turn=0.1,
    ),
    "flange": Family(flange, (*METAL, "crack", "missing part", "misplaced part"), turn=3.2),
}
