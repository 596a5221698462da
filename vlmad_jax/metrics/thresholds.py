"""Decisions: what a threshold of the image score gives, and how well the score is a probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The share of good images that a threshold chosen on good images alone may call defective.
FALSE_ALARM_RATE = 0.05
BINS = 10


@dataclass(frozen=True)
class Decisions:
    """What calling every image above `threshold` defective gives.

    Attributes:
      threshold: of the image score.
      false_alarms: the share of good images called defective; None without good images.
      misses: the share of defective images called good; None without defective ones.
      f1: 2 x precision x recall / (precision + recall), None without defective images.
    """

    threshold: float
    false_alarms: float | None
    misses: float | None
    f1: float | None


def decisions(scores: np.ndarray, labels: np.ndarray, threshold: float) -> Decisions:
    """The decisions on scores (N,), labels (N,) 0 good, 1 defective.

    >>> decisions(np.array([0.1, 0.6, 0.4, 0.9]), np.array([0, 0, 1, 1]), 0.5)
    Decisions(threshold=0.5, false_alarms=0.5, misses=0.5, f1=0.5)
    """
    called, bad = scores > threshold, labels == 1
    found, alarms, total = int((called & bad).sum()), int((called & ~bad).sum()), int(bad.sum())
    good = len(labels) - total
    return Decisions(
        float(threshold),
        alarms / good if good else None,
        1 - found / total if total else None,
        2 * found / (found + alarms + total) if total else None,
    )


def best_threshold(scores: np.ndarray, labels: np.ndarray) -> float:
    """The highest threshold with the highest F1 on these very images: what no other threshold can beat.

    It lies half-way between two scores; or below all of them, if calling every image defective is best.
    """
    values = np.unique(scores)
    between = (values[:-1] + values[1:]) / 2
    choices = np.concatenate([[np.nextafter(values[0], -np.inf)], between])
    f1 = [decisions(scores, labels, threshold).f1 or 0.0 for threshold in choices]
    return float(choices[len(f1) - 1 - int(np.argmax(f1[::-1]))])


def threshold_of_good(scores: np.ndarray, rate: float = FALSE_ALARM_RATE) -> float:
    """The lowest of good images' scores (K,) that at most a share `rate` of them exceeds.

    >>> threshold_of_good(np.arange(100.0))
    94.0
    """
    return float(np.quantile(scores, 1 - rate, method="inverted_cdf"))


@dataclass(frozen=True)
class Bin:
    """Images whose scores lie in one part of 0..1: how many, their mean score, the share of defective."""

    count: int
    score: float | None
    defective: float | None


def reliability(scores: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Images by image score, a probability 0..1, in bins of equal width, the last with 1 in it."""
    numbers = np.minimum((scores * bins).astype(int), bins - 1)
    found = []
    for number in range(bins):
        here = numbers == number
        some = bool(here.any())
        mean = (float(scores[here].mean()), float(labels[here].mean())) if some else (None, None)
        found.append(Bin(int(here.sum()), *mean))
    return found


def calibration_error(bins: list[Bin]) -> float | None:
    """The expected calibration error, 0..1: how far score and share of defective lie apart, by image.

    None without images. Naeini, Cooper and Hauskrecht, AAAI 2015.
    """
    apart = [
        b.count * abs(b.score - b.defective) for b in bins if b.score is not None and b.defective is not None
    ]
    count = sum(b.count for b in bins)
    return sum(apart) / count if count else None
