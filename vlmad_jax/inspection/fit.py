"""Fit a detector and its threshold to a folder of reference images."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.backbones import load_backbone
from vlmad_jax.backbones.checkpoints.hub import BUNDLED, check_named
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.data.images import page_sizes, read_pages
from vlmad_jax.data.pipeline import ReadImage, file_digest_of, prefetch, read_batches
from vlmad_jax.data.resizing import check_resize
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.inspection.detector import Decision
from vlmad_jax.inspection.held_out import Progress, ReferenceScores, fixed_scores, folds_of, held_out_scores
from vlmad_jax.inspection.manifest import check_out
from vlmad_jax.inspection.saved import REFERENCE_SCORES, save_detector
from vlmad_jax.inspection.stream import Found, Key, find
from vlmad_jax.inspection.threshold import SOURCES, Rule, check_rate, decide
from vlmad_jax.inspection.tiles import TiledDetector, Tiling
from vlmad_jax.methods import Detector, MethodOptions, method
from vlmad_jax.methods.options import YOUNGER, flattened
from vlmad_jax.runtime.files import csv_line
from vlmad_jax.runtime.notices import print_stderr

THUMBNAIL = 160  # longer side in pixels
_READ_BATCH = 8  # images read at a time


@dataclass(frozen=True)
class ReferenceFiles:
    """The reference images in files, before they are decoded.

    Attributes:
      source: path that messages name.
      sizes: (width, height) of each image.
      skipped: files that hold no image, with the reason.
    """

    source: str
    sizes: dict[Key, tuple[int, int]]
    skipped: list[Found]

    @classmethod
    def below(cls, source: str) -> ReferenceFiles:
        """Find the images in a folder and its subfolders, or in one file, by their headers.

        Raises:
          InputError: nothing exists at that path.
        """
        return cls.of(source, find(source))

    @classmethod
    def of(cls, source: str, found: Iterable[Found]) -> ReferenceFiles:
        """Read the headers of files that were found at a source; every page of a file is an image."""
        sizes: dict[Key, tuple[int, int]] = {}
        skipped = []
        for path, error in found:
            try:
                if error:
                    raise InputError(error)
                pages = page_sizes(path)
                keys = [Key(path)] if len(pages) == 1 else [Key(path, number) for number in range(len(pages))]
                sizes.update(zip(keys, pages, strict=True))
            except InputError as reason:
                skipped.append(Found(path, str(reason).removeprefix(f"{path}: ")))
        return cls(source, sizes, skipped)

    def read(self, canvas: tuple[int, int], workers: int, resample: str = "bicubic") -> ReferenceImages:
        """Decode the images and resize them to a canvas; skip duplicates and those that do not decode.

        `resample` is the filter, a name in `images.FILTERS`.

        Raises:
          InputError: no image remains.
        """
        keys, canvases, skipped = [], [], list(self.skipped)
        first_seen: dict[bytes, Key] = {}
        digests: dict[str, str] = {}
        read = self._rows(ReadImage(canvas, resample), workers)
        for key, row in tqdm(read, "reading reference images", len(self.sizes), unit=" images", disable=None):
            image, error = row["image"], row["error"].item().decode(errors="ignore")
            twin = first_seen.setdefault(hashlib.sha256(image.tobytes()).digest(), key)
            if error or twin != key:
                skipped.append(Found(str(key), error or f"is the same image as {twin}"))
                continue
            keys.append(key)
            canvases.append(image)
            digests[key.path] = file_digest_of(row).digest
        if not keys:
            reason = f" ({skipped[0].path}: {skipped[0].error})" if skipped else ""
            raise InputError(f"--references={self.source}: no image in it can be read{reason}")
        return ReferenceImages(keys, np.stack(canvases), skipped, digests)

    def _rows(self, read: ReadImage, workers: int) -> Iterator[tuple[Key, dict[str, Any]]]:
        """Yield the rows of files with one image, then those of the pages of the others."""
        single = [key.path for key in self.sizes if key.frame is None]
        batches = prefetch(read_batches(single, read, _READ_BATCH, workers), lambda batch: batch)
        rows = itertools.chain.from_iterable(map(_unstacked, batches))
        yield from zip(map(Key, single), rows, strict=True)
        for path in dict.fromkeys(key.path for key in self.sizes if key.frame is not None):
            for number, row in enumerate(read.each(path, read_pages(path))):
                yield Key(path, number), row


@dataclass(frozen=True)
class ReferenceImages:
    """Reference images, all different.

    Attributes:
      keys: the K images.
      canvases: uint8 (K, *canvas, 3).
      skipped: files and pages that were skipped, with the reason.
      digests: digest of the content of each file, by its path.
    """

    keys: list[Key]
    canvases: np.ndarray
    skipped: list[Found]
    digests: dict[str, str]

    def thumbnails(self, sizes: dict[Key, tuple[int, int]]) -> dict[str, bytes]:
        """Return JPEG files by name, in the proportions of the images, whose (width, height) are given."""
        files = {}
        for number, (key, canvas) in enumerate(zip(self.keys, self.canvases, strict=True)):
            width, height = (max(1, round(side * THUMBNAIL / max(sizes[key]))) for side in sizes[key])
            data = io.BytesIO()
            Image.fromarray(canvas).resize((width, height)).save(data, "JPEG", quality=85)
            files[f"references/{number:04d}.jpg"] = data.getvalue()
        return files

    @property
    def files(self) -> dict[str, str]:
        """Absolute paths of the files, with the digests of their contents."""
        return {str(Path(path).absolute()): digest for path, digest in self.digests.items()}


def _unstacked(batch: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [{name: x[row] for name, x in batch.items()} for row in range(len(batch["image"]))]


@dataclass(frozen=True)
class FitConfig:
    """The configuration of a fitted detector.

    Attributes:
      method: a name in `methods.METHODS`.
      object_name: name of the object as it stands in a sentence, such as "metal nut".
      references: a folder or one file of reference images; None is zero-shot.
      weights: directory or hub id of a checkpoint.
      false_alarms: wanted rate of false alarms, the share of normal images that may be called bad.
      tiles: "auto", "3" or "2x5", see `Tiling.choose`.
      options: options of the method.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      augmentations: number of augmentations of each reference image that the threshold is made from.
      threshold_from: scores that the threshold is made from, "own" (of the reference images themselves) or
        "augmented" (of their augmentations too).
      folds: number of blocks of reference images that are held out; 0 is one per image, at most 16.
      batch_size: number of images that are scored together.
      seed: seed of the augmentations.
      resize: "square", or "shorter" to keep the proportions of images, see `TiledDetector.choose`.
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
    resize: str = field(default="square", metadata=YOUNGER)


