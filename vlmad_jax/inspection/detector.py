"""A fitted detector, its thresholds, and its results.

detector = vlmad_jax.load_detector("nut.vlmad")
result = detector("new/0001.png")
result.bad, result.probability, result.image, result.map, result.boxes
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from PIL import Image

from vlmad_jax.data.images import open_image, resize_image, to_rgb
from vlmad_jax.data.pipeline import ReadImage
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.inspection.tiles import TiledDetector
from vlmad_jax.methods import Detector
from vlmad_jax.runtime.pickling import PickleFieldsOnly

_EIGHT_NEIGHBOURS = np.ones((3, 3))


class Box(NamedTuple):
    """A region in pixels of the image: its upper left corner, its size, and the map's maximum inside it."""

    x: int
    y: int
    width: int
    height: int
    peak: float


def boxes_of(anomaly_map: np.ndarray, threshold: float, size: tuple[int, int]) -> tuple[Box, ...]:
    """Return the boxes of the regions above a threshold, highest peak first.

    Pixels that touch, even at a corner, belong to one region.

    Args:
      anomaly_map: (rows, columns) of any size, which covers the image.
      threshold: pixels above it belong to a region.
      size: (height, width) of the image. Boxes are in its pixels, rounded outwards.

    >>> boxes_of(np.array([[0, 0, 0, 0], [0, 0, 2, 3]]), 1, (20, 80))
    (Box(x=40, y=10, width=40, height=10, peak=3.0),)
    """
    from scipy import ndimage  # takes a quarter of a second to import

    regions, count = ndimage.label(anomaly_map > threshold, _EIGHT_NEIGHBOURS)
    peaks = ndimage.maximum(anomaly_map, regions, np.arange(1, count + 1)) if count else ()
    scales = [of / side for of, side in zip(size, anomaly_map.shape, strict=True)]
    found = []
    for slices, peak in zip(ndimage.find_objects(regions), peaks, strict=True):
        (top, bottom), (left, right) = (
            (math.floor(part.start * scale), math.ceil(part.stop * scale))
            for part, scale in zip(slices, scales, strict=True)
        )
        found.append(Box(left, top, right - left, bottom - top, float(peak)))
    return tuple(sorted(found, key=lambda box: -box.peak))


