"""Random colours of materials, RGB in 0..1."""

from __future__ import annotations

import colorsys

import numpy as np

Colour = tuple[float, float, float]


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the colour of a hue (of period 1), saturation and value."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def brightness(colour: Colour) -> float:
    """Return the perceived brightness of a colour, 0..1."""
    return 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]


def scaled(colour: Colour, factor: float) -> Colour:
    """Return a lighter or darker colour of the same hue."""
    red, green, blue = (min(max(c * factor, 0.0), 1.0) for c in colour)
    return red, green, blue


def metal(rng: np.random.Generator) -> Colour:
    """Draw a colour of metal: mostly steel, sometimes brass, copper or a coating."""
    kind = rng.uniform()
    if kind < 0.65:
        return hsv(rng.uniform(0.5, 0.7), rng.uniform(0, 0.12), rng.uniform(0.4, 0.72))
    if kind < 0.85:
        return hsv(rng.uniform(0.05, 0.13), rng.uniform(0.25, 0.6), rng.uniform(0.5, 0.75))
    return hsv(rng.uniform(), rng.uniform(0.1, 0.4), rng.uniform(0.2, 0.5))


def paint(rng: np.random.Generator) -> Colour:
    """Draw a colour of plastic or lacquer: strong, pale or dark."""
    kind = rng.uniform()
    if kind < 0.5:
        return hsv(rng.uniform(), rng.uniform(0.4, 0.9), rng.uniform(0.35, 0.85))
    if kind < 0.75:
        return hsv(rng.uniform(), rng.uniform(0.0, 0.25), rng.uniform(0.6, 0.85))
    return hsv(rng.uniform(), rng.uniform(0.0, 0.4), rng.uniform(0.15, 0.35))


def pale(rng: np.random.Generator) -> Colour:
    """Draw white or a light tint, as of paper, ceramics or tablets."""
    return hsv(rng.uniform(), rng.uniform(0.0, 0.2), rng.uniform(0.7, 0.88))


def dark(rng: np.random.Generator) -> Colour:
    """Draw a dark colour, as of rubber, epoxy or dark cloth."""
    return hsv(rng.uniform(), rng.uniform(0.0, 0.4), rng.uniform(0.1, 0.28))


def earth(rng: np.random.Generator) -> Colour:
    """Draw a brown, as of wood, leather, stone or baked goods."""
    return hsv(rng.uniform(0.04, 0.12), rng.uniform(0.2, 0.65), rng.uniform(0.4, 0.8))


def stone(rng: np.random.Generator) -> Colour:
    """Draw a grey or beige of a mineral."""
    return hsv(rng.uniform(0.04, 0.6), rng.uniform(0.0, 0.18), rng.uniform(0.35, 0.75))


def distinct(rng: np.random.Generator, other: Colour, distance: float = 0.35) -> Colour:
    """Draw a colour whose mean difference from `other` over the channels is at least about `distance`."""
    best, gap = other, -1.0
    for _ in range(6):
        colour = paint(rng) if rng.uniform() < 0.7 else hsv(0.1, 0.1, rng.choice([0.05, 0.95]))
        reached = sum(abs(a - b) for a, b in zip(colour, other, strict=True)) / 3
        if reached > gap:
            best, gap = colour, reached
        if gap >= distance:
            break
    return best
