"""Single pieces of metal and rubber."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import BROKEN, LIMB, METAL, Family, Rng
from vlmad_jax.synthetic.families.finishes import lacquer, moulded, steel, tinted
from vlmad_jax.synthetic.families.parts import brittle, engraved, item, limb, solid
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import (
    Shape,
    around,
    bar,
    box,
    circle,
    circular,
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
    pitch, dark = fixed.uniform(14, 24), colours.scaled(material.colour, 0.45)
    thread = Material(material.colour, dark, "ribs", pitch, math.pi / 2 + 0.12, 0.015, 0.4)
    shank, top = box(half, length, (0, 0.22), 0.05), box(head, 0.14, (0, -0.5), 0.04)
    return (
        limb(Part("shank", shank, thread, (0, 0.22), 0.9, 0.15, 0.1, 0.4)),
        brittle(Part("head", top, material, (0, -0.5), 0.5, 0.08, 0.08, 0.4)),
    )


def washer(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a washer."""
    outer = fixed.uniform(0.6, 0.8)
    inner = outer * fixed.uniform(0.4, 0.65)
    shape = ring((outer + inner) / 2, (outer - inner) / 2)
    if fixed.uniform() < 0.4:  # a spring washer is split, a toothed one has teeth
        shape = cut(toothed(int(fixed.integers(12, 24)), outer, 0.06), circle(inner))
    material = steel(fixed, str(fixed.choice(["turned", "brushed", "cast"])))
    return (limb(solid("ring", shape, material, 1.0, 0.05, 0.03)),)


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
        solid("wheel", cut(body, *openings), material, 0.9, 0.04, 0.03),
        item("hub", cut(circle(hub_radius), bore), steel(fixed, "turned"), (0, 0), 0.3, 0.05, 0.06, 0),
    )


