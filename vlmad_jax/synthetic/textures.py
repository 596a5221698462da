"""Textures: (grid, scale, angle, seed) -> tone in 0..1 and relief of about -1..1, both (h, w).

The scale is the number of features in a unit of length.
"""

from __future__ import annotations

import math

import numpy as np

from vlmad_jax.synthetic.grid import Array, Grid
from vlmad_jax.synthetic.noise import cells, fractal, smooth, stretched
from vlmad_jax.synthetic.shapes import turned

Texture = tuple[Array, Array]
_PI = np.float32(math.pi)


def _axes(grid: Grid, scale: float, angle: float) -> tuple[Array, Array]:
    u, v = turned(grid.x, grid.y, (0.0, 0.0), angle)
    return u * np.float32(scale), v * np.float32(scale)


def _unit(noise: Array) -> Array:
    return np.clip(noise * np.float32(0.25) + np.float32(0.5), 0, 1)


def _step(value: Array, edge: float) -> Array:
    """Return 0 below -edge, 1 above edge, and a linear ramp between."""
    return np.clip(value / np.float32(2 * edge) + np.float32(0.5), 0, 1)


def _frac(value: Array) -> Array:
    return value - np.floor(value)


def flat(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """A uniform surface."""
    zero = np.zeros((1, 1), np.float32)
    return zero, zero


def plain(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Soft clouds."""
    noise = fractal(grid, seed, count=3, octaves=3)
    return _unit(noise), noise


def brushed(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Fine parallel lines of a brushed or rolled metal."""
    u, v = _axes(grid, scale, angle)
    lines = stretched(u * 0.12, v * 3.0, seed) + np.float32(0.6) * stretched(u * 0.3, v * 6.3, seed + 1)
    return np.clip(0.5 + 0.35 * lines, 0, 1), lines


def turned_on_lathe(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Fine concentric lines of a turned metal."""
    radius = np.sqrt(grid.x**2 + grid.y**2) * np.float32(scale * 3)
    lines = stretched(radius, np.arctan2(grid.y, grid.x) * np.float32(0.9) + 9, seed)
    return np.clip(0.5 + 0.4 * lines, 0, 1), lines


def cast(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """The bumpy skin of cast metal, plaster or lacquer."""
    noise = fractal(grid, seed, count=max(4, round(2 * scale)), octaves=3, gain=0.8)
    return _unit(noise), noise


def grain(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Grains of concrete, sand or paper, coarse and fine."""
    noise = fractal(grid, seed, count=max(4, round(2 * scale)), octaves=3, gain=1.0)
    return np.clip(np.float32(0.5) + np.float32(0.35) * noise, 0, 1), noise


def wood(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Wood grain with fibres, and year rings that curve around knots."""
    u, v = _axes(grid, 1.0, angle)
    rng = np.random.default_rng(seed)
    rings = v * np.float32(scale) + np.float32(1.5) * stretched(u * 0.7 + 9, v * 1.3, seed)
    knots = np.zeros(u.shape, np.float32)
    for _ in range(rng.integers(0, 3)):
        du, dv = u - np.float32(rng.uniform(-1, 1)), v - np.float32(rng.uniform(-1, 1))
        near = np.exp(-(du**2 * 8 + dv**2 * 30))
        rings = rings + near * np.float32(rng.uniform(1.5, 3) * rng.choice([-1, 1]))
        knots = np.maximum(knots, np.exp(-(du**2 * 250 + dv**2 * 500)))
    year = _frac(rings)
    fibres = stretched(u * 3, v * 45, seed + 1)
    tone = np.clip(0.6 * year**2 + 0.25 + 0.18 * fibres + 0.6 * knots, 0, 1)
    return tone, fibres


def weave(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Plain weave, in which warp and weft alternate; tone 1 is the weft."""
    u, v = _axes(grid, scale, angle)
    u, v = u + np.float32(0.12) * smooth(grid, 6, np.random.default_rng(seed)), v
    warp, weft = np.abs(np.sin(_PI * u)), np.abs(np.sin(_PI * v))
    over = (np.floor(u) + np.floor(v)) % 2
    relief = np.where(over > 0, warp * (0.4 + 0.6 * weft), weft * (0.4 + 0.6 * warp))
    return np.clip(over * (0.55 + 0.45 * relief) + 0.35 * (1 - relief), 0, 1), relief


def twill(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Twill, whose crossings shift by one thread in each row and form diagonal ribs."""
    u, v = _axes(grid, scale, angle)
    v = v + np.float32(0.1) * smooth(grid, 6, np.random.default_rng(seed))
    over = ((np.floor(u) + np.floor(v)) % 3 < 1).astype(np.float32)
    relief = np.where(over > 0, np.abs(np.sin(_PI * v)), np.abs(np.sin(_PI * u)))
    return np.clip(over * 0.7 + 0.3 * (1 - relief), 0, 1), relief


def knit(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Columns of V-shaped stitches."""
    u, v = _axes(grid, scale, angle)
    u = u + np.float32(0.1) * smooth(grid, 5, np.random.default_rng(seed))
    arm = np.abs(_frac(u) - 0.5) * 2
    relief = np.abs(np.sin(_PI * (v - 0.8 * arm))) * np.sqrt(np.abs(np.sin(2 * _PI * u)))
    return 1 - relief, relief


def ribs(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Parallel ridges with a nap."""
    u, v = _axes(grid, scale, angle)
    u = u + np.float32(0.06) * smooth(grid, 4, np.random.default_rng(seed))
    ridge = np.abs(np.sin(_PI * u))
    nap = stretched(u * 5, v * 1.7, seed + 1)
    return np.clip(1 - ridge + 0.25 * nap, 0, 1), ridge + 0.15 * nap


def pile(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Tufts of a carpet or felt."""
    u, v = _axes(grid, scale, angle)
    fine = stretched(u * 3.1, v * 2.3, seed + 1)
    tufts = stretched(u * 2.0 + 0.8 * np.sin(v), v, seed) + np.float32(0.7) * fine
    return np.clip(0.5 + 0.45 * tufts, 0, 1), tufts


def hide(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Leather: rounded cells between fine wrinkles."""
    u, v = _axes(grid, scale, angle)
    first, second, value = cells(u, v * np.float32(1.25), seed)
    ridge = np.clip((second - first) * 3, 0, 1)
    return np.clip(1 - ridge + 0.2 * value, 0, 1), ridge


def pebbles(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Close-packed grains or bubbles of different shades."""
    u, v = _axes(grid, scale, angle)
    first, _, value = cells(u, v, seed, jitter=0.75)
    dome = np.clip(1 - first * first * 2, 0, 1)
    return np.clip(0.6 * value + 0.5 * (1 - dome), 0, 1), dome


def chips(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Terrazzo: chips of stone of many shades in a matrix."""
    u, v = _axes(grid, scale, angle)
    first, second, value = cells(u, v, seed)
    chip = _step(second - first - (0.15 + 0.4 * _frac(value * 7)), 0.08)
    return chip * (0.25 + 0.75 * value), chip * np.float32(0.1)


def crystals(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Flat grains of a polycrystal, each of a uniform shade."""
    u, v = _axes(grid, scale, angle)
    _, _, value = cells(u, v, seed)
    return value, np.zeros_like(value)


def marble(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Veins in stone."""
    u, _ = _axes(grid, scale * 0.25, angle)
    veins = 1 - np.abs(np.sin(_PI * (u + np.float32(0.55) * fractal(grid, seed, count=2, octaves=5))))
    return np.clip(veins**3 + 0.15, 0, 1), np.zeros_like(veins)


def holes(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Round holes in staggered rows; tone 1 is a hole."""
    u, v = _axes(grid, scale, angle)
    v = v * np.float32(1.155)
    u = u + np.float32(0.5) * (np.floor(v) % 2)
    distance = np.sqrt((_frac(u) - 0.5) ** 2 + ((_frac(v) - 0.5) / 1.155) ** 2)
    inside = _step(np.float32(0.3) - distance, max(grid.pixel * scale / 2, 0.04))
    return inside, -inside


def mesh(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Crossed bars with square openings; tone 1 is an opening."""
    u, v = _axes(grid, scale, angle)
    gap = np.minimum(np.float32(0.5) - np.abs(_frac(u) - 0.5), np.float32(0.5) - np.abs(_frac(v) - 0.5))
    inside = _step(gap - np.float32(0.16), max(grid.pixel * scale / 2, 0.04))
    return inside, -inside


def bricks(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Bricks in running bond; tone 1 is the mortar."""
    u, v = _axes(grid, scale, angle)
    row = np.floor(v)
    u = u * np.float32(0.45) + np.float32(0.5) * (row % 2)
    joint = np.minimum((0.5 - np.abs(_frac(u) - 0.5)) / 0.45, 0.5 - np.abs(_frac(v) - 0.5))
    mortar = 1 - _step(joint - np.float32(0.09), max(grid.pixel * scale / 2, 0.04))
    shade = _frac(np.sin(np.floor(u) * 12.99 + row * 78.2 + seed % 97) * 43.7)
    rough = smooth(grid, 32, np.random.default_rng(seed))
    return np.clip(mortar + (1 - mortar) * 0.35 * shade, 0, 1), -mortar + 0.1 * rough


def tiles(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Square tiles with joints; tone 1 is the joint."""
    u, v = _axes(grid, scale, angle)
    joint = np.minimum(0.5 - np.abs(_frac(u) - 0.5), 0.5 - np.abs(_frac(v) - 0.5))
    groove = 1 - _step(joint - np.float32(0.04), max(grid.pixel * scale / 2, 0.03))
    return groove, -groove


def checks(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """A printed or woven check pattern of stripes in two directions."""
    u, v = _axes(grid, scale, angle)
    tone = 0.5 * (_frac(u) < 0.45) + 0.5 * (_frac(v) < 0.45)
    thread = np.sin(u * 40) * np.sin(v * 40)
    return np.clip(tone.astype(np.float32) + 0.08 * thread, 0, 1), thread


def dots(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Printed dots in straight rows; tone 1 is ink."""
    u, v = _axes(grid, scale, angle)
    distance = np.sqrt((_frac(u) - 0.5) ** 2 + (_frac(v) - 0.5) ** 2)
    ink = _step(np.float32(0.25) - distance, max(grid.pixel * scale / 2, 0.04))
    return ink, smooth(grid, 48, np.random.default_rng(seed))


def studs(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Oblong studs of a tread plate in alternating directions."""
    u, v = _axes(grid, scale, angle)
    along = (np.floor(u) + np.floor(v)) % 2 > 0
    a, b = _frac(u) - 0.5, _frac(v) - 0.5
    a, b = np.where(along, a, b), np.where(along, b, a)
    dome = np.clip(1 - (a / 0.42) ** 2 - (b / 0.15) ** 2, 0, 1)
    return np.clip(0.4 * dome, 0, 1), np.sqrt(dome)


def cork(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Pressed cork grains of different shades, with dark specks of bark."""
    u, v = _axes(grid, scale, angle)
    du, dv = stretched(u * 2.3, v * 2.3, seed + 1), stretched(u * 2.3 + 9, v * 2.3, seed + 2)
    u, v = u + 0.35 * du, v + 0.35 * dv
    first, second, value = cells(u, v, seed)
    seam = 1 - np.clip((second - first) * 6, 0, 1)
    bark = _step(stretched(u * 1.7, v * 1.7, seed + 3) - np.float32(0.62), 0.08)
    fine = stretched(u * 5, v * 5, seed + 4)
    return np.clip(0.5 * value + 0.3 * seam + 0.15 * fine + 0.8 * bark, 0, 1), fine - seam - bark


def gravel(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Loose stones of many shades, with small stones in the dark gaps between large ones."""
    u, v = _axes(grid, scale, angle)
    u = u + np.float32(0.15) * stretched(u * 2.1, v * 2.1, seed + 1)
    tone, relief = np.ones_like(u), -np.ones_like(u)
    for share, lift, seeded in ((2.1, -0.6, seed + 2), (1.0, 0.2, seed)):
        first, second, value = cells(u * np.float32(share), v * np.float32(share), seeded)
        reach = np.float32(0.34) + np.float32(0.22) * _frac(value * 7)
        dome = np.clip(1 - (first / reach) ** 2, 0, 1) * np.clip((second - first) * 6, 0, 1)
        stone = np.clip(dome * 6, 0, 1)
        shade = np.clip(0.6 * value + 0.25 * (1 - dome), 0, 1)
        tone = tone + stone * (shade - tone)
        relief = relief + stone * (np.float32(lift) + np.sqrt(dome) - relief)
    return tone, relief


def wicker(grid: Grid, scale: float, angle: float, seed: int) -> Texture:
    """Round strands woven around upright stakes; tone 1 is a gap."""
    u, v = _axes(grid, scale, angle)
    v = v * np.float32(2.2) + np.float32(0.12) * smooth(grid, 5, np.random.default_rng(seed))
    swing = np.cos(_PI * u) * (1 - 2 * (np.floor(v) % 2))  # positive where a strand is in front
    strand = np.sqrt(np.clip(1 - ((_frac(v) - 0.5) / 0.47) ** 2, 0, 1))
    stake = np.sqrt(np.clip(1 - ((_frac(u + 0.5) - 0.5) / 0.2) ** 2, 0, 1))
    weaver = strand * (0.5 + 0.5 * swing)
    relief = np.maximum(weaver, 0.55 * stake)
    strands = stretched(u * 0.2, np.floor(v), seed + 2)
    fibre = stretched(u * 2.5, v * 5.3, seed + 1) + np.float32(0.8) * strands
    return np.clip(0.9 - 1.1 * relief + 0.16 * fibre, 0, 1), relief + 0.04 * fibre
