"""The uncertainty of an AUROC: bootstrap intervals over images, and DeLong's paired test.

An AUROC is the share of pairs of an anomalous and a normal sample in which the anomalous one scores higher; a
tie counts half. When the pairs are counted by the two images they come from, the AUROC of any resampled set
of images follows without another ranking. This holds for image scores and for pixels. Letters: N images, R
resampled sets.
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
class PairCounts:
    """Pairs of an anomalous and a normal sample, counted by image.

    Attributes:
      wins: The number of pairs of an anomalous sample of the row's image and a normal sample of the column's
        image in which the anomalous one scores higher, ties as half; (N, N) float64.
      anomalous: The number of anomalous samples of each image, (N,) float64.
      normal: The number of normal samples of each image, (N,) float64.
    """

    wins: np.ndarray
    anomalous: np.ndarray
    normal: np.ndarray

    def auroc(self, weights: np.ndarray) -> np.ndarray:
        """Return the AUROC (R,) with each image repeated by weights (R, N); NaN where undefined."""
        weights = weights.astype(np.float64)
        won = np.einsum("rn,rn->r", weights @ self.wins, weights)
        pairs = (weights @ self.anomalous) * (weights @ self.normal)
        return np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def image_pairs(scores: np.ndarray, labels: np.ndarray) -> PairCounts:
    """Count the pairs of image scores (N,) with labels (N,), 0 normal, 1 anomalous.

    >>> image_pairs(np.array([0.1, 0.7, 0.7]), np.array([0, 0, 1])).auroc(np.ones((1, 3))).tolist()
    [0.75]
    """
    anomalous, normal = labels.astype(np.float64), 1 - labels.astype(np.float64)
    above = (scores[:, None] > scores).astype(np.float64)
    above += (scores[:, None] == scores) / 2
    return PairCounts(above * anomalous[:, None] * normal, anomalous, normal)


def pixel_pairs(maps: np.ndarray, masks: np.ndarray) -> PairCounts:
    """Count the pairs of pixels of maps (N, S, S) with masks (N, S, S), anomalous where nonzero.

    The counts are exact up to 2^52 pairs.
    """
    flat, anomalous = maps.reshape(len(maps), -1), masks.reshape(len(masks), -1) != 0
    counts = anomalous.sum(axis=1)
    owners = np.repeat(np.arange(len(maps)), counts)
    values = flat[anomalous]
    order = np.argsort(values, kind="stable")  # ascending look-ups make good use of the processor's cache
    owners, values = owners[order], values[order]
    wins = np.empty((len(maps), len(maps)))
    for number, (pixels, hidden) in enumerate(zip(flat, anomalous, strict=True)):
        normal = np.sort(pixels[~hidden])
        twice = np.searchsorted(normal, values, "left") + np.searchsorted(normal, values, "right")
        wins[:, number] = np.bincount(owners, weights=twice, minlength=len(maps)) / 2
    return PairCounts(wins, counts.astype(np.float64), (flat.shape[1] - counts).astype(np.float64))


def bootstrap_weights(labels: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw bootstrap sets of images and return how often each image was drawn, (R, N).

    Normal and anomalous images are drawn separately with replacement, so every set has as many of each class
    as the labels (N,) have.
    """
    return _bootstrap_weights(labels.astype(np.int8).tobytes(), seed, resamples)


@functools.lru_cache(maxsize=256)  # every method draws the same weights for the same images
def _bootstrap_weights(label_bytes: bytes, seed: int, resamples: int) -> np.ndarray:
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
    """Return the percentile interval of resampled values (R,), or (None, None) if any is undefined."""
    if not len(values) or np.isnan(values).any():
        return None, None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """The difference of two AUROCs and its variance."""

    value: float
    variance: float

    @property
    def p(self) -> float:
        """The p-value of the two-sided test for no difference, 0..1.

        It is 1 if the two are equal, and 0 if they differ without any variance.
        """
        if self.value == 0:
            return 1.0
        if self.variance <= 0:
            return 0.0
        return float(2 * stats.norm.sf(abs(self.value) / math.sqrt(self.variance)))


def delong(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> Difference | None:
    """Return the AUROC of the first scores (N,) minus that of the second on the same images.

    Source: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988); ties count half. The result is None with
    fewer than two images of a class.
    """
    anomalous, normal = labels == 1, labels == 0
    if min(anomalous.sum(), normal.sum()) < 2:
        return None
    wins = [image_pairs(scores, labels).wins[np.ix_(anomalous, normal)] for scores in (first, second)]
    difference = wins[0] - wins[1]
    rows, columns = difference.mean(axis=1), difference.mean(axis=0)  # by anomalous, by normal image
    variance = rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns)
    return Difference(float(difference.mean()), float(variance))


def mean_difference(differences: list[Difference]) -> Difference:
    """Return the mean of differences that were measured on disjoint sets of images."""
    count = len(differences)
    return Difference(
        math.fsum(x.value for x in differences) / count,
        math.fsum(x.variance for x in differences) / count**2,
    )
