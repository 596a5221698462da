"""Families of single pieces that lie on a backdrop. They are seen in training."""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.data.rendering import colours
from vlmad_jax.data.rendering.family import METAL, PLASTIC, Family, Rng
from vlmad_jax.data.rendering.materials import Material
from vlmad_jax.data.rendering.scene import Part
from vlmad_jax.data.rendering.shapes import (
    Shape,
    around,
    bar,
    box,
    circle,
    cut,
    ellipse,
    polygon,
    ring,
    toothed,
    union,
)


def steel(rng: Rng, texture: str = "brushed", angle: float = 0.0) -> Material:
    """A metal with some texture."""
    colour = colours.metal(rng)
    second = colours.scaled(colour, rng.uniform(0.75, 0.9))
    return Material(colour, second, texture, rng.uniform(6, 12), angle, 0.0015, rng.uniform(0.2, 0.6))


def moulded(colour: colours.Colour, gloss: float = 0.3) -> Material:
    """A plastic of one colour."""
    return Material(colour, None, "plain", gloss=gloss)


def engraved(material: Material, shape: Shape, centre: tuple[float, float], reach: float) -> Part:
    """Marks pressed into a material."""
    lower = colours.scaled(material.colour, 0.6)
    return Part(
        "mark", shape, Material(lower, texture="flat", gloss=0.1, mottle=0), centre, reach, 0.02, -0.015
    )


