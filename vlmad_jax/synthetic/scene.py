"""Scenes of an object's parts over a backdrop, and how they are drawn and shaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlmad_jax.synthetic.grid import Array, Grid, Point, Pose, whole
from vlmad_jax.synthetic.materials import Material, surface
from vlmad_jax.synthetic.shapes import Shape, everywhere

Warp = Callable[[Array, Array], tuple[Array, Array]]


@dataclass(frozen=True)
class Part:
    """One layer of an object, in the object's coordinates.

    Attributes:
        role: The role of the part, such as "body", "pin" or "print".
        shape: The signed distance of the part's outline.
        material: The material of the surface.
        centre, reach: The centre and radius of a disc that contains the part.
        bevel: The width over which the part rises from its border to `height`.
        height: The height of the part, negative for a hollow, in units of length.
        shadow: The strength of the shadow that the part casts, 0..1.
        opacity: The opacity of the part. 1 hides everything below it.
        loose: Whether the part can be missing, misplaced, doubled, or of a wrong colour.
        bendable: Whether the part can be bent.
        breakable: Whether a piece of the part can break off.
        printed: Whether the part changes the colour of what is below it, but not the relief.
        warp: A change of coordinates for shape and texture.
    """

    role: str
    shape: Shape
    material: Material
    centre: Point = (0.0, 0.0)
    reach: float = 1.5
    bevel: float = 0.05
    height: float = 0.0
    shadow: float = 0.0
    opacity: float = 1.0
    loose: bool = False
    bendable: bool = False
    breakable: bool = False
    printed: bool = False
    warp: Warp | None = None


@dataclass(frozen=True)
class Light:
    """A lamp's direction (azimuth and elevation in radians) and the share of ambient light."""

    azimuth: float
    elevation: float
    ambient: float


@dataclass(frozen=True)
class Scene:
    """Parts from back to front in a pose, and their light. There is no backdrop if a part fills the image."""

    backdrop: Material | None
    parts: tuple[Part, ...]
    pose: Pose
    light: Light


@dataclass(frozen=True)
class Canvas:
    """A scene before shading: albedo (3, S, S), and height, gloss and coverage by the object (S, S)."""

    albedo: Array
    height: Array
    gloss: Array
    inside: Array


def draw(scene: Scene, size: int) -> Canvas:
    """Draw the backdrop and the parts of a scene."""
    grid = whole(size)
    canvas = Canvas(np.zeros((3, size, size), np.float32), *np.zeros((3, size, size), np.float32))
    if scene.backdrop is not None:
        canvas.albedo[:], canvas.height[:] = surface(scene.backdrop, grid)
        canvas.gloss[:] = scene.backdrop.gloss
    for part in scene.parts:
        if part.shadow:
            _cast_shadow(canvas, part, scene, grid)
        _draw_part(canvas, part, scene.pose, grid)
    return canvas


def _window(part: Part, pose: Pose, grid: Grid, margin: float) -> Grid | None:
    return grid.around(pose.to_image(part.centre), part.reach * pose.scale + margin)


def _placed(part: Part, pose: Pose, window: Grid) -> Grid:
    placed = window.posed(pose)
    return placed.at(*part.warp(placed.x, placed.y)) if part.warp else placed


def _draw_part(canvas: Canvas, part: Part, pose: Pose, grid: Grid) -> None:
    window = _window(part, pose, grid, 2 * grid.pixel)
    if window is None:
        return
    placed = _placed(part, pose, window)
    if part.shape is everywhere:
        canvas.albedo[:], canvas.height[:] = surface(part.material, placed)
        canvas.gloss[:], canvas.inside[:] = part.material.gloss, 1
        return
    distance = part.shape(placed.x, placed.y)
    alpha = placed.coverage(distance)
    if part.opacity < 1:
        alpha = alpha * np.float32(part.opacity)
    colour, relief = surface(part.material, placed)
    if part.height:
        rise = np.clip(-distance / np.float32(part.bevel), 0, 1)
        relief = relief + np.float32(part.height) * np.sqrt(rise * (2 - rise))
    area = (window.rows, window.cols)
    _mix(canvas.albedo[:, window.rows, window.cols], colour, alpha)
    if not part.printed:
        _mix(canvas.height[area], relief, alpha)
    _mix(canvas.gloss[area], np.float32(part.material.gloss), alpha)
    inside = canvas.inside[area]
    np.maximum(inside, alpha / np.float32(part.opacity), out=inside)


def _mix(below: Array, above: Array | np.float32, alpha: Array) -> None:
    below += alpha * (above - below)


def _cast_shadow(canvas: Canvas, part: Part, scene: Scene, grid: Grid) -> None:
    blur, away = 0.06, 0.05
    window = _window(part, scene.pose, grid, blur + away)
    if window is None:
        return
    dx, dy = away * math.cos(scene.light.azimuth), away * math.sin(scene.light.azimuth)
    moved = window.at(window.x + np.float32(dx), window.y + np.float32(dy))
    placed = _placed(part, scene.pose, moved)
    shade = np.clip(np.float32(0.5) - part.shape(placed.x, placed.y) / np.float32(2 * blur), 0, 1)
    canvas.albedo[:, window.rows, window.cols] *= 1 - np.float32(part.shadow) * shade * shade


def shade(canvas: Canvas, light: Light) -> Array:
    """Return the canvas under diffuse and specular light (Blinn-Phong from above), (3, S, S), about 0..1."""
    gy, gx = (_slope(canvas.height, axis) for axis in (0, 1))
    flat = math.cos(light.elevation)
    lx, ly, lz = flat * math.cos(light.azimuth), flat * math.sin(light.azimuth), math.sin(light.elevation)
    length = np.sqrt(1 + gx * gx + gy * gy)
    # The light comes from (lx, ly, lz). A slope that rises towards it faces away from it, hence the signs.
    facing = np.maximum((lz - gx * np.float32(lx) - gy * np.float32(ly)) / length, 0) * np.float32(1 / lz)
    norm = math.sqrt(lx * lx + ly * ly + (lz + 1) ** 2)
    half = (np.float32(lz + 1) - gx * np.float32(lx) - gy * np.float32(ly)) / (length * np.float32(norm))
    shine = np.maximum(half, 0)
    for _ in range(4):
        shine = shine * shine
    diffuse = np.float32(light.ambient) + np.float32(1 - light.ambient) * facing
    level = ((lz + 1) / norm) ** 16  # the specular light of a level surface is part of its colour
    return canvas.albedo * diffuse + canvas.gloss * (shine - np.float32(level))


def _slope(height: Array, axis: int) -> Array:
    """Return the Sobel slope of a relief along an axis, limited to avoid extreme values at steep steps."""
    size = height.shape[0]
    h = height if axis == 1 else height.T
    rise = h[:, 2:] - h[:, :-2]
    slope = np.zeros_like(h)
    slope[1:-1, 1:-1] = rise[:-2] + 2 * rise[1:-1] + rise[2:]
    slope *= np.float32(size / 16)
    np.clip(slope, -1.6, 1.6, out=slope)
    return slope if axis == 1 else slope.T
