"""Materials that many families share."""

from __future__ import annotations

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.families.family import Rng
from vlmad_jax.synthetic.materials import Material


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


def shiny(rng: Rng) -> Material:
    """Draw a smooth metal."""
    return lacquer(colours.metal(rng), rng.uniform(0.4, 0.7))


def tool_steel(rng: Rng) -> Material:
    """Draw a tool steel that is bright, black or coated with titanium nitride."""
    kind = rng.uniform()
    if kind < 0.4:
        return lacquer(colours.hsv(0.6, 0.05, rng.uniform(0.5, 0.7)), 0.6)
    if kind < 0.7:
        return lacquer(colours.hsv(0.6, 0.1, rng.uniform(0.22, 0.35)), 0.5)
    return lacquer(colours.hsv(rng.uniform(0.1, 0.13), 0.6, rng.uniform(0.6, 0.75)), 0.6)


def tinted(material: Material, factor: float, gloss: float = 0.35) -> Material:
    """Return a smooth surface of the same hue, lighter or darker."""
    return lacquer(colours.scaled(material.colour, factor), gloss)
