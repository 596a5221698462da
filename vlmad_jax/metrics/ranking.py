"""Ranking metrics from one sort: AUROC, average precision and the best F1.

Every distinct score is a threshold, and samples with equal scores pass it together, as in scikit-learn's
`roc_auc_score`, `average_precision_score` and `precision_recall_curve`. These metrics and the per-region
overlap depend only on the thresholds at scores of anomalous samples, because recall is constant and precision
falls in between. Therefore only the few anomalous samples are ranked: for each, the normal samples with
higher scores are counted. Letters: K anomalous samples, T distinct scores among them.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Anomalous samples in descending order of score, with counts of the samples above them.

    Attributes:
      codes: The code of each anomalous sample (K,).
      positives: The number of anomalous samples with at least the t-th highest distinct score, (T,) int64.
      above: The number of normal samples with a higher score, (T,) int64.
      through: The number of normal samples with this score or a higher one, (T,) int64.
      normal: The number of normal samples.
    """

    codes: np.ndarray
    positives: np.ndarray
    above: np.ndarray
    through: np.ndarray
    normal: int

    @property
    def gains(self) -> np.ndarray:
        """The number of anomalous samples with exactly each score, (T,) int64."""
        return np.diff(self.positives, prepend=0)

    @property
    def has_both_classes(self) -> bool:
        """Whether there are both normal and anomalous samples."""
        return self.codes.size > 0 and self.normal > 0


def rank(scores: np.ndarray, codes: np.ndarray) -> Ranking:
    """Rank finite scores (N,) of any real type by codes (N,): 0 is normal, every other code is anomalous."""
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
    """Return the area under the ROC curve, 0..1, or None unless both classes occur.

    It is the share of pairs in which the anomalous sample outranks the normal one; a tie counts half. The sum
    is exact, in integers, up to N = 4e9.

    >>> auroc(rank(np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 1, 0, 0])))
    0.875
    """
    if not ranking.has_both_classes:
        return None
    twice_won = np.sum(ranking.gains * (2 * ranking.normal - ranking.above - ranking.through))
    return float(twice_won / (2 * ranking.codes.size * ranking.normal))


def average_precision(ranking: Ranking) -> float | None:
    """Return the average precision, 0..1, or None unless both classes occur.

    It is the sum over distinct scores of precision x gain in recall, without interpolation.

    >>> average_precision(rank(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])))
    0.8333333333333333
    """
    if not ranking.has_both_classes:
        return None
    positives = ranking.positives
    return float(np.sum(ranking.gains * (positives / (positives + ranking.through))) / ranking.codes.size)


def f1_max(ranking: Ranking) -> float | None:
    """Return the highest F1 over all thresholds, 0..1, or None unless both classes occur.

    F1 = 2 x precision x recall / (precision + recall).

    >>> f1_max(rank(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])))
    0.8
    """
    if not ranking.has_both_classes:
        return None
    positives = ranking.positives
    return float(np.max(2 * positives / (ranking.codes.size + positives + ranking.through)))
