"""Score large images in overlapping tiles, so that small defects are not lost by resizing.

An image is resized to a canvas, from which tiles of the detector's input size are cut, row by row. With one
tile the canvas has the detector's input size. Each tile is scored as an image of its own, and the memory of a
method holds tiles of the reference images. A detector therefore scores with the tiles that it was fitted
with, and a threshold holds only for those.

Maps are stitched with weights that fall smoothly to 0 over the overlap and add up to 1. The image score is
the maximum over the tiles. No tile shows the whole image, so defects of the whole, such as a missing or
misplaced part, are better found with one tile.

With `--resize=shorter` there is one tile, in the proportions of the reference images, without the right and
lower border that fills no patch. There the map repeats its nearest values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.backbones.images import Array
from vlmad_jax.backbones.precision import einsum
from vlmad_jax.data.resizing import Resizing, check_resize, common_size
from vlmad_jax.errors import InputError
from vlmad_jax.methods import Detector, Scores
from vlmad_jax.runtime.sizes import ImageSize, height_and_width

OVERLAP = 0.25  # share of a tile's side that it has in common with its neighbour
SHRINKING = 4  # `auto` cuts tiles so that images are resized by about this factor
MAX_TILES = 8  # largest number of tiles along a side
TILES_AT_ONCE = 16  # tiles that pass through the detector together


@dataclass(frozen=True)
class Tiling:
    """A grid of tiles.

    Attributes:
      rows: number of rows of tiles.
      columns: number of columns of tiles.
      size: side of a tile in pixels, or (height, width).
      overlap: pixels that a tile has in common with its neighbour.
      whole: (height, width) of a canvas that a single tile does not fill; None if the tiles fill it.
    """

    rows: int
    columns: int
    size: int | tuple[int, int]
    overlap: int
    whole: tuple[int, int] | None = None

    @classmethod
    def of(cls, rows: int, columns: int, size: ImageSize) -> Tiling:
        """Return a grid of tiles of a detector's input size that overlap by a quarter."""
        height, width = height_and_width(size)
        side = height if height == width else (height, width)
        return cls(rows, columns, side, round(OVERLAP * min(height, width)))

    @classmethod
    def keeping(cls, resizing: Resizing) -> Tiling:
        """Return a single tile of images that keep their proportions."""
        single = cls.of(1, 1, resizing.cut)
        return single if resizing.whole == resizing.cut else replace(single, whole=resizing.whole)

    @classmethod
    def described(cls, fields: Mapping[str, Any]) -> Tiling:
        """Return the grid that `describe` described."""
        given: dict[str, Any] = {k: tuple(x) if isinstance(x, list) else x for k, x in fields.items()}
        return cls(**given)

    @classmethod
    def choose(cls, wanted: str, size: ImageSize, images: Sequence[tuple[int, int]]) -> Tiling:
        """Return the grid that a user asks for.

        Args:
          wanted: "3" for 3 x 3, "2x5" for 2 rows of 5, or "auto" for the median size of `images`.
          size: the detector's input size in pixels, a side or (height, width).
          images: (width, height) of each image.

        Raises:
          InputError: `wanted` is something else, or has more than 8 tiles along a side.
        """
        if wanted == "auto":
            sides = height_and_width(size)
            large = np.median(images, axis=0)[::-1] if images else sides
            shares = (x / (SHRINKING * side) for x, side in zip(large, sides, strict=True))
            rows, columns = (min(max(round(share), 1), MAX_TILES) for share in shares)
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
        (height, width), (tile_height, tile_width) = self.canvas, self.tile
        tiles = f"{self.rows} x {self.columns} of {tile_width} x {tile_height} pixels"
        return f"{tiles}, of images resized to {width} x {height}"

    @property
    def count(self) -> int:
        """Number of tiles of an image."""
        return self.rows * self.columns

    @property
    def tile(self) -> tuple[int, int]:
        """(height, width) of a tile."""
        return height_and_width(self.size)

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) in pixels to which an image is resized."""
        if self.whole is not None:
            return self.whole
        height, width = (int(self.pixels(axis)[-1, -1]) + 1 for axis in (0, 1))
        return height, width

    def pixels(self, axis: int) -> np.ndarray:
        """Return the pixels of the canvas in each tile, (rows, height) of axis 0 or (columns, width) of 1."""
        count, side = (self.rows, self.columns)[axis], self.tile[axis]
        return (side - self.overlap) * np.arange(count)[:, None] + np.arange(side)

    def describe(self) -> dict[str, Any]:
        """Return the fields by name, without `whole` if the tiles fill the canvas."""
        return {name: x for name, x in asdict(self).items() if x is not None}

    def cut(self, canvases: Array) -> Array:
        """Cut canvases into tiles, row by row: (B, *canvas, 3) -> (B * count, *tile, 3)."""
        rows = canvases[:, self.pixels(0)]  # (B, rows, height, W, 3)
        tiles = rows[:, :, :, self.pixels(1)].swapaxes(2, 3)  # (B, rows, columns, *tile, 3)
        return tiles.reshape(-1, *self.tile, canvases.shape[-1])

    def extended(self, maps: Array) -> jax.Array:
        """Repeat the last row and column of the maps of a single tile: (B, *tile) -> (B, *canvas)."""
        missing = (of - side for of, side in zip(self.canvas, self.tile, strict=True))
        return jnp.pad(maps, ((0, 0), *((0, n) for n in missing)), mode="edge")

    def join(self, scores: Scores) -> Scores:
        """Join scores of tiles (B * count) to scores of images: image (B,), map (B, *canvas)."""
        return Scores(scores.image.reshape(-1, self.count).max(axis=1), self.stitch(scores.map))

    def stitch(self, maps: Array) -> jax.Array:
        """Stitch maps of tiles to maps of images: (B * count, *tile) -> (B, *canvas)."""
        grid = maps.reshape(-1, self.rows, self.columns, *self.tile)
        across = einsum("brcyx,cxw->bryw", grid, self.weights(1))
        return einsum("bryw,ryh->bhw", across, self.weights(0))

    def weights(self, axis: int) -> np.ndarray:
        """Return the weight of each pixel of each tile for each pixel of the canvas along an axis.

        Weights (count, side, length) add up to 1 for each pixel of the canvas.
        """
        pixels = self.pixels(axis)
        count, side = pixels.shape
        inside = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
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

    @classmethod
    def choose(
        cls, detector: Detector, tiles: str, resize: str, images: Sequence[tuple[int, int]], source: str
    ) -> TiledDetector:
        """Return a detector with the tiles and the resizing that a user asks for.

        Args:
          detector: the detector at its own size.
          tiles: see `Tiling.choose`.
          resize: a name in `data.resizing.RESIZES`; "shorter" takes one tile of the median proportions.
          images: (width, height) of each image; without any, tiles are square.
          source: what the images are called in a notice.

        Raises:
          InputError: the tiles or the resizing are not possible, or do not go together.
        """
        check_resize(resize)
        if resize == "square":
            return cls(detector, Tiling.choose(tiles, detector.size, images))
        if tiles not in ("auto", "1", "1x1"):
            raise InputError(f"--tiles={tiles}: --resize=shorter takes one tile; drop one of the two")
        if not images:
            raise InputError(
                "--resize=shorter takes its proportions from --references, which are missing; give some"
            )
        size, backbone = common_size([(height, width) for width, height in images], source), detector.backbone
        resizing = Resizing.shorter(min(detector.size), backbone.patch_size, size, backbone.resample)
        return cls(detector.at_size(resizing.cut), Tiling.keeping(resizing))

    @property
    def backbone(self) -> Backbone:
        """The backbone."""
        return self.detector.backbone

    def score_with(self, variables: dict[str, Any], state: Any, canvases: jax.Array) -> Scores:
        """Score canvases uint8 (B, *canvas, 3) to image (B,) and map (B, *canvas), as a pure function."""

        def score(tiles: jax.Array) -> Scores:
            return self.detector.score_with(variables, state, tiles)

        if self.tiling.whole is not None:
            height, width = self.tiling.tile
            scores = score(canvases[:, :height, :width])
            return Scores(scores.image, self.tiling.extended(scores.map))
        if self.tiling.count == 1:
            return score(canvases)
        tiles = jnp.asarray(self.tiling.cut(canvases))
        return self.tiling.join(Scores(*map_chunks(score, tiles, TILES_AT_ONCE)))
