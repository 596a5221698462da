"""From a folder of good images to a detector with a threshold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlmad_jax.backbones.checkpoints.hub import BUNDLED, check_named
from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.errors import InputError
from vlmad_jax.inspection.deciding import SOURCES, Rule, decide
from vlmad_jax.inspection.decision import Decision
from vlmad_jax.inspection.good import GoodFiles, GoodImages
from vlmad_jax.inspection.held_out import GoodScores, fixed_scores, folds_of, held_out_scores
from vlmad_jax.inspection.saved import check_out
from vlmad_jax.inspection.scorer import Scorer
from vlmad_jax.inspection.store import GOOD_SCORES, save_detector
from vlmad_jax.inspection.threshold import check_rate
from vlmad_jax.inspection.tiles import Tiling
from vlmad_jax.methods import Detector, MethodOptions, method
from vlmad_jax.methods.options import flattened
from vlmad_jax.runtime.files import csv_line
from vlmad_jax.runtime.notices import print_stderr


@dataclass(frozen=True)
class FitConfig:
    """What a detector is made of.

    Attributes:
      method: a name of `methods.METHODS`.
      object_name: as it should stand in a sentence, "metal nut".
      references: good images, a folder or one file; None is zero-shot.
      weights: a checkpoint's directory or hub id.
      false_alarms: the share of good images that may be called bad.
      tiles: "auto", "3" or "2x5", see `tiles`.
      options: of the method.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      augmentations: of each good image, for the threshold.
      threshold_from: the scores that the threshold is made of, "own" (of the good images themselves) or
        "augmented" (of their augmentations too).
      folds: blocks of good images held out together; 0 is each by itself, or 16 blocks of more than 16.
      batch_size: images scored together.
      seed: of the augmentations.
    """

    method: str
    object_name: str
    references: str | None = None
    weights: str = BUNDLED
    false_alarms: float = 0.01
    tiles: str = "auto"
    options: MethodOptions = MethodOptions()
    dtype: str = "float32"
    augmentations: int = 8
    threshold_from: str = "augmented"
    folds: int = 0
    batch_size: int = 8
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """The thresholds, how they were made (see `decide`), the good images, if there are any, and the tiles."""

    decision: Decision
    threshold: dict[str, Any]
    good: GoodImages | None
    tiling: Tiling


def fit(config: FitConfig, out: str | Path, overwrite: bool = False, workers: int = 0) -> Fitted:
    """Makes a detector and saves it to `out`.

    Args:
      config: what to make.
      out: the directory, written whole or not at all.
      overwrite: replace a detector that is there.
      workers: processes that decode; 0 decodes in threads of this one.

    Raises:
      InputError: whatever is wrong with the configuration, the weights or the images, or with `out`.
    """
    out = Path(out).expanduser()
    kind = method(config.method)  # before the slow things, so that a misspelt name is told at once
    check(config, kind)
    check_out(out, overwrite)
    found = None if config.references is None else GoodFiles.below(config.references)
    clip = load_clip(config.weights, config.dtype)
    detector, params = kind.from_options(clip, config.options)
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
    """`fit` of a method that is loaded, its tiles chosen and the good images found."""
    detector, tiling = scorer.detector, scorer.tiling
    good = None if found is None else found.read(tiling.canvas, workers)

    def prepare(canvases: np.ndarray | None) -> Any:
        remembered = None if canvases is None or detector.references == "never" else tiling.cut(canvases)
        return detector.prepare(config.object_name, remembered, params)

    if good is not None:
        print_stderr(plan(config, detector, len(good.keys)))
    state = prepare(None if good is None else good.canvases)
    scores = None if good is None else scores_of_good(config, scorer, prepare, state, good)
    folds = (
        0 if scores is None or detector.references == "never" else folds_of(len(scores.image), config.folds)
    )
    rule = Rule(config.false_alarms, config.threshold_from, config.augmentations, folds)
    fitted = Fitted(*decide(rule, detector, scores), good, tiling)
    files = {}
    if found is not None and good is not None and scores is not None:
        files = {GOOD_SCORES: table(good, scores), **good.thumbnails(found.sizes)}
    save_detector(out, scorer, state, params, fitted.decision, about(config, fitted), files, overwrite)
    return fitted


def check(config: FitConfig, kind: type[Detector]) -> None:
    """Raises InputError for what can be told from the configuration alone."""
    if not config.object_name.strip():
        raise InputError("--object is empty; name what the images show, for example metal nut")
    if kind.references == "always" and config.references is None:
        raise InputError(
            f"--references is missing: {kind.name} knows a product by good images of it alone; "
            "give a folder of them"
        )
    if config.folds < 0 or config.folds == 1:
        raise InputError(f"--folds={config.folds}: give 2 or more blocks, or 0 to hold out each by itself")
    if config.threshold_from not in SOURCES:
        raise InputError(f"--threshold_from={config.threshold_from}: give {' or '.join(SOURCES)}")
    check_rate(config.false_alarms)
    dtype_of(config.dtype)
    check_named(config.weights, config.options.params)


def plan(config: FitConfig, detector: Detector, images: int) -> str:
    """What a fit will do, in a line for who waits for it."""
    copies = config.augmentations + (images > 1)
    folds = folds_of(images, config.folds) if images > 1 and detector.references != "never" else 0
    memories = f"makes {folds} memories that each lack some of them, and " if folds else ""
    return f"{detector.name} learns from {images} reference images, {memories}scores {images * copies} images"


def scores_of_good(
    config: FitConfig, scorer: Scorer, prepare: Callable[[np.ndarray], Any], state: Any, good: GoodImages
) -> GoodScores:
    """Of each good image and its augmentations, by a state that does not hold it."""
    if scorer.detector.references == "never":
        return fixed_scores(scorer, state, good.canvases, config.augmentations, config.seed)
    folds = folds_of(len(good.keys), config.folds)
    return held_out_scores(scorer, prepare, good.canvases, config.augmentations, folds, config.seed)


def about(config: FitConfig, fitted: Fitted) -> dict[str, Any]:
    """What `detector.json` keeps of how the detector was made."""
    named = ("method", "object_name", "references")
    return {
        "object": config.object_name,
        "options": {k: x for k, x in flattened(config).items() if k not in named},
        "threshold": fitted.threshold,
        "references": list(fitted.good.files) if fitted.good else [],
        "reference_digests": list(fitted.good.files.values()) if fitted.good else [],
        "left_out": [entry._asdict() for entry in fitted.good.left_out] if fitted.good else [],
    }


def table(good: GoodImages, scores: GoodScores) -> bytes:
    """The good scores as CSV: path, frame (of a file of several), version (0 is the image), score, peak."""
    lines = [csv_line(("path", "frame", "version", "score", "peak"))]
    first = 1 if len(good.keys) == 1 else 0
    for key, images, peaks in zip(good.keys, scores.image, scores.peak, strict=True):
        for version, (image, peak) in enumerate(zip(images, peaks, strict=True), first):
            lines.append(csv_line((Path(key.path).absolute(), key.frame, version, image, peak)))
    return "".join(lines).encode("utf-8", "surrogateescape")
