"""Materials and parts that many families share."""

from __future__ import annotations

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.materials import Material
from vlmad_jax.synthetic.scene import Part
from vlmad_jax.synthetic.shapes import (
    Shape,
    everywhere,
)


def sheet(material: Material) -> tuple[Part, ...]:
    """Return one surface that fills the image."""
    return (Part("surface", everywhere, material, reach=4.0),)


def shades(rng: Rng, colour: colours.Colour, low: float = 0.1, high: float = 0.35) -> colours.Colour:
    """Draw a colour that is lighter or darker by a share between `low` and `high`."""
    return colours.scaled(colour, 1 + rng.choice([-1, 1]) * rng.uniform(low, high))


def steel(rng: Rng, texture: str = "brushed", angle: float = 0.0) -> Material:
    """Draw a metal with a texture."""
    colour = colours.metal(rng)
    second = colours.scaled(colour, rng.uniform(0.75, 0.9))
    return Material(colour, second, texture, rng.uniform(6, 12), angle, 0.0015, rng.uniform(0.2, 0.6))


def moulded(colour: colours.Colour, gloss: float = 0.3) -> Material:
    """Return a plastic of one colour."""
    return Material(colour, texture="flat", gloss=gloss)


def lacquer(colour: colours.Colour, gloss: float = 0.3) -> Material:
    """Return a glossy lacquer of one colour."""
    return Material(colour, texture="flat", gloss=gloss, mottle=0)


def engraved(material: Material, shape: Shape, centre: tuple[float, float], reach: float) -> Part:
    """Return marks that are pressed into a material."""
    lower = colours.scaled(material.colour, 0.6)
    return Part(
        "mark", shape, Material(lower, texture="flat", gloss=0.1, mottle=0), centre, reach, 0.02, -0.015
    )
