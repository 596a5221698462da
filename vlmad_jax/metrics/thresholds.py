"""Decisions at a threshold of the image score, and the calibration of scores that are probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The default share of normal images that a threshold chosen from normal images may call anomalous.
FALSE_ALARM_RATE = 0.05
BINS = 10


@dataclass(frozen=True)
class Decisions:
    """The error rates if every image with a score above `threshold` is called anomalous.

    Attributes:
      threshold: The threshold of the image score.
      false_alarms: The share of normal images called anomalous; None without normal images.
      misses: The share of anomalous images called normal; None without anomalous images.
      f1: 2 x precision x recall / (precision + recall); None without anomalous images.
    """

    threshold: float
    false_alarms: float | None
    misses: float | None
    f1: float | None


def decisions(scores: np.ndarray, labels: np.ndarray, threshold: float) -> Decisions:
    """Return the error rates at a threshold for scores (N,) and labels (N,), 0 normal, 1 anomalous.

    >>> decisions(np.array([0.1, 0.6, 0.4, 0.9]), np.array([0, 0, 1, 1]), 0.5)
    Decisions(threshold=0.5, false_alarms=0.5, misses=0.5, f1=0.5)
    """
    called, anomalous = scores > threshold, labels == 1
    found, alarms = int((called & anomalous).sum()), int((called & ~anomalous).sum())
    total = int(anomalous.sum())
    normal = len(labels) - total
    return Decisions(
        float(threshold),
        alarms / normal if normal else None,
        1 - found / total if total else None,
        2 * found / (found + alarms + total) if total else None,
    )


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the highest threshold with the highest F1 on these images.

    It lies half-way between two scores, or below all of them if calling every image anomalous is best.
    """
    values = np.unique(scores)
    between = (values[:-1] + values[1:]) / 2
    choices = np.concatenate([[np.nextafter(values[0], -np.inf)], between])
    f1 = [decisions(scores, labels, threshold).f1 or 0.0 for threshold in choices]
    return float(choices[len(f1) - 1 - int(np.argmax(f1[::-1]))])


def threshold_from_normal(scores: np.ndarray, rate: float = FALSE_ALARM_RATE) -> float:
    """Return the lowest of the scores (K,) of normal images that at most a share `rate` of them exceeds.

    >>> threshold_from_normal(np.arange(100.0))
    94.0
    """
    return float(np.quantile(scores, 1 - rate, method="inverted_cdf"))


@dataclass(frozen=True)
class Bin:
    """The images with scores in one interval: their number, mean score, and share of anomalous images."""

    count: int
    score: float | None
    defective: float | None


def reliability(scores: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Return bins of equal width over image scores in 0..1; the last bin includes 1."""
    numbers = np.minimum((scores * bins).astype(int), bins - 1)
    found = []
    for number in range(bins):
        here = numbers == number
        some = bool(here.any())
        mean = (float(scores[here].mean()), float(labels[here].mean())) if some else (None, None)
        found.append(Bin(int(here.sum()), *mean))
    return found


def calibration_error(bins: list[Bin]) -> float | None:
    """Return the expected calibration error, 0..1, or None without images.

    It is the mean over images of the distance between the mean score and the share of anomalous images of
    their bin (Naeini, Cooper and Hauskrecht, AAAI 2015).
    """
    distances = [
        b.count * abs(b.score - b.defective) for b in bins if b.score is not None and b.defective is not None
    ]
    count = sum(b.count for b in bins)
    return sum(distances) / count if count else None
