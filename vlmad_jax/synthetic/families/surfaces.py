"""Sheets, cloths, walls and floors that fill the image."""

from __future__ import annotations

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import CLOTH, METAL, PLASTIC, STONE, Family, Rng
from vlmad_jax.synthetic.families.finishes import shades
from vlmad_jax.synthetic.families.parts import sheet
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, turned, zigzags


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


def metal_plate(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a metal plate."""
    colour = colours.metal(fixed)
    angle = either(fixed, 0.0, np.pi / 2)
    gloss = fixed.uniform(0.2, 0.6)
    return sheet(
        Material(
            colour, shades(fixed, colour, 0.1, 0.25), "brushed", fixed.uniform(8, 14), angle, 0.0015, gloss
        )
    )


def wooden_board(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a wooden board."""
    colour = colours.earth(fixed)
    angle = either(fixed, 0.0, np.pi / 2)
    second = colours.scaled(colour, fixed.uniform(0.5, 0.75))
    return sheet(Material(colour, second, "wood", fixed.uniform(3, 8), angle, 0.002, 0.05))


def woven_fabric(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of woven fabric."""
    colour = colours.paint(fixed)
    second = (
        shades(fixed, colour, 0.1, 0.4) if fixed.uniform() < 0.6 else colours.distinct(fixed, colour, 0.2)
    )
    kind = str(fixed.choice(["weave", "twill"]))
    angle = fixed.uniform(-0.2, 0.2) + fixed.choice([0.0, np.pi / 4])
    return sheet(Material(colour, second, kind, fixed.uniform(7, 16), angle, 0.012, 0.03))


def knitted_fabric(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of knitted fabric."""
    colour = colours.paint(fixed)
    second = colours.scaled(colour, fixed.uniform(0.55, 0.8))
    return sheet(Material(colour, second, "knit", fixed.uniform(5, 9), fixed.uniform(-0.1, 0.1), 0.012, 0.02))


def checked_cloth(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of checked cloth."""
    colour = colours.pale(fixed)
    angle = fixed.uniform(-0.1, 0.1) + fixed.choice([0.0, np.pi / 4])
    return sheet(
        Material(
            colour, colours.distinct(fixed, colour, 0.3), "checks", fixed.uniform(2, 6), angle, 0.001, 0.02
        )
    )


def concrete_slab(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a concrete slab."""
    colour = colours.stone(fixed)
    second = shades(fixed, colour, 0.15, 0.4)
    return sheet(Material(colour, second, "grain", fixed.uniform(4, 12), 0.0, 0.003, 0.03, 0.06))


def carpet(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a carpet."""
    colour = colours.paint(fixed)
    second = shades(fixed, colour, 0.3, 0.5)
    return sheet(Material(colour, second, "pile", fixed.uniform(6, 12), fixed.uniform(0, 3), 0.01, 0.0, 0.05))


def cast_iron(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of cast iron."""
    colour = colours.hsv(fixed.uniform(0.5, 0.7), fixed.uniform(0, 0.1), fixed.uniform(0.28, 0.5))
    second = shades(fixed, colour, 0.2, 0.4)
    return sheet(Material(colour, second, "cast", fixed.uniform(6, 14), 0.0, 0.006, 0.25))


def painted_panel(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a painted panel."""
    colour = colours.paint(fixed)
    gloss = fixed.uniform(0.1, 0.6)
    return sheet(
        Material(colour, None, "cast", fixed.uniform(4, 9), 0.0, fixed.uniform(0, 0.002), gloss, 0.03)
    )


def foam_sheet(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a foam sheet."""
    colour = colours.pale(fixed) if fixed.uniform() < 0.5 else colours.paint(fixed)
    second = colours.scaled(colour, fixed.uniform(0.6, 0.85))
    return sheet(Material(colour, second, "pebbles", fixed.uniform(6, 14), fixed.uniform(0, 3), 0.012, 0.05))


def printed_paper(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of printed paper."""
    colour = colours.pale(fixed)
    ink = colours.distinct(fixed, colour, 0.3)
    kind = str(fixed.choice(["dots", "checks", "tiles"]))
    return sheet(Material(colour, ink, kind, fixed.uniform(3, 7), fixed.uniform(0, 0.8), 0.0008, 0.03))


def marble_slab(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a marble slab."""
    colour = colours.pale(fixed) if fixed.uniform() < 0.7 else colours.dark(fixed)
    vein = (
        colours.scaled(colour, fixed.uniform(0.5, 0.75))
        if colours.brightness(colour) > 0.4
        else colours.pale(fixed)
    )
    return sheet(Material(colour, vein, "marble", fixed.uniform(2, 5), fixed.uniform(0, 3), 0.0, 0.4))


def sandpaper(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of sandpaper."""
    colour = colours.earth(fixed)
    second = shades(fixed, colour, 0.3, 0.5)
    return sheet(Material(colour, second, "grain", fixed.uniform(14, 20), 0.0, 0.006, 0.05))


def perforated_sheet(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a perforated sheet."""
    colour = colours.metal(fixed)
    below = colours.dark(fixed) if fixed.uniform() < 0.7 else colours.pale(fixed)
    angle = fixed.uniform(0, np.pi / 2)
    return sheet(Material(colour, below, "holes", fixed.uniform(3, 7), angle, 0.01, 0.3))


def brick_wall(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a brick wall."""
    colour = colours.hsv(fixed.uniform(0.0, 0.1), fixed.uniform(0.2, 0.65), fixed.uniform(0.35, 0.65))
    return sheet(Material(colour, colours.stone(fixed), "bricks", fixed.uniform(3, 5), 0.0, 0.012, 0.0, 0.08))


def tiled_floor(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a tiled floor."""
    colour = colours.pale(fixed) if fixed.uniform() < 0.6 else colours.paint(fixed)
    joint = colours.scaled(colour, fixed.uniform(0.4, 0.7))
    angle = fixed.choice([0.0, np.pi / 4])
    return sheet(Material(colour, joint, "tiles", fixed.uniform(1.2, 3), angle, 0.01, 0.3, 0.05))


def tread_plate(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a tread plate."""
    colour = colours.metal(fixed)
    second = colours.scaled(colour, 1.25)
    return sheet(
        Material(colour, second, "studs", fixed.uniform(3, 6), fixed.uniform(0, 0.8), 0.03, 0.4, 0.05)
    )


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


def cork_board(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a cork board."""
    colour = colours.hsv(fixed.uniform(0.06, 0.1), fixed.uniform(0.35, 0.6), fixed.uniform(0.6, 0.82))
    second = colours.scaled(colour, fixed.uniform(0.35, 0.6))
    return sheet(Material(colour, second, "cork", fixed.uniform(5, 12), fixed.uniform(0, 3), 0.003, 0.03))


def gravel_bed(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a gravel bed."""
    colour = colours.scaled(colours.stone(fixed), fixed.uniform(1.2, 1.6))
    second = colours.scaled(colours.earth(fixed), fixed.uniform(0.2, 0.5))
    return sheet(Material(colour, second, "gravel", fixed.uniform(3, 6.5), fixed.uniform(0, 3), 0.05, 0.1))


def wicker_panel(fixed: Rng, varied: Rng) -> tuple[Part, ...]:
    """Draw the parts of a wicker panel."""
    colour = colours.earth(fixed) if fixed.uniform() < 0.75 else colours.paint(fixed)
    second = colours.scaled(colour, fixed.uniform(0.2, 0.4))
    angle = either(fixed, 0.0, np.pi / 2)
    return sheet(Material(colour, second, "wicker", fixed.uniform(2.5, 5), angle, 0.05, 0.1, 0.06))


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
    "metal plate": Family(metal_plate, (*METAL, "hole", "glue strip"), True),
    "wooden board": Family(wooden_board, (*STONE, "burn mark", "glue strip"), True),
    "woven fabric": Family(woven_fabric, CLOTH, True),
    "knitted fabric": Family(knitted_fabric, CLOTH, True),
    "checked cloth": Family(checked_cloth, (*CLOTH, "smear"), True),
    "concrete slab": Family(concrete_slab, STONE, True),
    "carpet": Family(carpet, CLOTH, True),
    "cast iron block": Family(cast_iron, (*METAL, "crack", "pinholes"), True),
    "painted panel": Family(painted_panel, (*PLASTIC, "pinholes", "crack", "thread", "rough patch"), True),
    "foam sheet": Family(
        foam_sheet, ("hole", "cut", "stain", "contamination", "burn mark", "dent", "thread"), True
    ),
    "printed paper": Family(
        printed_paper, ("smear", "fold", "cut", "stain", "hole", "thread", "burn mark"), True
    ),
    "marble slab": Family(marble_slab, STONE, True),
    "sandpaper": Family(sandpaper, ("cut", "fold", "stain", "rough patch", "contamination", "scratch"), True),
    "perforated sheet": Family(perforated_sheet, (*METAL, "glue strip"), True, 0.03),
    "brick wall": Family(brick_wall, STONE, True, 0.03),
    "tiled floor": Family(tiled_floor, STONE, True, 0.03),
    "tread plate": Family(tread_plate, (*METAL, "crack"), True, 0.03),
    "circuit foil": Family(circuit_foil, (*METAL, "hole", "smear", "pinholes", "cut"), True, 0.03),
    "cork board": Family(
        cork_board, ("hole", "cut", "stain", "burn mark", "dent", "glue strip", "thread"), True
    ),
    "gravel bed": Family(
        gravel_bed, ("contamination", "stain", "dent", "burn mark", "discoloration", "thread"), True
    ),
    "wicker panel": Family(
        wicker_panel,
        ("hole", "cut", "stain", "burn mark", "discoloration", "contamination", "thread"),
        True,
        0.03,
    ),
    "canvas print": Family(canvas_print, (*CLOTH, "smear"), True, 0.03),
}