@dataclass(frozen=True)
class Fitted:
    """The result of a fit.

    Attributes:
      decision: the thresholds.
      threshold: how they were made, see `decide`.
      references: the reference images, or None.
      tiling: the tiles.
    """

    decision: Decision
    threshold: dict[str, Any]
    references: ReferenceImages | None
    tiling: Tiling


def fit(config: FitConfig, out: str | Path, overwrite: bool = False, workers: int = 0) -> Fitted:
    """Fit a detector and save it to `out`.

    Args:
      config: the configuration.
      out: directory, which is written whole or not at all.
      overwrite: replace a detector that exists there.
      workers: number of processes that decode; 0 decodes in threads of this process.

    Raises:
      InputError: something is wrong with the configuration, the weights, the images or `out`.
    """
    out = Path(out).expanduser()
    kind = method(config.method)  # before the slow work, so that a misspelt name is refused at once
    check(config, kind)
    check_out(out, overwrite)
    found = None if config.references is None else ReferenceFiles.below(config.references)
    backbone = load_backbone(config.weights, config.dtype)
    detector, params = kind.from_options(backbone, config.options)
    sizes = [] if found is None else list(found.sizes.values())
    model = TiledDetector.choose(detector, config.tiles, config.resize, sizes, str(config.references))
    return fit_model(config, model, params, found, out, overwrite, workers)


