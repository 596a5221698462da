"""The thresholds of a detector, from the scores of its reference images at a wanted rate of false alarms.

Each reference image k of K gives n scores: its own and those of its augmentations, all by a state that was
made of the other images. The number of images selects one of two rules:

- With K + 1 >= 1 / rate the threshold is a rank: the images' own score of rank ceil((K + 1)(1 - rate)),
  which a new normal image exceeds with at most that probability, whatever the distribution (split conformal
  prediction, Vovk et al. 2005); or the 1 - rate quantile of all scores, those of augmentations included, if
  that is larger.
- With fewer images no such rank exists, and the rule assumes a tail: the upper prediction limit of one more
  score in a normal one-way random-effects model, which separates how images differ from how the
  augmentations of one image differ,

      mean + t(1 - rate; nu) sqrt(v + B / n K),  v = B / n + (1 - 1 / n) W,

  with B and W the mean squares between and within images and nu Satterthwaite's degrees of freedom of v
  (Satterthwaite 1946). Bounded scores, such as probabilities, are modelled as normal on the scale of their
  log odds, so that the limit stays below the bound. The limit is never below the largest score of the images
  themselves, which a new normal image exceeds with probability at most 1 / (K + 1), whatever the
  distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.detector import Decision
from vlmad_jax.inspection.held_out import ReferenceScores
from vlmad_jax.methods import Detector

# A logistic distribution with this scale has the standard deviation 1.
LOGISTIC = math.sqrt(3) / math.pi
# Below this share of the threshold, differences of float32 scores are rounding.
LEAST_SCALE = 1e-5
# Bounded scores are clipped to this share of the range from its ends, to which float32 can round them.
LEAST_SHARE = 1e-6


@dataclass(frozen=True)
class Threshold:
    """A threshold with the rule that it was made by.

    Attributes:
      value: the threshold.
      scale: scale of the logistic function with the spread of normal scores.
      rule: "rank", "normal tail" or "one image".
      supported: rate of false alarms that K images support whatever the distribution, 1 / (K + 1).
    """

    value: float
    scale: float
    rule: str
    supported: float


def check_rate(rate: float) -> None:
    """Raise InputError unless a rate of false alarms is above 0 and at most 0.5."""
    if not 0 < rate <= 0.5:
        raise InputError(f"--false_alarms={rate}: give a share above 0 and at most 0.5, for example 0.01")


def needed(rate: float) -> int:
    """Return the number of images from which a rank exists for a rate.

    >>> needed(0.01)
    99
    """
    return math.ceil(round(1 / rate, 9)) - 1


def threshold_of(scores: np.ndarray, rate: float, largest: float = math.inf) -> Threshold:
    """Return the threshold that normal images exceed at a rate.

    Args:
      scores: (K, n), n scores of each of K images; with several images the first is the image's own.
      rate: wanted rate of false alarms.
      largest: upper bound of the scores, whose lower bound is then 0.
    """
    images, values = len(scores), scores.astype(np.float64)
    if images >= needed(rate):
        rank = math.ceil(round((images + 1) * (1 - rate), 9))
        pooled = np.quantile(values, 1 - rate, method="inverted_cdf")
        value, rule = max(float(np.sort(values[:, 0])[rank - 1]), float(pooled)), "rank"
    else:
        largest_own = values[:, 0].max() if images > 1 else values.max()
        value = max(_tail(values, rate, largest), float(largest_own))
        rule = "normal tail" if images > 1 else "one image"
    scale = max(math.sqrt(_variance(values)[0]) * LOGISTIC, LEAST_SCALE * max(abs(value), LEAST_SCALE))
    return Threshold(value, scale, rule, 1 / (images + 1))


def _tail(values: np.ndarray, rate: float, largest: float) -> float:
    """Return the prediction limit, which for bounded scores is computed on the scale of their log odds."""
    if math.isinf(largest):
        return _prediction_limit(values, rate)
    from scipy.special import expit, logit  # slow to import

    shares = np.clip(values / largest, LEAST_SHARE, 1 - LEAST_SHARE)
    return largest * float(expit(_prediction_limit(logit(shares), rate)))


def _variance(values: np.ndarray) -> tuple[float, float, float]:
    """Return the variance v of one more score, its degrees of freedom nu, and the variance of the mean."""
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


# Scale of zero-shot probabilities, whose spread was not measured.
GUESSED_SCALE = 0.1
# The scores that a threshold can be made from, and their names in messages.
SOURCES = {"own": "the images' own scores", "augmented": "the scores of augmented copies too"}


@dataclass(frozen=True)
class Rule:
    """How thresholds are made.

    Attributes:
      false_alarms: wanted rate of false alarms, the share of normal images that may be called bad.
      source: a key of `SOURCES`.
      augmentations: number of augmentations of each image.
      folds: number of blocks that were held out; 0 where the method keeps no image in memory.
    """

    false_alarms: float
    source: str
    augmentations: int
    folds: int


def decide(rule: Rule, detector: Detector, scores: ReferenceScores | None) -> tuple[Decision, dict[str, Any]]:
    """Return the thresholds, and the "threshold" entry of `detector.json`, which describes them.

    In the entry, "thresholds" holds the threshold of each source, "above" the shares of the images and of
    their augmented copies (None where there are none) that exceed the one in use, and "lines" the text.
    """
    bounds = detector.score_bounds(scores is not None and detector.references != "never")
    if scores is None:
        lines = [
            f"threshold: {bounds[0] / 2:.6g}, a guess halfway between good and bad",
            "rests on: nothing; give images of good parts as --references to fit it",
        ]
        return Decision(bounds[0] / 2, GUESSED_SCALE, bounds[1] / 2, 0.0), {
            "rule": "guess",
            **_entries(lines),
        }
    made = {
        name: (
            threshold_of(x.image, rule.false_alarms, bounds[0]),
            threshold_of(x.peak, rule.false_alarms, bounds[1]),
        )
        for name, x in (("own", scores.own), ("augmented", scores))
    }
    threshold, peak = made[rule.source]
    thresholds = {name: image.value for name, (image, _) in made.items()}
    images, versions = scores.image.shape
    above = scores.image > threshold.value
    own, copies = (above[:, :0], above) if images == 1 else (above[:, :1], above[:, 1:])
    shares = {
        name: float(part.mean()) if part.size else None
        for name, part in (("own", own), ("augmented", copies))
    }
    described = {
        "rule": threshold.rule,
        "from": rule.source,
        "thresholds": thresholds,
        "above": shares,
        "false_alarms": rule.false_alarms,
        "supported": threshold.supported,
        "images": images,
        "versions": versions,
        "folds": rule.folds,
        **_entries(_lines(rule, detector.name, threshold, thresholds, shares, images)),
    }
    return Decision(threshold.value, threshold.scale, peak.value, float(scores.level.mean())), described


def _entries(lines: list[str]) -> dict[str, Any]:
    """Return the lines as the entries of `detector.json` that hold them."""
    return {"lines": lines, "text": "; ".join(lines)}


def _lines(
    rule: Rule,
    method: str,
    threshold: Threshold,
    thresholds: dict[str, float],
    shares: dict[str, float | None],
    images: int,
) -> list[str]:
    """Return short lines: the threshold, the alternative, the shares above it, and the basis of the rate."""
    other = next(name for name in SOURCES if name != rule.source)
    lines = [f"threshold: {threshold.value:.6g}, from {SOURCES[rule.source]}"]
    if images > 1:
        value = f"{thresholds[other]:.6g}"
        lines.append(f"alternative: {value}, from {SOURCES[other]} (--threshold_from={other})")
    names = {
        "own": f"{images} reference images",
        "augmented": f"{images * rule.augmentations} augmented copies",
    }
    exceed = [f"{share:.1%} of {names[name]}" for name, share in shares.items() if share is not None]
    lines.append(f"above it: {', '.join(exceed)}; {_scored(rule, method, images)}")
    return [*lines, f"wanted: {100 * rule.false_alarms:.3g}% false alarms", *_basis(rule, threshold, images)]


def _scored(rule: Rule, method: str, images: int) -> str:
    """Return how the images were scored."""
    if not rule.folds:
        return f"{method} keeps none of them in memory"
    if images == 1:
        return "scored by a memory of that image"
    blocks = "" if rule.folds == images else f" in {rule.folds} blocks"
    return f"each was held out of the memory{blocks}"


def _basis(rule: Rule, threshold: Threshold, images: int) -> list[str]:
    """Return what the wanted rate rests on."""
    if threshold.rule == "rank":
        return [f"rests on: the rank among {images} images, whatever the distribution of scores"]
    more = needed(rule.false_alarms)
    if threshold.rule == "one image":
        return [f"rests on: one image, which cannot show how images differ; give more, {more} if you can"]
    return [
        "rests on: the assumption that scores have a normal tail",
        f"without it: {images} images support {100 * threshold.supported:.3g}%; "
        f"{more} support the wanted rate",
    ]