def bolt(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
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


def bottle(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    glass = colours.hsv(fixed.uniform(0.05, 0.6), fixed.uniform(0.2, 0.8), fixed.uniform(0.15, 0.5))
    radius = fixed.uniform(0.7, 0.82)
    mouth = radius * fixed.uniform(0.5, 0.65)
    rim = Material(colours.scaled(glass, 1.5), colours.scaled(glass, 1.1), "plain", gloss=0.8)
    wall = Material(glass, colours.scaled(glass, 0.7), "plain", gloss=0.8)
    inside = Material(colours.scaled(glass, 0.3), colours.scaled(glass, 0.45), "plain", gloss=0.3)
    return (
        Part("wall", circle(radius), wall, reach=0.9, bevel=0.2, height=0.12, shadow=0.3, breakable=True),
        Part("mouth", circle(mouth), inside, reach=0.7, bevel=0.1, height=-0.08),
        Part("rim", ring(mouth + 0.03, 0.05), rim, reach=0.8, bevel=0.05, height=0.06, breakable=True),
    )


def capsule(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    half, length = fixed.uniform(0.25, 0.34), fixed.uniform(0.4, 0.5)
    left, right = colours.paint(fixed), colours.pale(fixed) if fixed.uniform() < 0.5 else colours.paint(fixed)
    whole = bar((-length, 0), (length, 0), half)
    cap = cut(bar((-length, 0), (length, 0), half + 0.02), box(1, 1, (1.02, 0)))
    printed = moulded(colours.apart(fixed, right), 0.1)
    marks = union(*(box(0.03, 0.07, (0.2 + 0.11 * k, 0), 0.01) for k in range(int(fixed.integers(2, 5)))))
    return (
        Part(
            "body",
            whole,
            moulded(right, 0.6),
            reach=0.95,
            bevel=half,
            height=half * 0.8,
            shadow=0.4,
            breakable=True,
        ),
        Part("cap", cap, moulded(left, 0.6), (-0.4, 0), 0.6, half, half * 0.8, breakable=True, loose=True),
        Part("print", marks, printed, (0.36, 0), 0.4, height=half * 0.78, bevel=0.001, loose=True),
    )


def tablet(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    colour = colours.pale(fixed)
    material = Material(colour, colours.scaled(colour, 0.93), "grain", 16, 0.0, 0.002, 0.1)
    radius = fixed.uniform(0.55, 0.75)
    shape = circle(radius) if fixed.uniform() < 0.6 else ellipse(radius, radius * 0.6)
    reach = radius * 0.55
    score = bar((-reach, 0), (reach, 0), 0.02)
    if fixed.uniform() < 0.4:
        score = union(score, bar((0, -reach), (0, reach), 0.02))
    return (
        Part("tablet", shape, material, reach=0.9, bevel=0.2, height=0.12, shadow=0.4, breakable=True),
        engraved(material, score, (0, 0), 0.6),
    )


def key(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
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
    count, half, wire = int(fixed.integers(6, 10)), fixed.uniform(0.22, 0.34), fixed.uniform(0.035, 0.055)
    material = Material(colours.metal(fixed), texture="flat", gloss=0.6, mottle=0)
    back = Material(colours.scaled(material.colour, 0.5), texture="flat", gloss=0.2, mottle=0)
    step = 1.5 / count
    rows = [-0.75 + step * k for k in range(count + 1)]
    front = union(*(bar((-half, y), (half, y + step / 2), wire) for y in rows[:-1]))
    behind = union(*(bar((half, y + step / 2), (-half, y + step), wire) for y in rows[:-1]))
    common = {"reach": 0.95, "bevel": wire, "bendable": True, "breakable": True}
    return (
        Part("back", behind, back, height=wire, shadow=0.3, **common),
        Part("coil", front, material, height=2 * wire, shadow=0.3, **common),
    )


def button(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    radius = fixed.uniform(0.6, 0.75)
    count = int(fixed.choice([2, 4]))
    hole = fixed.uniform(0.06, 0.09)
    openings = around(count, 0.18, lambda c: circle(hole, c), fixed.uniform(0, 1))
    colour = colours.paint(fixed)
    texture = str(fixed.choice(["plain", "marble", "turned"]))
    material = Material(colour, colours.scaled(colour, 0.8), texture, 4, 0.0, 0.0, 0.5)
    return (
        Part(
            "disc",
            cut(circle(radius), openings),
            material,
            reach=0.85,
            bevel=0.1,
            height=0.07,
            shadow=0.4,
            breakable=True,
        ),
        engraved(material, ring(radius * 0.7, 0.025), (0, 0), 0.6),
    )


def lens(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    mount = moulded(colours.dark(fixed), 0.3)
    tint = colours.hsv(fixed.uniform(0.4, 0.8), fixed.uniform(0.1, 0.5), fixed.uniform(0.3, 0.7))
    glass = Material(tint, colours.scaled(tint, 0.8), "plain", gloss=0.9)
    radius = fixed.uniform(0.45, 0.6)
    return (
        Part("mount", circle(0.8), mount, reach=0.85, bevel=0.05, height=0.05, shadow=0.4, breakable=True),
        Part(
            "ring",
            ring(radius + 0.06, 0.04),
            steel(fixed, "turned"),
            reach=0.8,
            bevel=0.03,
            height=0.02,
            loose=True,
        ),
        Part("glass", circle(radius), glass, reach=0.7, bevel=radius, height=0.15, breakable=True),
    )


def coin(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
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


def biscuit(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    colour = colours.hsv(fixed.uniform(0.07, 0.11), fixed.uniform(0.4, 0.65), fixed.uniform(0.55, 0.8))
    material = Material(
        colour, colours.scaled(colour, 0.75), "grain", fixed.uniform(5, 10), 0.0, 0.004, 0.03, 0.06
    )
    outline = (
        box(0.7, 0.55, round=0.15)
        if fixed.uniform() < 0.5
        else toothed(int(fixed.integers(14, 24)), 0.7, 0.06)
    )
    pitch = 0.26
    spots = [(pitch * i, pitch * j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    docked = union(*(circle(0.03, p) for p in spots))
    return (
        Part("biscuit", outline, material, reach=0.95, bevel=0.1, height=0.08, shadow=0.4, breakable=True),
        engraved(material, docked, (0, 0), 0.45),
    )


def nut_kernel(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    colour = colours.hsv(fixed.uniform(0.04, 0.1), fixed.uniform(0.5, 0.8), fixed.uniform(0.3, 0.6))
    angle = varied.uniform(-0.3, 0.3)
    shell = Material(
        colour,
        colours.scaled(colour, 1.35),
        "brushed",
        fixed.uniform(4, 7),
        math.pi / 2 + angle,
        0.004,
        0.2,
        0.08,
    )
    wide, tall = (
        fixed.uniform(0.5, 0.62) * varied.uniform(0.94, 1.06),
        fixed.uniform(0.6, 0.7) * varied.uniform(0.94, 1.06),
    )
    base = Material(colours.scaled(colour, 1.6), colours.scaled(colour, 1.2), "grain", 8, 0, 0.003, 0.05)
    return (
        Part(
            "shell",
            ellipse(wide, tall, angle=angle),
            shell,
            reach=0.85,
            bevel=0.5,
            height=0.35,
            shadow=0.4,
            breakable=True,
        ),
        Part("base", ellipse(0.3, 0.14, (0, 0.42), angle), base, (0, 0.42), 0.35, 0.1, 0.27),
    )


def gasket(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
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


_BROKEN = ("crack", "chip", "broken part")

PARTS: dict[str, Family] = {
    "bolt": Family(bolt, (*METAL, "broken part", "bent part"), turn=0.5),
    "washer": Family(washer, (*METAL, "crack", "broken part", "bent part"), turn=3.2),
    "gear": Family(gear, (*METAL, *_BROKEN, "missing part", "misplaced part"), turn=3.2),
    "bottle": Family(bottle, ("contamination", "stain", "scratch", *_BROKEN), turn=3.2),
    "capsule": Family(
        capsule, (*PLASTIC, *_BROKEN, "misplaced part", "missing part", "wrong colour", "hole"), turn=0.3
    ),
    "tablet": Family(
        tablet, (*_BROKEN, "contamination", "stain", "discoloration", "scratch", "pinholes"), turn=3.2
    ),
    "key": Family(key, (*METAL, "bent part", "broken part"), turn=0.5),
    "bearing": Family(bearing, (*METAL, "crack", "missing part", "wrong colour"), turn=3.2),
    "spring": Family(spring, ("bent part", "broken part", "rust", "contamination"), turn=0.3),
    "button": Family(button, (*_BROKEN, *PLASTIC), turn=3.2),
    "lens": Family(
        lens, ("scratch", "crack", "chip", "stain", "contamination", "thread", "glue strip"), turn=3.2
    ),
    "coin": Family(coin, (*METAL, "broken part", "misplaced part", "missing part"), turn=0.6),
    "screw head": Family(screw_head, (*METAL, *_BROKEN), turn=3.2),
    "biscuit": Family(biscuit, (*_BROKEN, "burn mark", "contamination", "hole", "discoloration"), turn=0.3),
    "nut kernel": Family(nut_kernel, ("crack", "hole", "cut", "smear", "scratch", "broken part"), turn=0.4),
    "gasket": Family(
        gasket, ("cut", "broken part", "bent part", "contamination", "scratch", "stain"), turn=0.2
    ),
}