def fit_model(
    config: FitConfig,
    model: TiledDetector,
    params: dict[str, Any],
    found: ReferenceFiles | None,
    out: Path,
    overwrite: bool = False,
    workers: int = 0,
    progress: Progress | None = None,
) -> Fitted:
    """Fit a method that is loaded, with tiles that are chosen and reference images that are found.

    `progress` is called after each image that is scored; for the rest see `fit`.
    """
    detector, tiling = model.detector, model.tiling
    references = None if found is None else found.read(tiling.canvas, workers, model.backbone.resample)

    def prepare(canvases: np.ndarray | None) -> Any:
        tiles = None if canvases is None or detector.references == "never" else tiling.cut(canvases)
        return detector.prepare(config.object_name, tiles, params)

    if references is not None:
        print_stderr(plan(config, detector, len(references.keys)))
    state = prepare(None if references is None else references.canvases)
    scores = None
    if references is not None:
        scores = reference_scores(config, model, prepare, state, references.canvases, progress)
    folds = (
        0 if scores is None or detector.references == "never" else folds_of(len(scores.image), config.folds)
    )
    rule = Rule(config.false_alarms, config.threshold_from, config.augmentations, folds)
    fitted = Fitted(*decide(rule, detector, scores), references, tiling)
    files = {}
    if found is not None and references is not None and scores is not None:
        files = {REFERENCE_SCORES: table(references.keys, scores), **references.thumbnails(found.sizes)}
    save_detector(out, model, state, params, fitted.decision, about(config, fitted), files, overwrite)
    return fitted


def check(config: FitConfig, kind: type[Detector]) -> None:
    """Raise InputError for errors that the configuration alone shows."""
    if not config.object_name.strip():
        raise InputError("--object is empty; name the object in the images, for example metal nut")
    if kind.references == "always" and config.references is None:
        raise InputError(
            f"--references is missing: {kind.name} knows a product only by images of good parts; "
            "give a folder of them"
        )
    if config.folds < 0 or config.folds == 1:
        raise InputError(f"--folds={config.folds}: give 2 or more blocks, or 0 to hold out image by image")
    if config.threshold_from not in SOURCES:
        raise InputError(f"--threshold_from={config.threshold_from}: give {' or '.join(SOURCES)}")
    check_rate(config.false_alarms)
    check_resize(config.resize)
    dtype_of(config.dtype)
    check_named(config.weights, config.options.params)


def plan(config: FitConfig, detector: Detector, images: int) -> str:
    """Return one line that says how much work a fit is."""
    copies = config.augmentations + (images > 1)
    folds = folds_of(images, config.folds) if images > 1 and detector.references != "never" else 0
    memories = f" by {folds} memories that each lack some of them" if folds else ""
    return f"fitting {detector.name} to {images} reference images: scoring {images * copies} images{memories}"


def reference_scores(
    config: FitConfig,
    model: TiledDetector,
    prepare: Callable[[np.ndarray], Any],
    state: Any,
    canvases: np.ndarray,
    progress: Progress | None = None,
) -> ReferenceScores:
    """Score each reference image and its augmentations by a state that does not hold the image."""
    scorer = Scorer(model, config.batch_size)
    augmentations, seed = config.augmentations, config.seed
    if model.detector.references == "never":
        return fixed_scores(scorer, state, canvases, augmentations, seed, progress)
    folds = folds_of(len(canvases), config.folds)
    return held_out_scores(scorer, prepare, canvases, augmentations, folds, seed, progress)


def about(config: FitConfig, fitted: Fitted) -> dict[str, Any]:
    """Return the entries of `detector.json` that tell how the detector was fitted."""
    elsewhere = ("method", "object_name", "references")
    references = fitted.references
    return {
        "object": config.object_name,
        "options": {k: x for k, x in flattened(config).items() if k not in elsewhere},
        "threshold": fitted.threshold,
        "references": list(references.files) if references else [],
        "reference_digests": list(references.files.values()) if references else [],
        "left_out": [entry._asdict() for entry in references.skipped] if references else [],
    }


def table(keys: Sequence[Key], scores: ReferenceScores) -> bytes:
    """Return the scores as CSV: path, frame (in a file of several), version (0 is the image), score, peak."""
    lines = [csv_line(("path", "frame", "version", "score", "peak"))]
    first = 1 if len(keys) == 1 else 0
    for key, images, peaks in zip(keys, scores.image, scores.peak, strict=True):
        for version, (image, peak) in enumerate(zip(images, peaks, strict=True), first):
            lines.append(csv_line((Path(key.path).absolute(), key.frame, version, image, peak)))
    return "".join(lines).encode("utf-8", "surrogateescape")
