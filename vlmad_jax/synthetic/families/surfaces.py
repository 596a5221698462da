"""Sheets, cloths, walls and floors that fill the image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import CLOTH, METAL, PLASTIC, STONE, Family, Rng
from vlmad_jax.synthetic.families.finishes import shades
from vlmad_jax.synthetic.families.parts import sheet
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, turned, zigzags


def surface(look: Callable[[Rng], Material], defects: tuple[str, ...], turn: float = 0.12) -> Family:
    """Return a family of surfaces of one material that fill the image."""
    return Family(lambda fixed, varied: sheet(look(fixed)), defects, True, turn)


def either(rng: Rng, first: float, second: float) -> float:
    """Draw one of two directions, or sometimes any direction."""
    return float(rng.choice([first, second])) if rng.uniform() < 0.75 else float(rng.uniform(0, np.pi))


def rosettes(
    pitch: float, radius: float, depth: float, petals: int, angle: float, offset: float = 0.0
) -> Shape:
    """Return a printed flower in each square of a lattice, or with `offset` 0.5 at the corners of squares."""

    def shape(x: Array, y: Array) -> Array:
        u, v = (a * np.float32(1 / pitch) + np.float32(offset) for a in turned(x, y, (0.0, 0.0), angle))
        u, v = (u - np.floor(u) - 0.5) * np.float32(pitch), (v - np.floor(v) - 0.5) * np.float32(pitch)
        edge = np.float32(radius) * (1 + np.float32(depth) * np.cos(petals * np.arctan2(v, u)))
        return (np.sqrt(u * u + v * v) - edge) * np.float32(0.8)

    return shape


def metal_plate(rng: Rng) -> Material:
    """Draw the material of a metal plate."""
    colour = colours.metal(rng)
    angle = either(rng, 0.0, np.pi / 2)
    gloss = rng.uniform(0.2, 0.6)
    return Material(
        colour, shades(rng, colour, 0.1, 0.25), "brushed", rng.uniform(8, 14), angle, 0.0015, gloss
    )


def wooden_board(rng: Rng) -> Material:
    """Draw the material of a wooden board."""
    colour = colours.earth(rng)
    angle = either(rng, 0.0, np.pi / 2)
    second = colours.scaled(colour, rng.uniform(0.5, 0.75))
    return Material(colour, second, "wood", rng.uniform(3, 8), angle, 0.002, 0.05)


def woven_fabric(rng: Rng) -> Material:
    """Draw the material of woven fabric."""
    colour = colours.paint(rng)
    second = shades(rng, colour, 0.1, 0.4) if rng.uniform() < 0.6 else colours.distinct(rng, colour, 0.2)
    kind = str(rng.choice(["weave", "twill"]))
    angle = rng.uniform(-0.2, 0.2) + rng.choice([0.0, np.pi / 4])
    return Material(colour, second, kind, rng.uniform(7, 16), angle, 0.012, 0.03)


def knitted_fabric(rng: Rng) -> Material:
    """Draw the material of knitted fabric."""
    colour = colours.paint(rng)
    second = colours.scaled(colour, rng.uniform(0.55, 0.8))
    return Material(colour, second, "knit", rng.uniform(5, 9), rng.uniform(-0.1, 0.1), 0.012, 0.02)


def checked_cloth(rng: Rng) -> Material:
    """Draw the material of checked cloth."""
    colour = colours.pale(rng)
    angle = rng.uniform(-0.1, 0.1) + rng.choice([0.0, np.pi / 4])
    return Material(
        colour, colours.distinct(rng, colour, 0.3), "checks", rng.uniform(2, 6), angle, 0.001, 0.02
    )


def concrete_slab(rng: Rng) -> Material:
    """Draw the material of a concrete slab."""
    colour = colours.stone(rng)
    second = shades(rng, colour, 0.15, 0.4)
    return Material(colour, second, "grain", rng.uniform(4, 12), 0.0, 0.003, 0.03, 0.06)


def carpet(rng: Rng) -> Material:
    """Draw the material of a carpet."""
    colour = colours.paint(rng)
    second = shades(rng, colour, 0.3, 0.5)
    return Material(colour, second, "pile", rng.uniform(6, 12), rng.uniform(0, 3), 0.01, 0.0, 0.05)


def cast_iron(rng: Rng) -> Material:
    """Draw the material of cast iron."""
    colour = colours.hsv(rng.uniform(0.5, 0.7), rng.uniform(0, 0.1), rng.uniform(0.28, 0.5))
    second = shades(rng, colour, 0.2, 0.4)
    return Material(colour, second, "cast", rng.uniform(6, 14), 0.0, 0.006, 0.25)


def painted_panel(rng: Rng) -> Material:
    """Draw the material of a painted panel."""
    colour = colours.paint(rng)
    gloss = rng.uniform(0.1, 0.6)
    return Material(colour, None, "cast", rng.uniform(4, 9), 0.0, rng.uniform(0, 0.002), gloss, 0.03)


def foam_sheet(rng: Rng) -> Material:
    """Draw the material of a foam sheet."""
    colour = colours.pale(rng) if rng.uniform() < 0.5 else colours.paint(rng)
    second = colours.scaled(colour, rng.uniform(0.6, 0.85))
    return Material(colour, second, "pebbles", rng.uniform(6, 14), rng.uniform(0, 3), 0.012, 0.05)


def printed_paper(rng: Rng) -> Material:
    """Draw the material of printed paper."""
    colour = colours.pale(rng)
    ink = colours.distinct(rng, colour, 0.3)
    kind = str(rng.choice(["dots", "checks", "tiles"]))
    return Material(colour, ink, kind, rng.uniform(3, 7), rng.uniform(0, 0.8), 0.0008, 0.03)


def marble_slab(rng: Rng) -> Material:
    """Draw the material of a marble slab."""
    colour = colours.pale(rng) if rng.uniform() < 0.7 else colours.dark(rng)
    vein = (
        colours.scaled(colour, rng.uniform(0.5, 0.75))
        if colours.brightness(colour) > 0.4
        else colours.pale(rng)
    )
    return Material(colour, vein, "marble", rng.uniform(2, 5), rng.uniform(0, 3), 0.0, 0.4)


def sandpaper(rng: Rng) -> Material:
    """Draw the material of sandpaper."""
    colour = colours.earth(rng)
    second = shades(rng, colour, 0.3, 0.5)
    return Material(colour, second, "grain", rng.uniform(14, 20), 0.0, 0.006, 0.05)


def perforated_sheet(rng: Rng) -> Material:
    """Draw the material of a perforated sheet."""
    colour = colours.metal(rng)
    below = colours.dark(rng) if rng.uniform() < 0.7 else colours.pale(rng)
    angle = rng.uniform(0, np.pi / 2)
    return Material(colour, below, "holes", rng.uniform(3, 7), angle, 0.01, 0.3)


def brick_wall(rng: Rng) -> Material:
    """Draw the material of a brick wall."""
    colour = colours.hsv(rng.uniform(0.0, 0.1), rng.uniform(0.2, 0.65), rng.uniform(0.35, 0.65))
    return Material(colour, colours.stone(rng), "bricks", rng.uniform(3, 5), 0.0, 0.012, 0.0, 0.08)


def tiled_floor(rng: Rng) -> Material:
    """Draw the material of a tiled floor."""
    colour = colours.pale(rng) if rng.uniform() < 0.6 else colours.paint(rng)
    joint = colours.scaled(colour, rng.uniform(0.4, 0.7))
    angle = rng.choice([0.0, np.pi / 4])
    return Material(colour, joint, "tiles", rng.uniform(1.2, 3), angle, 0.01, 0.3, 0.05)


def tread_plate(rng: Rng) -> Material:
    """Draw the material of a tread plate."""
    colour = colours.metal(rng)
    second = colours.scaled(colour, 1.25)
    return Material(colour, second, "studs", rng.uniform(3, 6), rng.uniform(0, 0.8), 0.03, 0.4, 0.05)


def circuit_foil(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of circuit foil."""
    base = colours.hsv(fixed.uniform(0.05, 0.45), fixed.uniform(0.5, 0.9), fixed.uniform(0.2, 0.5))
    copper = colours.hsv(fixed.uniform(0.05, 0.12), fixed.uniform(0.4, 0.7), fixed.uniform(0.65, 0.85))
    pitch = fixed.uniform(0.14, 0.26)
    corners = list(
        zip(np.linspace(-2, 2, 6).tolist(), np.cumsum(fixed.uniform(-0.35, 0.35, 6)).tolist(), strict=True)
    )
    tracks = zigzags(pitch, pitch * 0.22, corners)
    metal = Material(copper, None, "grain", 10, 0, 0.001, 0.4)
    return (
        *sheet(Material(base, shades(fixed, base), "twill", 14, 0.0, 0.001, 0.1)),
        Part("track", tracks, metal, reach=4.0, height=0.01, bevel=0.02),
    )


