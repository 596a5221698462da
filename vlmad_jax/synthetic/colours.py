"""Colours of things, RGB in 0..1."""

from __future__ import annotations

import colorsys

import numpy as np

Colour = tuple[float, float, float]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """A colour by hue (0..1, turning), saturation and value."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def brightness(colour: Colour) -> float:
    """How light a colour looks, 0..1."""
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def scaled(colour: Colour, factor: float) -> Colour:
    """A lighter or darker colour of the same hue."""
    red, green, blue = (min(max(c * factor, 0.0), 1.0) for c in colour)
    return red, green, blue


def metal(rng: np.random.Generator) -> Colour:
    """Steel mostly; brass, copper or a coated metal now and then."""
    kind = rng.uniform()
    if kind < 0.65:
        return hsv(rng.uniform(0.5, 0.7), rng.uniform(0, 0.12), rng.uniform(0.4, 0.72))
    if kind < 0.85:
        return hsv(rng.uniform(0.05, 0.13), rng.uniform(0.25, 0.6), rng.uniform(0.5, 0.75))
    return hsv(rng.uniform(), rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.5))


def paint(rng: np.random.Generator) -> Colour:
    """Any colour that plastic or lacquer has: strong, pale, nearly black or white."""
    kind = rng.uniform()
    if kind < 0.5:
        return hsv(rng.uniform(), rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.85))
    if kind < 0.75:
        return hsv(rng.uniform(), rng.uniform(0.0, 0.25), rng.uniform(0.6, 0.85))
    return hsv(rng.uniform(), rng.uniform(0.0, 0.4), rng.uniform(0.15, 0.35))


def pale(rng: np.random.Generator) -> Colour:
    """White and light tints: paper, ceramics, tablets."""
    return hsv(rng.uniform(), rng.uniform(0.0, 0.2), rng.uniform(0.7, 0.88))


def dark(rng: np.random.Generator) -> Colour:
    """Rubber, moulded epoxy, dark cloth."""
    return hsv(rng.uniform(), rng.uniform(0.0, 0.4), rng.uniform(0.1, 0.28))


def earth(rng: np.random.Generator) -> Colour:
    """Wood, leather, stone, baked things."""
    return hsv(rng.uniform(0.04, 0.12), rng.uniform(0.2, 0.65), rng.uniform(0.4, 0.8))


def stone(rng: np.random.Generator) -> Colour:
    """Greys and beiges of mineral things."""
    return hsv(rng.uniform(0.04, 0.6), rng.uniform(0.0, 0.18), rng.uniform(0.35, 0.75))


def apart(rng: np.random.Generator, other: Colour, distance: float = 0.35) -> Colour:
    """A random colour whose mean difference from `other` over the channels is at least about `distance`."""
    best, gap = other, -1.0
    for _ in range(6):
        colour = paint(rng) if rng.uniform() < 0.7 else hsv(0.1, 0.1, rng.choice([0.05, 0.95]))
        reached = sum(abs(a - b) for a, b in zip(colour, other, strict=True)) / 3
        if reached > gap:
            best, gap = colour, reached
        if gap >= distance:
            break
    return best
