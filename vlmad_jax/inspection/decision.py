"""From a score to good or bad, and how sure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


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