def cork_board(rng: Rng) -> Material:
    """Draw the material of a cork board."""
    colour = colours.hsv(rng.uniform(0.06, 0.1), rng.uniform(0.35, 0.6), rng.uniform(0.6, 0.82))
    second = colours.scaled(colour, rng.uniform(0.35, 0.6))
    return Material(colour, second, "cork", rng.uniform(5, 12), rng.uniform(0, 3), 0.003, 0.03)


def gravel_bed(rng: Rng) -> Material:
    """Draw the material of a gravel bed."""
    colour = colours.scaled(colours.stone(rng), rng.uniform(1.2, 1.6))
    second = colours.scaled(colours.earth(rng), rng.uniform(0.2, 0.5))
    return Material(colour, second, "gravel", rng.uniform(3, 6.5), rng.uniform(0, 3), 0.05, 0.1)


def wicker_panel(rng: Rng) -> Material:
    """Draw the material of a wicker panel."""
    colour = colours.earth(rng) if rng.uniform() < 0.75 else colours.paint(rng)
    second = colours.scaled(colour, rng.uniform(0.2, 0.4))
    angle = either(rng, 0.0, np.pi / 2)
    return Material(colour, second, "wicker", rng.uniform(2.5, 5), angle, 0.05, 0.1, 0.06)


