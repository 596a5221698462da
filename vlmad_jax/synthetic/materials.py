"""Materials of surfaces: two colours mixed by a texture, a relief and a gloss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlmad_jax.synthetic import textures
from vlmad_jax.synthetic.colours import Colour
from vlmad_jax.synthetic.grid import Array, Grid

TEXTURES: dict[str, Callable[[Grid, float, float, int], tuple[Array, Array]]] = {
    "flat": textures.flat,
    "plain": textures.plain,
    "brushed": textures.brushed,
    "turned": textures.turned_on_lathe,
    "cast": textures.cast,
    "grain": textures.grain,
    "wood": textures.wood,
    "weave": textures.weave,
    "twill": textures.twill,
    "knit": textures.knit,
    "ribs": textures.ribs,
    "pile": textures.pile,
    "hide": textures.hide,
    "pebbles": textures.pebbles,
    "chips": textures.chips,
    "crystals": textures.crystals,
    "marble": textures.marble,
    "holes": textures.holes,
    "mesh": textures.mesh,
    "bricks": textures.bricks,
    "tiles": textures.tiles,
    "checks": textures.checks,
    "dots": textures.dots,
    "studs": textures.studs,
    "cork": textures.cork,
    "gravel": textures.gravel,
    "wicker": textures.wicker,
}


@dataclass(frozen=True)
class Material:
    """The material of a surface.

    Attributes:
        colour, second: The colours of the texture's tones 0 and 1, RGB 0..1.
        texture: A name in `TEXTURES`.
        scale: The number of features in a unit of length (an image is 2 units wide).
        angle: The direction of the texture, radians.
        bump: The height of the texture's relief, in units of length.
        gloss: The strength of highlights, 0..1.
        mottle: The strength of smooth, irregular variations of lightness.
        seed: The seed of the texture, which differs between images.
    """

    colour: Colour
    second: Colour | None = None
    texture: str = "plain"
    scale: float = 8.0
    angle: float = 0.0
    bump: float = 0.0
    gloss: float = 0.1
    mottle: float = 0.03
    seed: int = 0


def surface(material: Material, grid: Grid) -> tuple[Array, Array]:
    """Return the colour (3, h, w) in 0..1 and the relief (h, w) of a material, in units of length."""
    tone, relief = TEXTURES[material.texture](grid, material.scale, material.angle, material.seed)
    first = np.asarray(material.colour, np.float32)[:, None, None]
    second = np.asarray(material.second or material.colour, np.float32)[:, None, None]
    colour = first + (second - first) * tone
    if material.mottle:
        _, clouds = textures.plain(grid, 1.0, 0.0, material.seed + 1)
        colour = colour * (1 + np.float32(material.mottle) * clouds)
    return colour, relief * np.float32(material.bump)
