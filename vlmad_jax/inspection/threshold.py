"""The threshold of a detector, from the scores of good images alone, at a wanted rate of false alarms.

Each good image k of K gives n scores: its own and those of its augmentations, all by a memory of the other
images. Two rules, by how many images there are:

- With K + 1 >= 1 / rate the threshold is a rank: of the images' own scores the one of rank
  ceil((K + 1)(1 - rate)), which a new good image exceeds with at most that probability, whatever the
  distribution (split conformal prediction, Vovk et al. 2005); or the score that the share 1 - rate of all
  scores, those of augmentations too, does not exceed, if that is larger.
- With fewer no rank exists, and a tail has to be assumed: the upper prediction limit of one more score in a
  normal one-way random-effects model, which keeps apart how images differ and how augmentations of one do,

      mean + t(1 - rate; nu) sqrt(v + B / n K),  v = B / n + (1 - 1 / n) W,

  with B and W the mean squares between and within images and nu Satterthwaite's degrees of freedom of v
  (Satterthwaite 1946). Scores that have an upper bound, as probabilities have, are taken for normal as
  logarithms of their odds, so that the limit stays below the bound. It is never put below the largest score
  of the images themselves, which a new good one exceeds with probability 1 / (K + 1) at most, whatever the
  distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vlmad_jax.errors import InputError

# A logistic distribution with this scale has the standard deviation 1.
LOGISTIC = math.sqrt(3) / math.pi
# Below this share of the threshold, differences of float32 scores are rounding.
LEAST_SCALE = 1e-5
# Bounded scores are taken to be at least this share of the range away from its ends: float32 rounds to these.
LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Limit:
    """Where good scores end.

    Attributes:
      value: the threshold.
      scale: of the logistic function with the spread of good scores.
      rule: "rank", "normal tail" or "one image".
      supported: the rate that so many images support whatever the distribution, 1 / (K + 1).
    """

    value: float
    scale: float
    rule: str
    supported: float


def check_rate(rate: float) -> None:
    """Raises InputError unless a rate of false alarms is one."""
    if not 0 < rate <= 0.5:
        raise InputError(f"--false_alarms={rate}: give a share above 0 and at most 0.5, for example 0.01")


def needed(rate: float) -> int:
    """Good images from which on a rank exists for the rate.

    >>> needed(0.01)
    99
    """
    return math.ceil(round(1 / rate, 9)) - 1


def limit_of(scores: np.ndarray, rate: float, largest: float = math.inf) -> Limit:
    """The threshold that good images exceed at `rate`.

    Args:
      scores: (K, n) of K images; if they are several, the first of each is its own.
      rate: of false alarms.
      largest: score that there can be; the least is then 0.
    """
    images, values = len(scores), scores.astype(np.float64)
    if images >= needed(rate):
        rank = math.ceil(round((images + 1) * (1 - rate), 9))
        pooled = np.quantile(values, 1 - rate, method="inverted_cdf")
        value, rule = max(float(np.sort(values[:, 0])[rank - 1]), float(pooled)), "rank"
    else:
        seen = values[:, 0].max() if images > 1 else values.max()
        value = max(_tail(values, rate, largest), float(seen))
        rule = "normal tail" if images > 1 else "one image"
    scale = max(math.sqrt(_variance(values)[0]) * LOGISTIC, LEAST_SCALE * max(abs(value), LEAST_SCALE))
    return Limit(value, scale, rule, 1 / (images + 1))


def _tail(values: np.ndarray, rate: float, largest: float) -> float:
    """The prediction limit, for bounded scores on the scale of their log odds."""
    if math.isinf(largest):
        return _prediction_limit(values, rate)
    from scipy.special import expit, logit  # slow to import

    shares = np.clip(values / largest, LEAST_SHARE, 1 - LEAST_SHARE)
    return largest * float(expit(_prediction_limit(logit(shares), rate)))


def _variance(values: np.ndarray) -> tuple[float, float, float]:
    """Of one more score: its variance v, Satterthwaite's degrees of freedom, and the variance of the mean."""
    images, each = values.shape
    within = float(values.var(axis=1, ddof=1).mean()) if each > 1 else 0.0
    if images == 1:  # how images differ cannot be known
        return within, each - 1, within / each
    between = each * float(values.mean(axis=1).var(ddof=1))
    parts = [(between / each, images - 1), ((1 - 1 / each) * within, images * (each - 1))]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / df for part, df in parts if part) if variance else math.inf
    return variance, freedom, between / (each * images)


def _prediction_limit(values: np.ndarray, rate: float) -> float:
    variance, freedom, of_mean = _variance(values)
    if not variance:
        return float(values.max())
    from scipy import stats  # takes a second to import

    return float(values.mean() + stats.t.ppf(1 - rate, freedom) * math.sqrt(variance + of_mean))