def canvas_print(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a canvas print."""
    colour = colours.pale(fixed) if fixed.uniform() < 0.6 else colours.paint(fixed)
    scale, angle = fixed.uniform(14, 20), fixed.uniform(-0.1, 0.1) + fixed.choice([0.0, np.pi / 4])
    first, second = (colours.distinct(fixed, colour, gap) for gap in (0.35, 0.25))
    cloth, *inks = (
        Material(c, colours.scaled(c, 0.8), "weave", scale, angle, 0.008, 0.02)
        for c in (colour, first, second)
    )
    pitch, petals = fixed.uniform(0.4, 0.75), int(fixed.integers(3, 9))
    flower = rosettes(pitch, 0.33 * pitch, fixed.uniform(0.15, 0.7), petals, angle)
    small = rosettes(pitch, 0.12 * pitch, fixed.uniform(0, 0.5), 4, angle, 0.5)
    eye = rosettes(pitch, 0.1 * pitch, 0.0, 0, angle)
    return (
        *sheet(cloth),
        Part("flower", flower, inks[0], reach=4.0, printed=True),
        Part("spot", small, inks[1], reach=4.0, printed=True),
        Part("eye", eye, inks[1], reach=4.0, printed=True),
    )


SURFACES: dict[str, Family] = {
    "metal plate": surface(metal_plate, (*METAL, "hole", "glue strip")),
    "wooden board": surface(wooden_board, (*STONE, "burn mark", "glue strip")),
    "woven fabric": surface(woven_fabric, CLOTH),
    "knitted fabric": surface(knitted_fabric, CLOTH),
    "checked cloth": surface(checked_cloth, (*CLOTH, "smear")),
    "concrete slab": surface(concrete_slab, STONE),
    "carpet": surface(carpet, CLOTH),
    "cast iron block": surface(cast_iron, (*METAL, "crack", "pinholes")),
    "painted panel": surface(painted_panel, (*PLASTIC, "pinholes", "crack", "thread", "rough patch")),
    "foam sheet": surface(
        foam_sheet, ("hole", "cut", "stain", "contamination", "burn mark", "dent", "thread")
    ),
    "printed paper": surface(printed_paper, ("smear", "fold", "cut", "stain", "hole", "thread", "burn mark")),
    "marble slab": surface(marble_slab, STONE),
    "sandpaper": surface(sandpaper, ("cut", "fold", "stain", "rough patch", "contamination", "scratch")),
    "perforated sheet": surface(perforated_sheet, (*METAL, "glue strip"), 0.03),
    "brick wall": surface(brick_wall, STONE, 0.03),
    "tiled floor": surface(tiled_floor, STONE, 0.03),
    "tread plate": surface(tread_plate, (*METAL, "crack"), 0.03),
    "circuit foil": Family(circuit_foil, (*METAL, "hole", "smear", "pinholes", "cut"), True, 0.03),
    "cork board": surface(cork_board, ("hole", "cut", "stain", "burn mark", "dent", "glue strip", "thread")),
    "gravel bed": surface(
        gravel_bed, ("contamination", "stain", "dent", "burn mark", "discoloration", "thread")
    ),
    "wicker panel": surface(
        wicker_panel, ("hole", "cut", "stain", "burn mark", "discoloration", "contamination", "thread"), 0.03
    ),
    "canvas print": Family(canvas_print, (*CLOTH, "smear"), True, 0.03),
}
