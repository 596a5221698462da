"""The outline of an object, on which defects are placed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import distance_transform_edt

from vlmad_jax.synthetic.grid import Array, Point


@dataclass(frozen=True)
class Place:
    """The outline of an object at a fixed resolution, so that places do not depend on the image size.

    Attributes:
        inside: The pixels that the object covers, bool (P, P).
    """

    inside: Array

    @cached_property
    def scale(self) -> float:
        """The side of a square with the object's area, as a share of the image's side."""
        return math.sqrt(max(float(self.inside.mean()), 1e-3))

    @cached_property
    def depth(self) -> Array:
        """The distance (P, P) of each pixel of the object to its border, in units of length."""
        padded = np.pad(self.inside, 1)
        return distance_transform_edt(padded)[1:-1, 1:-1] * (2.0 / len(self.inside))

    def point(self, rng: np.random.Generator, margin: float = 0.0) -> Point:
        """Draw a point at least `margin` inside the object, or the deepest of 40 points if none is."""
        rows, cols = np.nonzero(self.inside)
        if len(rows) == 0:
            return 0.0, 0.0
        picks = rng.integers(0, len(rows), 40)
        depths = self.depth[rows[picks], cols[picks]]
        deep = np.flatnonzero(depths >= margin)
        pick = picks[deep[0]] if len(deep) else picks[int(depths.argmax())]
        return self._to_point(rows[pick], cols[pick])

    def border(self, rng: np.random.Generator) -> tuple[Point, float]:
        """Draw a point on the object's border, and return it with the inward direction in radians."""
        unit = 2.0 / len(self.inside)
        rows, cols = np.nonzero(self.inside & (self.depth < 1.5 * unit))
        if len(rows) == 0:
            return (0.0, 0.0), 0.0
        pick = int(rng.integers(0, len(rows)))
        row, col = int(rows[pick]), int(cols[pick])
        dy, dx = (np.gradient(self.depth)[axis][row, col] for axis in (0, 1))
        return self._to_point(row, col), math.atan2(dy, dx)

    def _to_point(self, row: int, col: int) -> Point:
        unit = 2.0 / len(self.inside)
        return (float(col) + 0.5) * unit - 1, (float(row) + 0.5) * unit - 1
