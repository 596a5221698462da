"""Defects of structure: (scene, rng, strength) -> scene, or None if no part can have the defect."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vlmad_jax.synthetic import colours
from vlmad_jax.synthetic.grid import Array, Point
from vlmad_jax.synthetic.noise import stretched
from vlmad_jax.synthetic.scene import Part, Scene, Warp
from vlmad_jax.synthetic.shapes import overlap, polar, turned

Rng = np.random.Generator


def _choose(scene: Scene, rng: Rng, suits: Callable[[Part], bool]) -> int | None:
    choices = [k for k, part in enumerate(scene.parts) if suits(part)]
    return int(rng.choice(choices)) if choices else None


def _loose(part: Part) -> bool:
    return part.loose


def _with(scene: Scene, index: int, *parts: Part) -> Scene:
    return replace(scene, parts=(*scene.parts[:index], *parts, *scene.parts[index + 1 :]))


def _affected(scene: Scene, index: int) -> list[int]:
    """Return the part's index, or all indices if it is the largest part, which carries the others."""
    largest = max(part.reach for part in scene.parts)
    return list(range(len(scene.parts))) if scene.parts[index].reach >= largest else [index]


def missing(scene: Scene, rng: Rng, strength: float) -> Scene | None:
    """A missing part."""
    index = _choose(scene, rng, _loose)
    return None if index is None else _with(scene, index)


def misplaced(scene: Scene, rng: Rng, strength: float) -> Scene | None:
    """A part that is rotated and shifted from its place."""
    index = _choose(scene, rng, _loose)
    if index is None:
        return None
    part = scene.parts[index]
    angle = rng.uniform(0.2, 0.7) * rng.choice([-1, 1]) * strength
    away, heading = min(part.reach, 0.4) * rng.uniform(0.3, 0.8) * strength, rng.uniform(0, 2 * math.pi)
    return _with(scene, index, _moved(part, polar(away, heading), angle))


def _moved(part: Part, shift: Point, angle: float) -> Part:
    centre = (part.centre[0] + shift[0], part.centre[1] + shift[1])

    def warp(x: Array, y: Array) -> tuple[Array, Array]:
        u, v = turned(x, y, centre, angle)
        return u + np.float32(part.centre[0]), v + np.float32(part.centre[1])

    return replace(part, centre=centre, warp=warp)


def extra(scene: Scene, rng: Rng, strength: float) -> Scene | None:
    """A second copy of a part in a wrong place."""
    index = _choose(scene, rng, _loose)
    if index is None:
        return None
    part = scene.parts[index]
    x, y = rng.uniform(-0.6, 0.6, 2).tolist()
    shift = (x - part.centre[0], y - part.centre[1])
    return replace(scene, parts=(*scene.parts, _moved(part, shift, rng.uniform(0, 2 * math.pi))))


def wrong_colour(scene: Scene, rng: Rng, strength: float) -> Scene | None:
    """A part of a wrong colour."""
    index = _choose(scene, rng, _loose)
    if index is None:
        return None
    part = scene.parts[index]
    colour = colours.distinct(rng, part.material.colour, min(0.2 + 0.1 * strength, 0.5))
    second = colours.scaled(colour, 0.7) if part.material.second else None
    return _with(scene, index, replace(part, material=replace(part.material, colour=colour, second=second)))


def bent(scene: Scene, rng: Rng, strength: float) -> Scene | None:
    """A long part that is bent to the side from some point on."""
    index = _choose(scene, rng, lambda part: part.bendable)
    if index is None:
        return None
    part = scene.parts[index]
    axis, half = _long_axis(part)
    start, side = half * rng.uniform(-0.3, 0.25), rng.choice([-1, 1])
    tip = half * rng.uniform(0.25, 0.55) * strength * rng.choice([-1, 1])
    rate = tip / (half - start) ** 2

    def warp(x: Array, y: Array) -> tuple[Array, Array]:
        u, v = turned(x, y, part.centre, axis)
        v = v - np.float32(rate) * np.maximum(np.float32(side) * u - np.float32(start), 0) ** 2
        cos, sin = np.float32(math.cos(axis)), np.float32(math.sin(axis))
        return cos * u - sin * v + np.float32(part.centre[0]), sin * u + cos * v + np.float32(part.centre[1])

    def bend(other: Part) -> Part:
        return replace(other, warp=_after(other.warp, warp), reach=other.reach * 1.4)

    return _reshaped(scene, index, bend)


def _after(inner: Warp | None, outer: Warp) -> Warp:
    return outer if inner is None else lambda x, y: inner(*outer(x, y))


def broken(scene: Scene, rng: Rng, strength: float) -> Scene | None:
    """A part whose piece has broken off along a jagged line."""
    index = _choose(scene, rng, lambda part: part.breakable)
    if index is None:
        return None
    part = scene.parts[index]
    heading = rng.uniform(0, 2 * math.pi)
    edge = _edge(part, heading)
    tilt = heading + rng.normal() * 0.3
    lost = edge * min(rng.uniform(0.2, 0.5) * (0.7 + 0.3 * strength), 0.8)
    at = polar(edge - lost, heading, part.centre)
    seed, jag = int(rng.integers(0, 2**31)), min(0.08, 0.15 * edge) * rng.uniform(0.3, 1.0)
    hollow = rng.uniform(0, 1.5) / max(edge, 0.1)  # a bite rather than a straight break

    def kept(x: Array, y: Array) -> Array:
        u, v = turned(x, y, at, tilt)
        coarse, fine = (stretched(v * rate + 20, np.zeros_like(v), seed) for rate in (7, 19))
        return u - np.float32(hollow) * v * v - np.float32(jag) * (coarse + np.float32(0.5) * fine)

    return _reshaped(scene, index, lambda other: replace(other, shape=overlap(other.shape, kept)))


def _reshaped(scene: Scene, index: int, change: Callable[[Part], Part]) -> Scene:
    chosen = set(_affected(scene, index))
    return replace(scene, parts=tuple(change(p) if k in chosen else p for k, p in enumerate(scene.parts)))


def _edge(part: Part, heading: float) -> float:
    """Return the distance from the part's centre to its border in a direction."""
    steps = np.linspace(0, part.reach, 64, dtype=np.float32)
    x = (part.centre[0] + steps * math.cos(heading)).astype(np.float32)[None]
    y = (part.centre[1] + steps * math.sin(heading)).astype(np.float32)[None]
    inside = np.flatnonzero(part.shape(x, y)[0] < 0)
    return float(steps[inside[-1]]) if len(inside) else part.reach / 2


def _long_axis(part: Part) -> tuple[float, float]:
    """Return the direction in which a part is longest, in radians, and half its length."""
    line = np.linspace(-part.reach, part.reach, 32, dtype=np.float32)
    dx, dy = np.meshgrid(line, line)
    inside = part.shape(dx + np.float32(part.centre[0]), dy + np.float32(part.centre[1])) < 0
    if inside.sum() < 4:
        return 0.0, part.reach
    points = np.stack([dx[inside], dy[inside]])
    _, vectors = np.linalg.eigh(np.cov(points))
    along = vectors[:, 1]
    return math.atan2(along[1], along[0]), float(np.abs(along @ points).max())
