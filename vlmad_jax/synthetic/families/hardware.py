"""Single pieces of metal and rubber."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import BROKEN, METAL, Family, Rng
from vlmad_jax.synthetic.families.finishes import engraved, moulded, steel
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import (
    Shape,
    around,
    bar,
    box,
    circle,
    cut,
    polygon,
    ring,
    toothed,
    union,
)


def bolt(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a bolt."""
    material = steel(fixed)
    half, head, length = fixed.uniform(0.13, 0.2), fixed.uniform(0.28, 0.38), fixed.uniform(0.45, 0.65)
    pitch = fixed.uniform(14, 24)
    thread = Material(
        material.colour, colours.scaled(material.colour, 0.45), "ribs", pitch, math.pi / 2 + 0.12, 0.015, 0.4
    )
    shank = Part(
        "shank",
        box(half, length, (0, 0.22), 0.05),
        thread,
        (0, 0.22),
        0.9,
        0.15,
        0.1,
        0.4,
        bendable=True,
        breakable=True,
    )
    top = Part(
        "head", box(head, 0.14, (0, -0.5), 0.04), material, (0, -0.5), 0.5, 0.08, 0.08, 0.4, breakable=True
    )
    return shank, top


def washer(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a washer."""
    outer = fixed.uniform(0.6, 0.8)
    inner = outer * fixed.uniform(0.4, 0.65)
    shape = ring((outer + inner) / 2, (outer - inner) / 2)
    if fixed.uniform() < 0.4:  # a spring washer is split, a toothed one has teeth
        shape = cut(toothed(int(fixed.integers(12, 24)), outer, 0.06), circle(inner))
    material = steel(fixed, str(fixed.choice(["turned", "brushed", "cast"])))
    return (
        Part(
            "ring",
            shape,
            material,
            reach=1.0,
            bevel=0.05,
            height=0.03,
            shadow=0.4,
            breakable=True,
            bendable=True,
        ),
    )


def gear(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a gear."""
    count, depth = int(fixed.integers(10, 24)), fixed.uniform(0.1, 0.16)
    body = toothed(count, 0.68, depth)
    bore = circle(fixed.uniform(0.1, 0.2))
    openings = [bore]
    if fixed.uniform() < 0.6:
        hole = fixed.uniform(0.08, 0.12)
        openings.append(around(int(fixed.integers(3, 7)), 0.4, lambda c: circle(hole, c)))
    material = steel(fixed, "turned") if fixed.uniform() < 0.7 else moulded(colours.paint(fixed))
    hub_radius = fixed.uniform(0.24, 0.28)
    return (
        Part(
            "wheel",
            cut(body, *openings),
            material,
            reach=0.9,
            bevel=0.04,
            height=0.03,
            shadow=0.4,
            breakable=True,
        ),
        Part(
            "hub", cut(circle(hub_radius), bore), steel(fixed, "turned"), (0, 0), 0.3, 0.05, 0.06, loose=True
        ),
    )


def key(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a key."""
    material = steel(fixed, str(fixed.choice(["brushed", "plain"])))
    bow = (
        polygon(int(fixed.integers(5, 9)), 0.3, (-0.5, 0), 0.3, 0.08)
        if fixed.uniform() < 0.5
        else circle(0.32, (-0.5, 0))
    )
    bow = cut(bow, circle(fixed.uniform(0.06, 0.12), (-0.62, 0)))
    notches = [
        box(0.035, depth, (x, 0.13), 0.0, 0.0)
        for x, depth in zip(
            np.arange(0.1, 0.75, 0.12).tolist(), fixed.uniform(0.03, 0.12, 6).tolist(), strict=True
        )
    ]
    blade = cut(box(0.55, 0.11, (0.25, 0), 0.05), *notches)
    shape = union(bow, blade)
    groove = box(0.45, 0.018, (0.28, -0.04), 0.015)
    return (
        Part(
            "key",
            shape,
            material,
            reach=1.0,
            bevel=0.03,
            height=0.03,
            shadow=0.4,
            breakable=True,
            bendable=True,
        ),
        engraved(material, groove, (0.28, 0), 0.5),
    )


def bearing(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a bearing."""
    race = steel(fixed, "turned")
    shield = moulded(colours.dark(fixed)) if fixed.uniform() < 0.6 else moulded(colours.paint(fixed))
    count, ball = int(fixed.integers(7, 11)), fixed.uniform(0.07, 0.1)
    start = varied.uniform(0, 1)
    angles = start + 2 * np.pi * np.arange(count) / count
    shiny = Material(colours.hsv(0.6, 0.05, 0.65), texture="flat", gloss=0.9, mottle=0)
    places = [(0.52 * math.cos(a), 0.52 * math.sin(a)) for a in angles]
    return (
        Part("cage", ring(0.52, 0.16), shield, reach=0.8, shadow=0.3),
        *(Part("ball", circle(ball, p), shiny, p, ball, ball, ball, loose=True) for p in places),
        Part(
            "outer ring",
            ring(0.74, 0.09),
            race,
            reach=0.9,
            bevel=0.03,
            height=0.04,
            shadow=0.3,
            breakable=True,
        ),
        Part("inner ring", ring(0.33, 0.08), race, reach=0.5, bevel=0.03, height=0.04, breakable=True),
    )


def spring(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a spring."""
    count, half, wire = int(fixed.integers(6, 10)), fixed.uniform(0.22, 0.34), fixed.uniform(0.035, 0.055)
    material = Material(colours.metal(fixed), texture="flat", gloss=0.6, mottle=0)
    back = Material(colours.scaled(material.colour, 0.5), texture="flat", gloss=0.2, mottle=0)
    step = 1.5 / count
    rows = [-0.75 + step * k for k in range(count + 1)]
    front = union(*(bar((-half, y), (half, y + step / 2), wire) for y in rows[:-1]))
    behind = union(*(bar((half, y + step / 2), (-half, y + step), wire) for y in rows[:-1]))
    return (
        Part(
            "back",
            behind,
            back,
            reach=0.95,
            bevel=wire,
            height=wire,
            shadow=0.3,
            bendable=True,
            breakable=True,
        ),
        Part(
            "coil",
            front,
            material,
            reach=0.95,
            bevel=wire,
            height=2 * wire,
            shadow=0.3,
            bendable=True,
            breakable=True,
        ),
    )


def coin(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a coin."""
    material = steel(fixed, "cast")
    raised = Material(colours.scaled(material.colour, 1.15), texture="flat", gloss=0.5, mottle=0)
    figure: Shape = polygon(int(fixed.integers(3, 7)), 0.25, (0, 0), fixed.uniform(0, 1))
    figure = cut(figure, circle(0.12))
    beads = around(int(fixed.integers(14, 26)), 0.55, lambda c: circle(0.035, c))
    return (
        Part("coin", circle(0.75), material, reach=0.8, bevel=0.04, height=0.03, shadow=0.4, breakable=True),
        Part("rim", ring(0.7, 0.04), raised, reach=0.8, bevel=0.03, height=0.03),
        Part("figure", figure, raised, reach=0.4, bevel=0.04, height=0.04, loose=True),
        Part("beads", beads, raised, reach=0.65, bevel=0.03, height=0.03),
    )


def screw_head(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a screw head."""
    material = steel(fixed, "turned")
    arms = int(fixed.choice([1, 2, 3]))
    length, width = fixed.uniform(0.35, 0.5), fixed.uniform(0.05, 0.08)
    angles = [math.pi * k / arms for k in range(arms)]
    slot = union(*(box(length, width, angle=a) for a in angles))
    sunk = Material(colours.scaled(material.colour, 0.35), texture="flat", gloss=0.1, mottle=0)
    return (
        Part("head", circle(0.75), material, reach=0.8, bevel=0.3, height=0.12, shadow=0.4, breakable=True),
        Part("slot", slot, sunk, reach=0.6, bevel=0.04, height=0.05),
    )


def gasket(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a gasket."""
    colour = colours.dark(fixed) if fixed.uniform() < 0.6 else colours.paint(fixed)
    material = Material(colour, colours.scaled(colour, 1.2), "grain", 10, 0, 0.002, 0.1)
    wide, tall = fixed.uniform(0.6, 0.8), fixed.uniform(0.4, 0.7)
    ears = union(*(circle(0.13, (sx * wide * 0.85, sy * tall * 0.85)) for sx in (-1, 1) for sy in (-1, 1)))
    outer = union(box(wide, tall, round=0.2), ears)
    bores = union(*(circle(0.05, (sx * wide * 0.85, sy * tall * 0.85)) for sx in (-1, 1) for sy in (-1, 1)))
    shape = cut(outer, box(wide - 0.24, tall - 0.22, round=0.12), bores)
    return (
        Part(
            "gasket",
            shape,
            material,
            reach=1.15,
            bevel=0.03,
            height=0.02,
            shadow=0.3,
            breakable=True,
            bendable=True,
        ),
    )


def flange(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a flange."""
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


HARDWARE: dict[str, Family] = {
    "bolt": Family(bolt, (*METAL, "broken part", "bent part"), turn=0.5),
    "washer": Family(washer, (*METAL, "crack", "broken part", "bent part"), turn=3.2),
    "gear": Family(gear, (*METAL, *BROKEN, "missing part", "misplaced part"), turn=3.2),
    "key": Family(key, (*METAL, "bent part", "broken part"), turn=0.5),
    "bearing": Family(bearing, (*METAL, "crack", "missing part", "wrong colour"), turn=3.2),
    "spring": Family(spring, ("bent part", "broken part", "rust", "contamination"), turn=0.3),
    "coin": Family(coin, (*METAL, "broken part", "misplaced part", "missing part"), turn=0.6),
    "screw head": Family(screw_head, (*METAL, *BROKEN), turn=3.2),
    "gasket": Family(
        gasket, ("cut", "broken part", "bent part", "contamination", "scratch", "stain"), turn=0.2
    ),
    "flange": Family(flange, (*METAL, "crack", "missing part", "misplaced part"), turn=3.2),
}
