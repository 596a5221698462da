"""Large pictures in overlapping tiles, so that small defects survive the shrinking.

A picture is resized to a canvas, from which tiles of the detector's own size are cut, row by row; with one
tile the canvas is what the detector takes anyway. Each tile is scored as a picture of its own, and tiles of
good pictures are what a memory of good pictures then holds. So a detector that was fitted with tiles scores
with the same tiles, and a threshold holds only for the tiles it was fitted with.

The map is stitched with weights that fall smoothly to 0 over the overlap and add up to 1; the image score is
the maximum over tiles: a picture is as bad as its worst part. No tile sees the whole picture, so what can
only be seen as a whole, a part that is missing or in a wrong place, is better found with one tile.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.clip.pictures import Array
from vlmad_jax.errors import InputError
from vlmad_jax.methods import Scores

# Of a tile's side, what it shares with its neighbour.
OVERLAP = 0.25
# `auto` gives a picture one more tile a side for every so many times that it is larger than the detector's.
SHRINKING = 4
MOST = 8  # tiles a side


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut: `rows` x `columns` tiles of `size` pixels a side, `overlap` pixels shared."""

    rows: int
    columns: int
    size: int
    overlap: int

    @classmethod
    def of(cls, rows: int, columns: int, size: int) -> Tiling:
        """That many tiles of a detector's `size`, sharing a quarter."""
        return cls(rows, columns, size, round(OVERLAP * size))

    @classmethod
    def chosen(cls, wanted: str, size: int, pictures: Sequence[tuple[int, int]]) -> Tiling:
        """The tiles that a user asks for.

        Args:
          wanted: "3" for 3 x 3, "2x5" for 2 rows of 5, or "auto": by the median size of `pictures`.
          size: the detector's.
          pictures: (width, height) of some.

        Raises:
          InputError: anything else, or more than 8 a side.
        """
        if wanted == "auto":
            width, height = np.median(pictures, axis=0) if pictures else (size, size)
            rows, columns = (min(max(round(x / (SHRINKING * size)), 1), MOST) for x in (height, width))
            return cls.of(rows, columns, size)
        found = re.fullmatch(r"(\d{1,3})(?:x(\d{1,3}))?", wanted)
        if not found:
            raise InputError(f"--tiles={wanted}: give auto, a number, or rows and columns, for example 2x5")
        rows, columns = int(found[1]), int(found[2] or found[1])
        if not (1 <= rows <= MOST and 1 <= columns <= MOST):
            raise InputError(f"--tiles={wanted}: give 1 to {MOST} a side")
        return cls.of(rows, columns, size)

    @property
    def count(self) -> int:
        """Tiles of a picture."""
        return self.rows * self.columns

    @property
    def canvas(self) -> tuple[int, int]:
        """Rows and columns of pixels that a picture is resized to."""
        stride = self.size - self.overlap
        return self.size + (self.rows - 1) * stride, self.size + (self.columns - 1) * stride

    @property
    def corners(self) -> list[tuple[int, int]]:
        """The first row and column of each tile."""
        stride = self.size - self.overlap
        return [(row * stride, column * stride) for row in range(self.rows) for column in range(self.columns)]

    def describe(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def cut(self, canvases: Array) -> Array:
        """The tiles of canvases, picture after picture: (B, *canvas, 3) -> (B * count, size, size, 3)."""
        if self.count == 1:
            return canvases
        stack = np.stack if isinstance(canvases, np.ndarray) else jnp.stack
        side = self.size
        tiles = stack([canvases[:, y : y + side, x : x + side] for y, x in self.corners], axis=1)
        return tiles.reshape(-1, side, side, canvases.shape[-1])

    def join(self, scores: Scores) -> Scores:
        """What is said of tiles as what is said of pictures: image (B,), map (B, *canvas)."""
        if self.count == 1:
            return scores
        maps = scores.map.reshape(-1, self.count, self.size, self.size)
        return Scores(scores.image.reshape(-1, self.count).max(axis=1), self.stitch(jnp.asarray(maps)))

    def stitch(self, maps: jax.Array) -> jax.Array:
        """Maps of tiles as maps of pictures: (B, count, size, size) -> (B, *canvas)."""
        weight, side = self.weight, self.size
        total = np.zeros(self.canvas, np.float32)
        joined = jnp.zeros((len(maps), *self.canvas), maps.dtype)
        for k, (y, x) in enumerate(self.corners):
            total[y : y + side, x : x + side] += weight
            joined = joined.at[:, y : y + side, x : x + side].add(maps[:, k] * weight)
        return joined / total

    @property
    def weight(self) -> np.ndarray:
        """Of a tile's pixels, (size, size): 1 in its middle; those of neighbours add up to 1."""
        inside = np.minimum(np.arange(self.size), np.arange(self.size)[::-1]) + 0.5
        line = np.sin(np.pi / 2 * np.minimum(inside / max(self.overlap, 1), 1)) ** 2
        return np.outer(line, line).astype(np.float32)