def key(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a key."""
    material = steel(fixed, str(fixed.choice(["brushed", "plain"])))
    bow = circle(0.32, (-0.5, 0))
    if fixed.uniform() < 0.5:
        bow = polygon(int(fixed.integers(5, 9)), 0.3, (-0.5, 0), 0.3, 0.08)
    bow = cut(bow, circle(fixed.uniform(0.06, 0.12), (-0.62, 0)))
    columns, depths = np.arange(0.1, 0.75, 0.12).tolist(), fixed.uniform(0.03, 0.12, 6).tolist()
    notches = [box(0.035, depth, (x, 0.13)) for x, depth in zip(columns, depths, strict=True)]
    blade = cut(box(0.55, 0.11, (0.25, 0), 0.05), *notches)
    shape = union(bow, blade)
    groove = box(0.45, 0.018, (0.28, -0.04), 0.015)
    return (limb(solid("key", shape, material, 1.0, 0.03, 0.03)), engraved(material, groove, (0.28, 0), 0.5))


def bearing(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a bearing."""
    race = steel(fixed, "turned")
    shield = moulded(colours.dark(fixed)) if fixed.uniform() < 0.6 else moulded(colours.paint(fixed))
    count, ball = int(fixed.integers(7, 11)), fixed.uniform(0.07, 0.1)
    shiny = lacquer(colours.hsv(0.6, 0.05, 0.65), 0.9)
    places = [place for _, place in circular(count, 0.52, varied.uniform(0, 1))]
    return (
        Part("cage", ring(0.52, 0.16), shield, reach=0.8, shadow=0.3),
        *(item("ball", circle(ball, p), shiny, p, ball, ball, ball, 0) for p in places),
        solid("outer ring", ring(0.74, 0.09), race, 0.9, 0.03, 0.04, 0.3),
        solid("inner ring", ring(0.33, 0.08), race, 0.5, 0.03, 0.04, 0),
    )


def spring(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a spring."""
    count, half, wire = int(fixed.integers(6, 10)), fixed.uniform(0.22, 0.34), fixed.uniform(0.035, 0.055)
    material = lacquer(colours.metal(fixed), 0.6)
    back = tinted(material, 0.5, 0.2)
    step = 1.5 / count
    rows = [-0.75 + step * k for k in range(count + 1)]
    front = union(*(bar((-half, y), (half, y + step / 2), wire) for y in rows[:-1]))
    behind = union(*(bar((half, y + step / 2), (-half, y + step), wire) for y in rows[:-1]))
    return (
        limb(solid("back", behind, back, 0.95, wire, wire, 0.3)),
        limb(solid("coil", front, material, 0.95, wire, 2 * wire, 0.3)),
    )


def coin(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a coin."""
    material = steel(fixed, "cast")
    raised = tinted(material, 1.15, 0.5)
    figure: Shape = polygon(int(fixed.integers(3, 7)), 0.25, (0, 0), fixed.uniform(0, 1))
    figure = cut(figure, circle(0.12))
    beads = around(int(fixed.integers(14, 26)), 0.55, lambda c: circle(0.035, c))
    return (
        solid("coin", circle(0.75), material, 0.8, 0.04, 0.03),
        Part("rim", ring(0.7, 0.04), raised, reach=0.8, bevel=0.03, height=0.03),
        item("figure", figure, raised, (0, 0), 0.4, 0.04, 0.04, 0),
        Part("beads", beads, raised, reach=0.65, bevel=0.03, height=0.03),
    )


def screw_head(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a screw head."""
    material = steel(fixed, "turned")
    arms = int(fixed.choice([1, 2, 3]))
    length, width = fixed.uniform(0.35, 0.5), fixed.uniform(0.05, 0.08)
    slot = union(*(box(length, width, angle=math.pi * k / arms) for k in range(arms)))
    sunk = tinted(material, 0.35, 0.1)
    return (
        solid("head", circle(0.75), material, 0.8, 0.3, 0.12),
        Part("slot", slot, sunk, reach=0.6, bevel=0.04, height=0.05),
    )


def gasket(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a gasket."""
    colour = colours.dark(fixed) if fixed.uniform() < 0.6 else colours.paint(fixed)
    material = Material(colour, colours.scaled(colour, 1.2), "grain", 10, 0, 0.002, 0.1)
    wide, tall = fixed.uniform(0.6, 0.8), fixed.uniform(0.4, 0.7)
    corners = [(sx * wide * 0.85, sy * tall * 0.85) for sx in (-1, 1) for sy in (-1, 1)]
    outer = union(box(wide, tall, round=0.2), *(circle(0.13, p) for p in corners))
    bores = [circle(0.05, p) for p in corners]
    shape = cut(outer, box(wide - 0.24, tall - 0.22, round=0.12), *bores)
    return (limb(solid("gasket", shape, material, 1.15, 0.03, 0.02, 0.3)),)


def flange(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a flange."""
    material = steel(fixed, str(fixed.choice(["turned", "cast"])))
    count = int(fixed.integers(4, 9))
    places = [place for _, place in circular(count, 0.6)]
    plate = cut(circle(0.8), circle(0.28), *(circle(0.07, p) for p in places))
    head = steel(fixed, "plain")
    return (
        solid("plate", plate, material, 0.85, 0.04, 0.03),
        Part("collar", ring(0.33, 0.06), material, reach=0.45, bevel=0.04, height=0.06),
        *(
            item("screw", cut(circle(0.1, p), circle(0.035, p)), head, p, 0.1, 0.04, 0.05, 0.3)
            for p in places
        ),
    )


HARDWARE: dict[str, Family] = {
    "bolt": Family(bolt, (*METAL, "broken part", "bent part"), turn=0.5),
    "washer": Family(washer, (*METAL, "crack", "broken part", "bent part"), turn=3.2),
    "gear": Family(gear, (*METAL, *BROKEN, "missing part", "misplaced part"), turn=3.2),
    "key": Family(key, (*METAL, *LIMB), turn=0.5),
    "bearing": Family(bearing, (*METAL, "crack", "missing part", "wrong colour"), turn=3.2),
    "spring": Family(spring, (*LIMB, "rust", "contamination"), turn=0.3),
    "coin": Family(coin, (*METAL, "broken part", "misplaced part", "missing part"), turn=0.6),
    "screw head": Family(screw_head, (*METAL, *BROKEN), turn=3.2),
    "gasket": Family(
        gasket, ("cut", "broken part", "bent part", "contamination", "scratch", "stain"), turn=0.2
    ),
    "flange": Family(flange, (*METAL, "crack", "missing part", "misplaced part"), turn=3.2),
}
