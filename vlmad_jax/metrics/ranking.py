"""Ranking metrics from one sort: AUROC, average precision and the best F1.

Every distinct score is a threshold, and samples with equal scores pass it together, as in scikit-learn's
`roc_auc_score`, `average_precision_score` and `precision_recall_curve`. All of them, and the per-region
overlap, change only where an anomalous sample passes: elsewhere recall stands still and precision falls. So
only the few anomalous samples are ranked, each by the normal ones above it, which are sorted without knowing
where they came from. Letters: K anomalous samples, T distinct scores among them.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Anomalous samples from the highest score down, and what scores more or as much as each.

    codes      (K,) the code of each anomalous sample
    positives  (T,) int64, how many anomalous samples score at least the t-th highest of their distinct scores
    above      (T,) int64, how many normal samples score more
    through    (T,) int64, how many normal samples score as much or more
    normal     how many normal samples there are
    """

    codes: np.ndarray
    positives: np.ndarray
    above: np.ndarray
    through: np.ndarray
    normal: int

    @property
    def gains(self) -> np.ndarray:
        """(T,) int64, how many anomalous samples have exactly each score."""
        return np.diff(self.positives, prepend=0)

    @property
    def has_both_classes(self) -> bool:
        """Whether there is at least one normal and one anomalous sample."""
        return self.codes.size > 0 and self.normal > 0


def rank(scores: np.ndarray, codes: np.ndarray) -> Ranking:
    """Rank scores (N,), finite real numbers of any type, by codes (N,): 0 is normal, all else anomalous."""
    if np.can_cast(scores.dtype, np.float32):
        scores = scores.astype(np.float32, copy=False)  # narrower types have no fast sort
    anomalous = codes != 0
    values, codes, normal = scores[anomalous], codes[anomalous], scores[~anomalous]
    normal.sort()
    order = np.argsort(values)[::-1]
    values, codes = values[order], codes[order]
    last_of_its_score = np.ones(values.size, bool)
    np.not_equal(values[1:], values[:-1], out=last_of_its_score[:-1])
    last = np.flatnonzero(last_of_its_score)  # (T,)
    distinct = values[last]
    return Ranking(
        codes,
        positives=last + 1,
        above=normal.size - np.searchsorted(normal, distinct, "right"),
        through=normal.size - np.searchsorted(normal, distinct, "left"),
        normal=normal.size,
    )


def auroc(ranking: Ranking) -> float | None:
    """Area under the ROC curve, 0..1: how often an anomalous sample outranks a normal one, ties as half.

    None unless both classes occur. The area is summed in integers, exactly (up to N = 4e9).

    >>> auroc(rank(np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 1, 0, 0])))
    0.875
    """
    if not ranking.has_both_classes:
        return None
    twice_won = np.sum(ranking.gains * (2 * ranking.normal - ranking.above - ranking.through))
    return float(twice_won / (2 * ranking.codes.size * ranking.normal))


def average_precision(ranking: Ranking) -> float | None:
    """Sum over distinct scores of precision x gain in recall, without interpolation, 0..1.

    None unless both classes occur.

    >>> average_precision(rank(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])))
    0.8333333333333333
    """
    if not ranking.has_both_classes:
        return None
    positives = ranking.positives
    return float(np.sum(ranking.gains * (positives / (positives + ranking.through))) / ranking.codes.size)


def f1_max(ranking: Ranking) -> float | None:
    """The highest F1 = 2 x precision x recall / (precision + recall) over all thresholds, 0..1.

    None unless both classes occur.

    >>> f1_max(rank(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])))
    0.8
    """
    if not ranking.has_both_classes:
        return None
    positives = ranking.positives
    return float(np.max(2 * positives / (ranking.codes.size + positives + ranking.through)))
