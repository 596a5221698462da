"""A detector with all it takes to judge images of one product: fitted, saved, loaded, called.

d = vlmad_jax.load_detector("nut.vlmad")
result = d("new/0001.png")
result.bad, result.probability, result.image, result.map, result.boxes
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from vlmad_jax.data.images import resize_image
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.any_image import AnyImage, as_image
from vlmad_jax.inspection.decision import Decision
from vlmad_jax.inspection.result import Result
from vlmad_jax.inspection.scorer import Scorer


@dataclass(frozen=True, eq=False)
class FittedDetector:
    """A method, its state for one product, and the thresholds; can be called from any thread.

    Attributes:
      scorer: the method on canvases of images.
      state: what `Detector.prepare` made of the good images and the product's name.
      decision: the thresholds.
      description: all that is known of how it was made, as `detector.json` has it.
      checksum: of the saved directory; changes with anything in it.
    """

    scorer: Scorer
    state: Any
    decision: Decision
    description: dict[str, Any]
    checksum: str

    def __repr__(self) -> str:
        detector, (rows, columns) = self.scorer.detector, self.canvas
        return (
            f"FittedDetector({detector.name} of {self.object_name!r}, threshold {self.threshold:.6g}, "
            f"images of {rows} x {columns} pixels, {self.batch_size} together,\n  {detector!r})"
        )

    @overload
    def __call__(self, images: AnyImage) -> Result: ...

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...]) -> list[Result]: ...

    def __call__(self, images: AnyImage | list[Any] | tuple[Any, ...]) -> Result | list[Result]:
        """What it says of an image, or of each of a list.

        An image is a path, a PIL image, or uint8 (height, width, 3) or (height, width), of any size.

        Raises:
          InputError: something else, or an image that does not decode.
        """
        if not isinstance(images, (list, tuple)):
            return self([images])[0]
        results: list[Result] = []
        for first in range(0, len(images), self.batch_size):  # large images are let go of soon
            shown = [as_image(image) for image in images[first : first + self.batch_size]]
            canvases = np.stack([resize_image(image, self.canvas) for image in shown])
            results += self.judge(canvases, [(image.height, image.width) for image in shown])
        return results

    def judge(self, canvases: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[Result]:
        """What it says of images resized to `canvas`, uint8 (N, *canvas, 3), (height, width) before."""
        scores = self.scorer.score(self.state, canvases)
        rows = zip(scores.image, scores.map, sizes, strict=True)
        return [Result.judged(float(image), map, size, self.decision) for image, map, size in rows]

    @property
    def canvas(self) -> tuple[int, int]:
        """Rows and columns of pixels that images are resized to."""
        return self.scorer.tiling.canvas

    @property
    def batch_size(self) -> int:
        """Images scored together."""
        return self.scorer.batch_size

    @property
    def threshold(self) -> float:
        """Image scores above it are bad."""
        return self.decision.threshold

    @property
    def object_name(self) -> str:
        """What it looks at."""
        return self.description["object"]

    def with_batch_size(self, batch_size: int) -> FittedDetector:
        """The same, so many images scored together; compiled anew."""
        scorer = Scorer(self.scorer.detector, self.scorer.tiling, batch_size)
        return dataclasses.replace(self, scorer=scorer)

    def with_threshold(self, threshold: float, pixel_threshold: float | None = None) -> FittedDetector:
        """The same with another threshold of images and, if given, of pixels; probabilities follow.

        Raises:
          InputError: a threshold that is not a finite number.
        """
        pixels = self.decision.pixel_threshold if pixel_threshold is None else pixel_threshold
        if not np.isfinite([threshold, pixels]).all():
            raise InputError(f"threshold {threshold}, of pixels {pixels}: give finite numbers")
        changed = dataclasses.replace(
            self.decision, threshold=float(threshold), pixel_threshold=float(pixels)
        )
        return dataclasses.replace(self, decision=changed)
