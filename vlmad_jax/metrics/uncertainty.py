"""How sure an AUROC is: bootstrap intervals over images, and DeLong's paired test.

An AUROC is the share of duels between an anomalous and a normal sample that the anomalous one wins, ties
as half. Counted by the images that the two come from, the duels give the AUROC of any resampled set of
images without ranking again, of images and of pixels alike. Letters: N images, R resampled sets.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000


@dataclass(frozen=True)
class Duels:
    """Duels by image.

    Attributes:
      wins: (N, N) float64, those that anomalous samples of the row's image win over normal ones of the
        column's.
      anomalous: (N,) float64, anomalous samples of each image.
      normal: (N,) float64, normal ones.
    """

    wins: np.ndarray
    anomalous: np.ndarray
    normal: np.ndarray

    def auroc(self, weights: np.ndarray) -> np.ndarray:
        """AUROC (R,) where each image counts as often as weights (R, N) say; NaN where it is undefined."""
        weights = weights.astype(np.float64)
        won = np.einsum("rn,rn->r", weights @ self.wins, weights)
        fought = (weights @ self.anomalous) * (weights @ self.normal)
        return np.divide(won, fought, out=np.full(len(weights), np.nan), where=fought > 0)


def image_duels(scores: np.ndarray, labels: np.ndarray) -> Duels:
    """Duels of image scores (N,), labels (N,) 0 good, 1 defective: every image is one sample.

    >>> image_duels(np.array([0.1, 0.7, 0.7]), np.array([0, 0, 1])).auroc(np.ones((1, 3))).tolist()
    [0.75]
    """
    bad, good = labels.astype(np.float64), 1 - labels.astype(np.float64)
    above = (scores[:, None] > scores).astype(np.float64)
    above += (scores[:, None] == scores) / 2
    return Duels(above * bad[:, None] * good, bad, good)


def pixel_duels(maps: np.ndarray, masks: np.ndarray) -> Duels:
    """Duels of pixels: maps (N, S, S), masks (N, S, S), anomalous where nonzero. Exact up to 2^52 duels."""
    flat, anomalous = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1) != 0
    counts = anomalous.sum(axis=1)
    owners = np.repeat(np.arange(len(maps)), counts)
    values = flat[anomalous]
    order = np.argsort(values, kind="stable")  # looking up ascending values stays in the processor's cache
    owners, values = owners[order], values[order]
    wins = np.empty((len(maps), len(maps)))
    for number, (pixels, hidden) in enumerate(zip(flat, anomalous, strict=True)):
        normal = np.sort(pixels[~hidden])
        twice = np.searchsorted(normal, values, "left") + np.searchsorted(normal, values, "right")
        wins[:, number] = np.bincount(owners, weights=twice, minlength=len(maps)) / 2
    return Duels(wins, counts.astype(np.float64), (flat.shape[1] - counts).astype(np.float64))


def resampled(labels: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each image is drawn, (R, N), with replacement, as many good and bad ones as there are.

    Both classes are drawn by themselves, so that every set has both.
    """
    return _resampled(labels.astype(np.int8).tobytes(), seed, resamples)


@functools.lru_cache(maxsize=256)  # every run of the same images asks for the same
def _resampled(label_bytes: bytes, seed: int, resamples: int) -> np.ndarray:
    labels = np.frombuffer(label_bytes, np.int8)
    weights = np.zeros((resamples, len(labels)), np.uint16)
    generator = np.random.default_rng(seed)
    for label in (0, 1):
        members = np.flatnonzero(labels == label)
        if len(members):
            shares = np.full(len(members), 1 / len(members))
            weights[:, members] = generator.multinomial(len(members), shares, size=resamples)
    weights.setflags(write=False)
    return weights


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float | None, float | None]:
    """The percentile interval of resampled values (R,); (None, None) where any is undefined."""
    if not len(values) or np.isnan(values).any():
        return None, None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """The difference of two AUROCs and its variance; `p` is of the two-sided test that there is none."""

    value: float
    variance: float

    @property
    def p(self) -> float:
        """0..1: 1 where the two are equal, 0 where they differ without any variance."""
        if self.value == 0:
            return 1.0
        if self.variance <= 0:
            return 0.0
        return float(2 * stats.norm.sf(abs(self.value) / math.sqrt(self.variance)))


def delong(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Difference | None:
    """AUROC of the first scores (N,) minus that of the second, of the same images.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), with ties as half. None with fewer than two
    images of a class.
    """
    bad, good = labels == 1, labels == 0
    if min(bad.sum(), good.sum()) < 2:
        return None
    wins = [image_duels(scores, labels).wins[np.ix_(bad, good)] for scores in (first, second)]
    difference = wins[0] - wins[1]
    of_bad, of_good = difference.mean(axis=1), difference.mean(axis=0)
    variance = of_bad.var(ddof=1) / len(of_bad) + of_good.var(ddof=1) / len(of_good)
    return Difference(float(difference.mean()), float(variance))


def mean_difference(differences: list[Difference]) -> Difference:
    """The mean of differences on sets of images that have nothing in common."""
    count = len(differences)
    return Difference(
        math.fsum(x.value for x in differences) / count,
        math.fsum(x.variance for x in differences) / count**2,
    )
