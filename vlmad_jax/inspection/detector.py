"""A fitted detector: thresholds, what it finds in an image, and how it is called.

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
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.scorer import Scorer

_EIGHT_NEIGHBOURS = np.ones((3, 3))


class Box(NamedTuple):
    """A region, in pixels of the image: its left upper corner, its size, and the map's maximum in it."""

    x: int
    y: int
    width: int
    height: int
    peak: float


def boxes_of(anomaly_map: np.ndarray, threshold: float, size: tuple[int, int]) -> tuple[Box, ...]:
    """The regions above a threshold, from the highest peak down; pixels that touch, corners too, are one.

    Args:
      anomaly_map: (rows, columns) of any size, which covers the image.
      threshold: pixels above it count.
      size: (height, width) of the image, in whose pixels boxes are, rounded outwards.

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
    """Where good ends.

    Attributes:
      threshold: image scores above it are bad.
      scale: of the logistic function that makes a probability of a score, above 0.
      pixel_threshold: pixels of the map above it belong to a defect.
      pixel_low: the map's value on good images, the dark end of heat maps.
    """

    threshold: float
    scale: float
    pixel_threshold: float
    pixel_low: float

    def bad(self, score: float) -> bool:
        """Whether an image with that score is bad."""
        return score > self.threshold

    def probability(self, score: float) -> float:
        """How sure it is that the image is bad: 0 to 1, rising with the score, 0.5 at the threshold.

        1 / (1 + exp((threshold - score) / scale)). No defective image was seen, so it is no frequency of
        defects; it says how far from the threshold a score lies, measured by the spread of good ones.
        """
        from scipy.special import expit  # slow to import

        return float(expit((score - self.threshold) / self.scale))

    @property
    def colours(self) -> tuple[float, float]:
        """Values of a map at the ends of the scale of colours, the same for all images.

        Black is what good images have on average, the middle is at the pixel threshold.
        """
        return self.pixel_low, max(self.pixel_low, 2 * self.pixel_threshold - self.pixel_low)

    def describe(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Result:
    """Good or not, where, how sure.

    Attributes:
      image: the score of the image, higher is worse.
      probability: how sure it is that the image is bad, 0 to 1; 0.5 at the threshold.
      bad: whether the score is above the threshold.
      canvas_map: float32, the map at the size at which it was computed.
      size: (height, width) of the image.
      decision: the thresholds that it was scored by.
    """

    image: float
    probability: float
    bad: bool
    canvas_map: np.ndarray
    size: tuple[int, int]
    decision: Decision

    @classmethod
    def of(cls, score: float, canvas_map: np.ndarray, size: tuple[int, int], decision: Decision) -> Result:
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


AnyImage = str | Path | np.ndarray | Image.Image


def as_image(image: AnyImage) -> Image.Image:
    """An image as RGB with 8 bits.

    Args:
      image: a path, which is read as `open_image` does; a PIL image, likewise; an array uint8 (height,
        width), grey, or (height, width, 3).

    Raises:
      InputError: anything else, or an image that does not decode.
    """
    if isinstance(image, (str, Path)):
        return open_image(image)
    if isinstance(image, Image.Image):
        return to_rgb(image)
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,)):
        raise InputError(
            f"the image is {pixels.dtype} {list(pixels.shape)}; give uint8 [height, width, 3] or "
            "[height, width], a path, or a PIL image; of several, a list"
        )
    if not pixels.size:
        raise InputError(f"the image is empty, {list(pixels.shape)}; give one with pixels")
    grey = pixels.shape[2:] == (1,)
    return Image.fromarray(pixels[..., 0] if grey else pixels).convert("RGB")


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
            results += self.score(canvases, [(image.height, image.width) for image in shown])
        return results

    def score(self, canvases: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[Result]:
        """What it says of images resized to `canvas`, uint8 (N, *canvas, 3), (height, width) before."""
        scores = self.scorer.score(self.state, canvases)
        rows = zip(scores.image, scores.map, sizes, strict=True)
        return [Result.of(float(image), map, size, self.decision) for image, map, size in rows]

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
