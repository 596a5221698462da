"""Scoring canvases of images in batches of one shape, from any thread, compiled once."""

from __future__ import annotations

import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vlmad_jax.backbones.chunking import map_chunks
from vlmad_jax.inspection.tiles import Tiling
from vlmad_jax.methods import Detector, Scores
from vlmad_jax.methods.detector import check_finite

# Tiles that pass through the detector together.
TILES_AT_ONCE = 16


class Scorer:
    """A detector on tiled images, `batch_size` of them at a time.

    Every batch is filled up to one shape, so that a state of one shape is compiled for once. Threads take
    turns on the device: their batches would only wait for each other there, and fill its memory.
    """

    def __init__(self, detector: Detector, tiling: Tiling, batch_size: int) -> None:
        self.detector = detector
        self.tiling = tiling
        self.batch_size = batch_size
        self._turn = threading.Lock()
        self._compiled = False
        self._score = detector.clip.compile("vision", self.score_with)

    def __reduce__(self) -> tuple[Any, ...]:
        return Scorer, (self.detector, self.tiling, self.batch_size)  # not what is compiled

    def __repr__(self) -> str:
        return f"Scorer({self.detector!r}, {self.tiling!r}, batch_size={self.batch_size})"

    def score_with(self, variables: dict[str, Any], state: Any, canvases: jax.Array) -> Scores:
        """Image (B,) and map (B, *canvas) of uint8 (B, *canvas, 3); pure."""

        def score(tiles: jax.Array) -> Scores:
            return self.detector.score_with(variables, state, tiles)

        if self.tiling.count == 1:
            return score(canvases)
        tiles = jnp.asarray(self.tiling.cut(canvases))
        return self.tiling.join(Scores(*map_chunks(score, tiles, TILES_AT_ONCE)))

    def warm_up(self, state: Any) -> None:
        """Compiles, if no image was scored yet."""
        if not self._compiled:
            self.score(state, np.zeros((1, *self.tiling.canvas, 3), np.uint8))

    def score(self, state: Any, canvases: np.ndarray) -> Scores:
        """Image (N,) and map (N, *canvas), NumPy, of uint8 (N, *canvas, 3), N of 1 or more."""
        parts = []
        for first in range(0, len(canvases), self.batch_size):
            batch = canvases[first : first + self.batch_size]
            missing = self.batch_size - len(batch)
            filled = np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
            with self._turn:
                scores = jax.device_get(self._score(state, filled))
                self._compiled = True
            check_finite(scores, self.detector)
            parts.append(Scores(*(x[: len(batch)] for x in scores)))
        return Scores(*(np.concatenate(x) for x in zip(*parts, strict=True)))
