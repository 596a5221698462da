"""What a detector says of one image."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vlmad_jax.inspection.boxes import Box, boxes_of
from vlmad_jax.inspection.decision import Decision


@dataclass(frozen=True, eq=False)
class Result:
    """Good or not, where, how sure.

    Attributes:
      image: the score of the image, higher is worse.
      probability: how sure it is that the image is bad, 0 to 1; 0.5 at the threshold.
      bad: whether the score is above the threshold.
      canvas_map: float32, the map at the size at which it was computed.
      size: (height, width) of the image.
      decision: the thresholds that it was judged by.
    """

    image: float
    probability: float
    bad: bool
    canvas_map: np.ndarray
    size: tuple[int, int]
    decision: Decision

    @classmethod
    def judged(
        cls, score: float, canvas_map: np.ndarray, size: tuple[int, int], decision: Decision
    ) -> Result:
        """The result of a score and a map."""
        probability, bad = decision.probability(score), decision.bad(score)
        return cls(float(score), probability, bad, canvas_map, size, decision)

    @functools.cached_property
    def map(self) -> np.ndarray:
        """float32 (height, width): a score for each pixel of the image, higher is worse.

        Interpolated bilinearly from `canvas_map` when first asked for.
        """
        height, width = self.size
        whole = Image.fromarray(self.canvas_map).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(whole)

    @functools.cached_property
    def boxes(self) -> tuple[Box, ...]:
        """The regions of the map above the pixel threshold, worst first, in pixels of the image.

        Taken from `canvas_map`. An image can be bad without any: the two thresholds are of their own.
        """
        return boxes_of(self.canvas_map, self.decision.pixel_threshold, self.size)
