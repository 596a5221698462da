"""Random fields from small lattices, which look the same at every image size."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from vlmad_jax.synthetic.grid import Array, Grid

_PERIOD = 64  # the period of the lattices of `stretched` and `cells`, in nodes


@lru_cache(maxsize=64)
def _spline(size: int, count: int) -> Array:
    """Return cubic B-spline weights (S, count + 3) of `count` lattice intervals across an image."""
    position = (np.arange(size) + 0.5) * (count / size)
    index = np.floor(position).astype(int)
    f = position - index
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]) / 6
    matrix = np.zeros((size, count + 3), np.float32)
    for k in range(4):
        matrix[np.arange(size), index + k] = weights[k]
    return matrix


def smooth(grid: Grid, count: int, rng: np.random.Generator) -> Array:
    """Return one octave of about standard normal noise (h, w), with `count` bumps across the image."""
    lattice = rng.standard_normal((count + 3, count + 3), dtype=np.float32)
    weights = _spline(grid.size, count)
    return np.float32(2.1) * (weights[grid.rows] @ lattice @ weights[grid.cols].T)


def fractal(grid: Grid, seed: int, count: int = 3, octaves: int = 4, gain: float = 0.6) -> Array:
    """Return a sum of octaves of `smooth` from `count` bumps on, (h, w), with standard deviation 1.

    Each octave is twice as fine as the previous one and `gain` times as strong. Octaves finer than two pixels
    are omitted. The field is fixed to the image, not to the object.
    """
    rng = np.random.default_rng(seed)
    total, power, strength = np.zeros(grid.x.shape, np.float32), 0.0, 1.0
    for octave in range(octaves):
        if count * 2**octave <= grid.size // 2:
            total += np.float32(strength) * smooth(grid, count * 2**octave, rng)
        power += strength**2
        strength *= gain
    return total * np.float32(1.0 / math.sqrt(power))


@lru_cache(maxsize=64)
def _values(seed: int) -> Array:
    return np.random.default_rng(seed).uniform(-1, 1, _PERIOD * _PERIOD).astype(np.float32)


@lru_cache(maxsize=64)
def _nodes(seed: int, jitter: float) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    x, y = (rng.uniform(-0.5, 0.5, (2, _PERIOD * _PERIOD)) * jitter + 0.5).astype(np.float32)
    return x, y, rng.uniform(0, 1, _PERIOD * _PERIOD).astype(np.float32)


def stretched(u: Array, v: Array, seed: int) -> Array:
    """Return value noise in -1..1 with one lattice node a unit of u and v; scale u or v to stretch it."""
    flat = _values(seed)
    u0, v0 = np.floor(u), np.floor(v)
    fu, fv = u - u0, v - v0
    fu, fv = fu * fu * (3 - 2 * fu), fv * fv * (3 - 2 * fv)
    iu, iv = u0.astype(np.int32) % _PERIOD, v0.astype(np.int32) % _PERIOD
    ju, row, below = (iu + 1) % _PERIOD, iv * _PERIOD, (iv + 1) % _PERIOD * _PERIOD
    top = flat[row + iu] * (1 - fu) + flat[row + ju] * fu
    bottom = flat[below + iu] * (1 - fu) + flat[below + ju] * fu
    return top + (bottom - top) * fv


def cells(u: Array, v: Array, seed: int, jitter: float = 0.9) -> tuple[Array, Array, Array]:
    """Return cellular noise with one random node in each unit square.

    Returns:
        The distances to the nearest and to the second nearest node, and a value in 0..1 of the nearest one.
    """
    node_x, node_y, value = _nodes(seed, jitter)
    u0, v0 = np.floor(u), np.floor(v)
    fu, fv = u - u0, v - v0
    iu, iv = u0.astype(np.int32), v0.astype(np.int32)
    first = np.full(u.shape, 9.0, np.float32)
    second, nearest = first.copy(), np.zeros(u.shape, np.int32)
    for dv in (-1, 0, 1):
        row = (iv + dv) % _PERIOD * _PERIOD
        for du in (-1, 0, 1):
            node = row + (iu + du) % _PERIOD
            a = node_x.take(node) + (np.float32(du) - fu)
            b = node_y.take(node) + (np.float32(dv) - fv)
            distance = a * a + b * b
            closer = distance < first
            second = np.minimum(second, np.maximum(distance, first))
            nearest = np.where(closer, node, nearest)
            first = np.minimum(first, distance)
    return np.sqrt(first), np.sqrt(second), value.take(nearest)
