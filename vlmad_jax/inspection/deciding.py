"""The thresholds of a detector from the scores of its reference images, and what they rest on, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vlmad_jax.inspection.decision import Decision
from vlmad_jax.inspection.held_out import GoodScores
from vlmad_jax.inspection.threshold import Limit, limit_of, needed
from vlmad_jax.methods import Detector

# Of zero-shot probabilities, for which nothing was measured.
GUESSED_SCALE = 0.1
# The scores that a threshold can be made of, with what they are called.
SOURCES = {"own": "the images' own scores", "augmented": "the scores of augmented copies too"}


@dataclass(frozen=True)
class Rule:
    """How thresholds are made.

    Attributes:
      false_alarms: the share of normal images that may be called bad.
      source: a key of `SOURCES`.
      augmentations: of each image.
      folds: blocks of images that were held out together; 0 where the method keeps none in a memory.
    """

    false_alarms: float
    source: str
    augmentations: int
    folds: int


def decide(rule: Rule, detector: Detector, scores: GoodScores | None) -> tuple[Decision, dict[str, Any]]:
    """The thresholds, and how they were made, as `detector.json` has it.

    "thresholds" are the one of each source, "above" the shares of the images and of their augmented copies
    (None where there are none) that exceed the one that is used; "lines" say all of it.
    """
    most = detector.score_bounds(scores is not None and detector.references != "never")
    if scores is None:
        lines = [
            f"threshold: {most[0] / 2:.6g}, a guess, halfway between good and bad",
            "rests on: nothing; give good images as --references to have it fitted",
        ]
        return Decision(most[0] / 2, GUESSED_SCALE, most[1] / 2, 0.0), {"rule": "guess", **_told(lines)}
    limits = {
        name: (limit_of(x.image, rule.false_alarms, most[0]), limit_of(x.peak, rule.false_alarms, most[1]))
        for name, x in (("own", scores.own), ("augmented", scores))
    }
    limit, peak = limits[rule.source]
    thresholds = {name: image.value for name, (image, _) in limits.items()}
    images, versions = scores.image.shape
    above = scores.image > limit.value
    own, copies = (above[:, :0], above) if images == 1 else (above[:, :1], above[:, 1:])
    shares = {
        name: float(part.mean()) if part.size else None
        for name, part in (("own", own), ("augmented", copies))
    }
    described = {
        "rule": limit.rule,
        "from": rule.source,
        "thresholds": thresholds,
        "above": shares,
        "false_alarms": rule.false_alarms,
        "supported": limit.supported,
        "images": images,
        "versions": versions,
        "folds": rule.folds,
        **_told(_lines(rule, detector.name, limit, thresholds, shares, images)),
    }
    return Decision(limit.value, limit.scale, peak.value, float(scores.level.mean())), described


def _told(lines: list[str]) -> dict[str, Any]:
    return {"lines": lines, "text": "; ".join(lines)}


def _lines(
    rule: Rule,
    method: str,
    limit: Limit,
    thresholds: dict[str, float],
    shares: dict[str, float | None],
    images: int,
) -> list[str]:
    """Short lines: the threshold, the other one, what exceeds it, and what the rate rests on."""
    other = next(name for name in SOURCES if name != rule.source)
    lines = [f"threshold: {limit.value:.6g}, from {SOURCES[rule.source]}"]
    if images > 1:
        value = f"{thresholds[other]:.6g}"
        lines.append(f"the other: {value}, from {SOURCES[other]} (--threshold_from={other})")
    names = {
        "own": f"{images} reference images",
        "augmented": f"{images * rule.augmentations} augmented copies",
    }
    exceed = [f"{share:.1%} of {names[name]}" for name, share in shares.items() if share is not None]
    lines.append(f"above it: {', '.join(exceed)}; {_scored(rule, method, images)}")
    return [*lines, f"wanted: {100 * rule.false_alarms:.3g}% false alarms", *_basis(rule, limit, images)]


def _scored(rule: Rule, method: str, images: int) -> str:
    """By what the images were scored."""
    if not rule.folds:
        return f"{method} keeps none of them in memory"
    if images == 1:
        return "scored by a memory of the one image"
    blocks = "" if rule.folds == images else f" in {rule.folds} blocks"
    return f"each was held out of the memory{blocks}"


def _basis(rule: Rule, limit: Limit, images: int) -> list[str]:
    """What the wanted rate rests on."""
    if limit.rule == "rank":
        return [f"rests on: the rank among {images} images, whatever the distribution of scores"]
    more = needed(rule.false_alarms)
    if limit.rule == "one image":
        return [f"rests on: one image, which says nothing of how images differ; give more, at best {more}"]
    return [
        "rests on: a normal tail of the scores, which is assumed",
        f"without it: {images} images support {100 * limit.supported:.3g}%; {more} support what is wanted",
    ]
