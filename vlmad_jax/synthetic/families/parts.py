"""Parts by what can go wrong with them: parts that can be missing, can break, or can be bent."""

from __future__ import annotations

from dataclasses import replace

from vlmad_jax.synthetic.families.finishes import tinted
from vlmad_jax.synthetic.grid import Point
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import Shape, everywhere


def sheet(material: Material) -> tuple[Part, ...]:
    """Return one surface that fills the image."""
    return (Part("surface", everywhere, material, reach=4.0),)


def solid(
    role: str,
    shape: Shape,
    material: Material,
    reach: float,
    bevel: float = 0.05,
    height: float = 0.0,
    shadow: float = 0.4,
) -> Part:
    """Return a part around the origin that can break."""
    return Part(role, shape, material, (0.0, 0.0), reach, bevel, height, shadow, breakable=True)


def item(
    role: str,
    shape: Shape,
    material: Material,
    centre: Point,
    reach: float,
    bevel: float = 0.05,
    height: float = 0.0,
    shadow: float = 0.4,
) -> Part:
    """Return a part that can be missing, misplaced, doubled or of a wrong colour."""
    return Part(role, shape, material, centre, reach, bevel, height, shadow, loose=True)


def mark(role: str, shape: Shape, ink: Material, centre: Point, reach: float) -> Part:
    """Return a printed part that can be missing."""
    return Part(role, shape, ink, centre, reach, printed=True, loose=True)


def engraved(material: Material, shape: Shape, centre: Point, reach: float) -> Part:
    """Return marks that are pressed into a material."""
    return Part("mark", shape, tinted(material, 0.6, 0.1), centre, reach, 0.02, -0.015)


def brittle(part: Part) -> Part:
    """Return the part as one that can break."""
    return replace(part, breakable=True)


def flexible(part: Part) -> Part:
    """Return the part as one that can be bent."""
    return replace(part, bendable=True)


def limb(part: Part) -> Part:
    """Return the part as one that can be bent or break."""
    return replace(part, bendable=True, breakable=True)
