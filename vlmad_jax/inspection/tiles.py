"""Score large images in overlapping tiles, so that small defects are not lost by resizing.

An image is resized to a canvas, from which tiles of the detector's input size are cut, row by row. With one
tile the canvas has the detector's input size. Each tile is scored as an image of its own, and the memory of a
method holds tiles of the reference images. A detector therefore scores with the tiles that it was fitted
with, and a threshold holds only for those.

Maps are stitched with weights that fall smoothly to 0 over the overlap and add up to 1. The image score is
the maximum over the tiles. No tile shows the whole image, so defects of the whole, such as a missing or
misplaced part, are better found with one tile.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.errors import InputError
from vlmad_jax.methods import Detector, Scores

OVERLAP = 0.25  # share of a tile's side that it has in common with its neighbour
SHRINKING = 4  # `auto` cuts tiles so that images are resized by about this factor
MAX_TILES = 8  # largest number of tiles along a side
TILES_AT_ONCE = 16  # tiles that pass through the detector together


@dataclass(frozen=True)
class Tiling:
    """A grid of `rows` x `columns` tiles of `size` x `size` pixels that overlap by `overlap` pixels."""

    rows: int
    columns: int
    size: int
    overlap: int

    @classmethod
    def of(cls, rows: int, columns: int, size: int) -> Tiling:
        """Return a grid of tiles of a detector's input size that overlap by a quarter."""
        return cls(rows, columns, size, round(OVERLAP * size))

    @classmethod
    def choose(cls, wanted: str, size: int, images: Sequence[tuple[int, int]]) -> Tiling:
        """Return the grid that a user asks for.

        Args:
          wanted: "3" for 3 x 3, "2x5" for 2 rows of 5, or "auto" for the median size of `images`.
          size: the detector's input size in pixels.
          images: (width, height) of each image.

        Raises:
          InputError: `wanted` is something else, or has more than 8 tiles along a side.
        """
        if wanted == "auto":
            width, height = np.median(images, axis=0) if images else (size, size)
            rows, columns = (min(max(round(x / (SHRINKING * size)), 1), MAX_TILES) for x in (height, width))
            return cls.of(rows, columns, size)
        found = re.fullmatch(r"(\d{1,3})(?:x(\d{1,3}))?", wanted)
        if not found:
            raise InputError(f"--tiles={wanted}: give auto, a number, or rows and columns, for example 2x5")
        rows, columns = int(found[1]), int(found[2] or found[1])
        if not (1 <= rows <= MAX_TILES and 1 <= columns <= MAX_TILES):
            raise InputError(f"--tiles={wanted}: give 1 to {MAX_TILES} a side")
        return cls.of(rows, columns, size)

    def __str__(self) -> str:
        """Return for example "1 x 2 of 64 x 64 pixels, of images resized to 112 x 64"."""
        height, width = self.canvas
        tiles = f"{self.rows} x {self.columns} of {self.size} x {self.size} pixels"
        return f"{tiles}, of images resized to {width} x {height}"

    @property
    def count(self) -> int:
        """Number of tiles of an image."""
        return self.rows * self.columns

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) in pixels to which an image is resized."""
        rows, columns = (int(self.pixels(count)[-1, -1]) + 1 for count in (self.rows, self.columns))
        return rows, columns

    def pixels(self, count: int) -> np.ndarray:
        """Return the pixels of the canvas in each of `count` tiles along a side, (count, size)."""
        stride = self.size - self.overlap
        return stride * np.arange(count)[:, None] + np.arange(self.size)

    def describe(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def cut(self, canvases: Array) -> Array:
        """Cut canvases into tiles, row by row: (B, *canvas, 3) -> (B * count, S, S, 3)."""
        rows = canvases[:, self.pixels(self.rows)]  # (B, rows, S, width, 3)
        tiles = rows[:, :, :, self.pixels(self.columns)].swapaxes(2, 3)  # (B, rows, columns, S, S, 3)
        return tiles.reshape(-1, self.size, self.size, canvases.shape[-1])

    def join(self, scores: Scores) -> Scores:
        """Join scores of tiles (B * count) to scores of images: image (B,), map (B, *canvas)."""
        return Scores(scores.image.reshape(-1, self.count).max(axis=1), self.stitch(scores.map))

    def stitch(self, maps: Array) -> jax.Array:
        """Stitch maps of tiles to maps of images: (B * count, S, S) -> (B, *canvas)."""
        grid = maps.reshape(-1, self.rows, self.columns, self.size, self.size)
        across = einsum("brcyx,cxw->bryw", grid, self.weights(self.columns))
        return einsum("bryw,ryh->bhw", across, self.weights(self.rows))

    def weights(self, count: int) -> np.ndarray:
        """Return the weight of each pixel of each tile for each pixel of the canvas along a side.

        Weights (count, S, length) add up to 1 for each pixel of the canvas.
        """
        pixels = self.pixels(count)
        inside = np.minimum(np.arange(self.size), np.arange(self.size)[::-1]) + 0.5
        smooth = np.sin(np.pi / 2 * np.minimum(inside / max(self.overlap, 1), 1)) ** 2
        placed = np.zeros((*pixels.shape, pixels[-1, -1] + 1))
        np.put_along_axis(placed, pixels[..., None], np.tile(smooth, (count, 1))[..., None], axis=2)
        return (placed / placed.sum(axis=(0, 1))).astype(np.float32)


@dataclass(frozen=True)
class TiledDetector:
    """A detector of canvases, which scores them tile by tile; a model of `evaluation.scorer.Scorer`.

    Attributes:
      detector: the detector of a tile.
      tiling: the tiles.
    """

    detector: Detector
    tiling: Tiling

    @property
    def backbone(self) -> Backbone:
        """The backbone."""
        return self.detector.backbone

    def score_with(self, variables: dict[str, Any], state: Any, canvases: jax.Array) -> Scores:
        """Score canvases uint8 (B, *canvas, 3) to image (B,) and map (B, *canvas), as a pure function."""

        def score(tiles: jax.Array) -> Scores:
            return self.detector.score_with(variables, state, tiles)

        if self.tiling.count == 1:
            return score(canvases)
        tiles = jnp.asarray(self.tiling.cut(canvases))
        return self.tiling.join(Scores(*map_chunks(score, tiles, TILES_AT_ONCE)))
