"""Ranking metrics from one sort: AUROC, average precision and the best F1.

Every distinct score is a threshold, and samples with equal scores pass it together, as in scikit-learn's
`roc_auc_score`, `average_precision_score` and `precision_recall_curve`. Letters: N samples, T distinct
scores.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """Samples from the highest score down, cut after each distinct score.

    codes      (N,) the code of each sample: 0 is normal, anything else is anomalous
    ends       (T,) int64, how many samples score at least the t-th highest distinct score
    positives  (T,) int64, how many of those are anomalous
    """

    codes: np.ndarray
    ends: np.ndarray
    positives: np.ndarray

    @property
    def negatives(self) -> np.ndarray:
        """(T,) int64, how many samples at or above each distinct score are normal."""
        return self.ends - self.positives

    @property
    def has_both_classes(self) -> bool:
        """Whether there is at least one normal and one anomalous sample."""
        return self.ends.size > 0 and 0 < self.positives[-1] < self.ends[-1]


def rank(scores: np.ndarray, codes: np.ndarray) -> Ranking:
    """Sort scores (N,), finite real numbers of any type, with their codes (N,), integers in 0..2^32 - 1.

    Scores that float32 holds exactly are sorted as 64-bit integers that carry the code along: one pass, and
    no gather afterwards. Wider types are sorted as they are, so that no two distinct scores become one.
    """
    if np.can_cast(scores.dtype, np.float32):
        packed = _descending_bits(scores.astype(np.float32)).astype(np.uint64) << 32
        packed |= codes.astype(np.uint32)
        packed.sort()
        keys = (packed >> 32).astype(np.uint32)
        codes = packed.astype(np.uint32)  # keeps the low half
    else:
        order = np.argsort(scores)[::-1]
        keys, codes = scores[order], codes[order]

    last_of_its_score = np.ones(keys.size, bool)
    np.not_equal(keys[1:], keys[:-1], out=last_of_its_score[:-1])
    last = np.flatnonzero(last_of_its_score)  # (T,)
    return Ranking(codes, ends=last + 1, positives=np.cumsum(codes != 0, dtype=np.int64)[last])


def _descending_bits(scores: np.ndarray) -> np.ndarray:
    """uint32 whose ascending order is the descending order of float32 scores; 0.0 and -0.0 are one score."""
    negated = np.float32(0) - scores
    # Floats order as their bits once a negative one has all its bits flipped, and any other its sign bit.
    flips = (negated.view(np.int32) >> 31) | np.int32(-(2**31))
    return negated.view(np.uint32) ^ flips.view(np.uint32)


def auroc(ranking: Ranking) -> float | None:
    """Area under the ROC curve, 0..1: how often an anomalous sample outranks a normal one, ties as half.

    None unless both classes occur. The area is summed in integers, exactly (up to N = 4e9).

    >>> auroc(rank(np.array([0.9, 0.4, 0.4, 0.1]), np.array([1, 1, 0, 0])))
    0.875
    """
    if not ranking.has_both_classes:
        return None
    positives, negatives = ranking.positives, ranking.negatives
    before = np.concatenate([[0], positives[:-1]])
    twice_the_area = np.sum(np.diff(negatives, prepend=0) * (positives + before))
    return float(twice_the_area / (2 * positives[-1] * negatives[-1]))


def average_precision(ranking: Ranking) -> float | None:
    """Sum over distinct scores of precision x gain in recall, without interpolation, 0..1.

    None unless both classes occur.

    >>> average_precision(rank(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])))
    0.8333333333333333
    """
    if not ranking.has_both_classes:
        return None
    positives = ranking.positives
    gains = np.diff(positives, prepend=0)
    return float(np.sum(gains * (positives / ranking.ends)) / positives[-1])


def f1_max(ranking: Ranking) -> float | None:
    """The highest F1 = 2 x precision x recall / (precision + recall) over all thresholds, 0..1.

    None unless both classes occur.

    >>> f1_max(rank(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1, 0, 1, 0])))
    0.8
    """
    if not ranking.has_both_classes:
        return None
    positives = ranking.positives
    return float(np.max(2 * positives / (positives[-1] + ranking.ends)))
