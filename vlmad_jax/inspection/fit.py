"""From a folder of good pictures to a detector with a threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmad_jax.clip.hub import BUNDLED, check_named
from vlmad_jax.clip.model import load_clip
from vlmad_jax.clip.precision import dtype_of
from vlmad_jax.errors import InputError
from vlmad_jax.files import csv_line
from vlmad_jax.inspection.decision import Decision
from vlmad_jax.inspection.good import GoodFiles, GoodPictures
from vlmad_jax.inspection.held_out import GoodScores, fixed_scores, folds_of, held_out_scores
from vlmad_jax.inspection.saved import check_out
from vlmad_jax.inspection.scorer import Scorer
from vlmad_jax.inspection.store import GOOD_SCORES, save_detector
from vlmad_jax.inspection.threshold import Limit, check_rate, limit_of, needed
from vlmad_jax.inspection.tiles import Tiling
from vlmad_jax.methods import Detector, Options, method

# Of zero-shot probabilities, for which nothing was measured.
GUESSED_SCALE = 0.1


@dataclass(frozen=True)
class FitConfig:
    """What a detector is made of.

    Attributes:
      method: a name of `methods.METHODS`.
      object_name: as it should stand in a sentence, "metal nut".
      references: good pictures, a folder or one file; None is zero-shot.
      weights: a checkpoint's directory or hub id.
      false_alarms: the share of good pictures that may be called bad.
      tiles: "auto", "3" or "2x5", see `tiles`.
      window_sizes: of winclip, sides of the windows in patches; None is its own choice.
      window_stride: of winclip, patches between windows; above 1 it trades accuracy for speed.
      merge_tokens: of winclip, tokens merged in each layer; above 0 it trades accuracy for speed.
      view_sizes: of winclip, other sides in pixels at which it also reads the whole picture.
      params: of methods that learn, where what they learned is; None is what is bundled with the weights.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      augmentations: of each good picture, for the threshold.
      folds: blocks of good pictures held out together; 0 is each by itself, or 16 blocks of more than 16.
      batch_size: pictures scored together.
      seed: of the augmentations.
    """

    method: str
    object_name: str
    references: str | None = None
    weights: str = BUNDLED
    false_alarms: float = 0.01
    tiles: str = "auto"
    window_sizes: tuple[int, ...] | None = None
    window_stride: int | None = None
    merge_tokens: int | None = None
    view_sizes: tuple[int, ...] | None = None
    params: str | None = None
    dtype: str = "float32"
    augmentations: int = 8
    folds: int = 0
    batch_size: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """What came of it: the thresholds, how they were got, and the good pictures, if there were any."""

    decision: Decision
    threshold: dict[str, Any]
    good: GoodPictures | None


def fit(config: FitConfig, out: str | Path, overwrite: bool = False, workers: int = 0) -> Fitted:
    """Makes a detector and saves it to `out`.

    Args:
      config: what to make.
      out: the directory, written whole or not at all.
      overwrite: replace a detector that is there.
      workers: processes that decode; 0 decodes in threads of this one.

    Raises:
      InputError: whatever is wrong with the configuration, the weights or the pictures, or with `out`.
    """
    out = Path(out).expanduser()
    kind = method(config.method)  # before the slow things, so that a misspelt name is told at once
    check(config, kind)
    check_out(out, overwrite)
    found = None if config.references is None else GoodFiles.below(config.references)
    clip = load_clip(config.weights, config.dtype)
    detector, params = kind.chosen(clip, Options.of(config))
    tiling = Tiling.chosen(config.tiles, detector.size, [] if found is None else list(found.sizes.values()))
    return fit_scorer(
        config, Scorer(detector, tiling, config.batch_size), params, found, out, overwrite, workers
    )


def fit_scorer(
    config: FitConfig,
    scorer: Scorer,
    params: dict[str, Any],
    found: GoodFiles | None,
    out: Path,
    overwrite: bool = False,
    workers: int = 0,
) -> Fitted:
    """`fit` of a method that is loaded, its tiles chosen and the good pictures found."""
    detector, tiling = scorer.detector, scorer.tiling
    good = None if found is None else found.read(tiling.canvas, workers)

    def prepare(canvases: np.ndarray | None) -> Any:
        remembered = None if canvases is None or detector.references == "never" else tiling.cut(canvases)
        return detector.prepare(config.object_name, remembered, params)

    state = prepare(None if good is None else good.canvases)
    scores = None if good is None else scores_of_good(config, scorer, prepare, state, good)
    fitted = Fitted(*decide(config, detector, scores), good)
    files = {}
    if found is not None and good is not None and scores is not None:
        files = {GOOD_SCORES: table(good, scores), **good.thumbnails(found.sizes)}
    save_detector(out, scorer, state, params, fitted.decision, about(config, fitted), files, overwrite)
    return fitted


def check(config: FitConfig, kind: type[Detector]) -> None:
    """Raises InputError for what can be told from the configuration alone."""
    if not config.object_name.strip():
        raise InputError("--object is empty; name what the pictures show, for example metal nut")
    if kind.references == "always" and config.references is None:
        raise InputError(
            f"--references is missing: {kind.name} knows a product by good pictures of it alone; "
            "give a folder of them"
        )
    if config.folds < 0 or config.folds == 1:
        raise InputError(f"--folds={config.folds}: give 2 or more blocks, or 0 to hold out each by itself")
    check_rate(config.false_alarms)
    dtype_of(config.dtype)
    check_named(config.weights, config.params)


def scores_of_good(
    config: FitConfig, scorer: Scorer, prepare: Callable[[np.ndarray], Any], state: Any, good: GoodPictures
) -> GoodScores:
    """Of each good picture and its augmentations, by a state that does not hold it."""
    if scorer.detector.references == "never":
        return fixed_scores(scorer, state, good.canvases, config.augmentations, config.seed)
    folds = folds_of(len(good.keys), config.folds)
    return held_out_scores(scorer, prepare, good.canvases, config.augmentations, folds, config.seed)


def decide(
    config: FitConfig, detector: Detector, scores: GoodScores | None
) -> tuple[Decision, dict[str, Any]]:
    """The thresholds, and how they were got."""
    never = detector.references == "never"
    most = detector.largest(scores is not None and not never)
    if scores is None:
        guess = "a guess, halfway between good and bad: give good pictures as --references to have it fitted"
        return Decision(most[0] / 2, GUESSED_SCALE, most[1] / 2, 0.0), {"rule": "guess", "text": guess}
    limit = limit_of(scores.image, config.false_alarms, most[0])
    peak = limit_of(scores.peak, config.false_alarms, most[1])
    pictures, each = scores.image.shape
    threshold = {
        "rule": limit.rule,
        "text": explained(config, limit, pictures, never),
        "false_alarms": config.false_alarms,
        "supported": limit.supported,
        "pictures": pictures,
        "versions": each,
        "folds": 0 if never else folds_of(pictures, config.folds),
    }
    return Decision(limit.value, limit.scale, peak.value, float(scores.level.mean())), threshold


def explained(config: FitConfig, limit: Limit, pictures: int, never: bool) -> str:
    """How the threshold was got, for people."""
    wanted = f"{100 * config.false_alarms:.3g}% of good pictures may be called bad"
    seen = f"{pictures} good pictures with {config.augmentations} augmentations of each"
    if never:
        how = f"{seen}, which only the threshold is made of: {config.method} keeps none"
    elif pictures == 1:
        how = f"the {config.augmentations} augmentations of the one good picture there is"
    elif folds_of(pictures, config.folds) == pictures:
        how = f"{seen}, each held out of the memory"
    else:
        how = f"{seen}, held out of the memory in {folds_of(pictures, config.folds)} blocks"
    if limit.rule == "rank":
        return f"{wanted}, by rank, from {how}"
    more = needed(config.false_alarms)
    if limit.rule == "one picture":
        return (
            f"{wanted} was asked for, from {how}; how good pictures differ cannot be known from one, so no "
            f"rate is supported: give more, at best {more}"
        )
    return (
        f"{wanted}, if good scores have a normal tail, from {how}; whatever their tail, so few pictures "
        f"support a rate of {100 * limit.supported:.3g}%; from {more} on nothing need be assumed"
    )


def about(config: FitConfig, fitted: Fitted) -> dict[str, Any]:
    """What `detector.json` keeps of how the detector was made."""
    named = ("method", "object_name", "references")
    return {
        "object": config.object_name,
        "options": {k: x for k, x in dataclasses.asdict(config).items() if k not in named},
        "threshold": fitted.threshold,
        "references": list(fitted.good.files) if fitted.good else [],
        "reference_digests": list(fitted.good.files.values()) if fitted.good else [],
        "left_out": [entry._asdict() for entry in fitted.good.left_out] if fitted.good else [],
    }


def table(good: GoodPictures, scores: GoodScores) -> bytes:
    """The good scores as CSV: path, frame (of a file of several), version (0 is the image), score, peak."""
    lines = [csv_line(("path", "frame", "version", "score", "peak"))]
    first = 1 if len(good.keys) == 1 else 0
    for key, images, peaks in zip(good.keys, scores.image, scores.peak, strict=True):
        for version, (image, peak) in enumerate(zip(images, peaks, strict=True), first):
            lines.append(csv_line((Path(key.path).absolute(), key.frame, version, image, peak)))
    return "".join(lines).encode("utf-8", "surrogateescape")