@dataclass(frozen=True)
class Decision:
    """The thresholds that turn scores into decisions.

    Attributes:
      threshold: an image with a score above it is bad.
      scale: scale of the logistic function that turns a score into a probability, above 0.
      pixel_threshold: map values above it belong to a defect.
      pixel_low: mean map value of normal images, the dark end of heat maps.
    """

    threshold: float
    scale: float
    pixel_threshold: float
    pixel_low: float

    def bad(self, score: float) -> bool:
        """Return whether an image with that score is bad."""
        return score > self.threshold

    def probability(self, score: float) -> float:
        """Return 1 / (1 + exp((threshold - score) / scale)): 0 to 1, 0.5 at the threshold.

        Fitting sees no defective image, so this is not a frequency of defects. It tells how far a score lies
        from the threshold, in units of the spread of normal scores.
        """
        from scipy.special import expit  # slow to import

        return float(expit((score - self.threshold) / self.scale))

    @property
    def colours(self) -> tuple[float, float]:
        """Map values at the two ends of the colour scale, the same for all images.

        Black is the mean of normal images; the middle of the scale is the pixel threshold.
        """
        return self.pixel_low, max(self.pixel_low, 2 * self.pixel_threshold - self.pixel_low)

    def describe(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Result:
    """The scores of one image and the decision on it.

    Attributes:
      image: score of the image, higher is more anomalous.
      probability: probability that the image is bad, 0 to 1, see `Decision.probability`.
      bad: whether the score is above the threshold.
      canvas_map: float32 anomaly map at the size at which it was computed.
      size: (height, width) of the image.
      decision: the thresholds that were applied.
    """

    image: float
    probability: float
    bad: bool
    canvas_map: np.ndarray
    size: tuple[int, int]
    decision: Decision

    @classmethod
    def of(cls, score: float, canvas_map: np.ndarray, size: tuple[int, int], decision: Decision) -> Result:
        """Apply thresholds to a score and a map."""
        probability, bad = decision.probability(score), decision.bad(score)
        return cls(float(score), probability, bad, canvas_map, size, decision)

    @functools.cached_property
    def map(self) -> np.ndarray:
        """Anomaly map of the image, float32 (height, width), higher is more anomalous.

        It is interpolated bilinearly from `canvas_map` when it is first used.
        """
        height, width = self.size
        whole = Image.fromarray(self.canvas_map).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(whole)

    @functools.cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Boxes of the regions of `canvas_map` above the pixel threshold, highest peak first.

        They are in pixels of the image. A bad image can have none, because the two thresholds are separate.
        """
        return boxes_of(self.canvas_map, self.decision.pixel_threshold, self.size)


AnyImage = str | Path | np.ndarray | Image.Image


def as_image(image: AnyImage) -> Image.Image:
    """Return an image as 8-bit RGB.

    Args:
      image: a path; a PIL image; or an array uint8 (height, width), which is grey, or (height, width, 3).

    Raises:
      InputError: the image is of another kind, or does not decode.
    """
    if isinstance(image, (str, Path)):
        return open_image(image)
    if isinstance(image, Image.Image):
        return to_rgb(image)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
        raise InputError(
            f"the image is {pixels.dtype} {list(pixels.shape)}; give uint8 [height, width, 3] or "
            "[height, width], a path, or a PIL image; give several images as a list"
        )
    if not pixels.size:
        raise InputError(f"the image is empty, {list(pixels.shape)}; give an image with pixels")
    grey = pixels.shape[2:] == (1,)
    return Image.fromarray(pixels[..., 0] if grey else pixels).convert("RGB")


@dataclass(frozen=True, eq=False)
class FittedDetector(PickleFieldsOnly):
    """A method, its state for one category, and its thresholds; any thread may call it.

    Attributes:
      scorer: scores canvases, which are images resized to `canvas`; its model is a `TiledDetector`.
      state: the result of `Detector.prepare` for the reference images and the object's name.
      decision: the thresholds.
      description: the contents of `detector.json`, which tell how the detector was fitted.
      checksum: checksum of the saved directory, which changes with every file in it.
    """

    scorer: Scorer
    state: Any
    decision: Decision
    description: dict[str, Any]
    checksum: str

    def __repr__(self) -> str:
        detector, (rows, columns) = self.method, self.canvas
        return (
            f"FittedDetector({detector.name} of {self.object_name!r}, threshold {self.threshold:.6g}, "
            f"images of {rows} x {columns} pixels, {self.batch_size} together,\n  {detector!r})"
        )

    @overload
    def __call__(self, images: AnyImage) -> Result: ...

    @overload
    def __call__(self, images: list[Any] | tuple[Any, ...]) -> list[Result]: ...

    def __call__(self, images: AnyImage | list[Any] | tuple[Any, ...]) -> Result | list[Result]:
        """Return the result of an image, or a list with the result of each image of a list.

        An image is a path, a PIL image, or an array uint8 (height, width, 3) or (height, width), of any size.

        Raises:
          InputError: an image is of another kind, or does not decode.
        """
        if not isinstance(images, (list, tuple)):
            return self([images])[0]
        results: list[Result] = []
        for first in range(0, len(images), self.batch_size):  # large images are freed soon
            shown = [as_image(image) for image in images[first : first + self.batch_size]]
            canvases = np.stack([self.resize(image) for image in shown])
            results += self.score(canvases, [(image.height, image.width) for image in shown])
        return results

    def score(self, canvases: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[Result]:
        """Return the results of canvases uint8 (N, *canvas, 3), whose images had these (height, width)."""
        scores = self.scorer.score_all(self.state, canvases)
        rows = zip(scores.image, scores.map, sizes, strict=True)
        return [Result.of(float(image), map, size, self.decision) for image, map, size in rows]

    def warm_up(self) -> None:
        """Compile, if this was not done yet, so that the first image does not wait for it."""
        _ = self._compiled

    @functools.cached_property
    def _compiled(self) -> bool:
        self.scorer.score_all(self.state, np.zeros((1, *self.canvas, 3), np.uint8))
        return True

    @property
    def model(self) -> TiledDetector:
        """The method with its tiles."""
        assert isinstance(self.scorer.model, TiledDetector)
        return self.scorer.model

    @property
    def method(self) -> Detector:
        """The method."""
        return self.model.detector

    @property
    def canvas(self) -> tuple[int, int]:
        """(height, width) in pixels to which images are resized."""
        return self.model.tiling.canvas

    @property
    def reader(self) -> ReadImage:
        """Reads images and resizes them to `canvas`."""
        return ReadImage(self.canvas, self.model.backbone.resample)

    def resize(self, image: Image.Image) -> np.ndarray:
        """Return an image resized to `canvas`, uint8 (*canvas, 3)."""
        return resize_image(image, self.canvas, self.model.backbone.resample)

    @property
    def batch_size(self) -> int:
        """Number of images that are scored together."""
        return self.scorer.batch_size

    @property
    def threshold(self) -> float:
        """Image score above which an image is bad."""
        return self.decision.threshold

    @property
    def object_name(self) -> str:
        """Name of the object that the images show."""
        return self.description["object"]

    def with_batch_size(self, batch_size: int) -> FittedDetector:
        """Return the same detector with another batch size, which compiles again."""
        return dataclasses.replace(self, scorer=Scorer(self.model, batch_size))

    def with_threshold(self, threshold: float, pixel_threshold: float | None = None) -> FittedDetector:
        """Return the same detector with another image threshold and, if given, another pixel threshold.

        Probabilities follow the image threshold.

        Raises:
          InputError: a threshold is not a finite number.
        """
        pixels = self.decision.pixel_threshold if pixel_threshold is None else pixel_threshold
        if not np.isfinite([threshold, pixels]).all():
            raise InputError(f"threshold {threshold}, pixel threshold {pixels}: give finite numbers")
        changed = dataclasses.replace(
            self.decision, threshold=float(threshold), pixel_threshold=float(pixels)
        )
        return dataclasses.replace(self, decision=changed)
