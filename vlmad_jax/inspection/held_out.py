"""Scores of good images by a memory that does not hold them.

An image in memory is at no distance from itself, so its own score says nothing of the next good image.
Each is therefore scored, with all of its augmentations, by a state made of other images alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.augment import augmented
from vlmad_jax.inspection.scorer import Scorer

# Images up to which each is held out by itself; more are held out in so many blocks.
MOST_FOLDS = 16

Prepare = Callable[[np.ndarray], Any]


class GoodScores(NamedTuple):
    """Of K good images, n versions of each: itself, unless there is only one, and its augmentations."""

    image: np.ndarray  # (K, n)
    peak: np.ndarray  # (K, n), the maximum of the map
    level: np.ndarray  # (K, n), the mean of the map

    @property
    def own(self) -> GoodScores:
        """Those of the images themselves, n = 1; of one image alone, of which there are none, all."""
        return self if len(self.image) == 1 else GoodScores(*(x[:, :1] for x in self))


def held_out_scores(
    scorer: Scorer, prepare: Prepare, canvases: np.ndarray, augmentations: int, folds: int, seed: int
) -> GoodScores:
    """Scores of good images, each by a state made without it.

    Args:
      scorer: the method.
      prepare: images (N, *canvas, 3) -> a state.
      canvases: uint8 (K, *canvas, 3).
      augmentations: of each image.
      folds: blocks of images that are held out together, 2 to K; K is leave-one-out.
      seed: of the augmentations.

    One image alone has no others: its augmentations are scored by a state made of itself.

    Raises:
      InputError: one image and no augmentations.
    """
    if len(canvases) == 1:
        if not augmentations:
            raise InputError("--augmentations=0: of one good image nothing can be held out; give 2 or more")
        state = prepare(canvases)
        return _stacked([_scores(scorer, state, _versions(canvases[0], 0, augmentations, seed)[1:])])
    # Blocks of neighbours: images taken one after another are alike, and would vouch for each other.
    blocks = np.array_split(np.arange(len(canvases)), folds)
    found = []
    with _bar(len(canvases), augmentations) as bar:
        for block in blocks:
            state = prepare(np.delete(canvases, block, axis=0))
            for k in block:
                found.append(_scores(scorer, state, _versions(canvases[k], k, augmentations, seed)))
                bar.update(1 + augmentations)
    return _stacked(found)


def fixed_scores(
    scorer: Scorer, state: Any, canvases: np.ndarray, augmentations: int, seed: int
) -> GoodScores:
    """Scores of good images by a state that holds none of them."""
    found = []
    with _bar(len(canvases), augmentations) as bar:
        for k, canvas in enumerate(canvases):
            found.append(_scores(scorer, state, _versions(canvas, k, augmentations, seed)))
            bar.update(1 + augmentations)
    return _stacked(found)


def _bar(images: int, augmentations: int) -> tqdm[Any]:
    """Shows how many images a second are scored, and how long the rest takes."""
    total = images * (1 + augmentations)
    return tqdm(desc="scoring reference images", total=total, unit=" images", disable=None)


def folds_of(images: int, wanted: int) -> int:
    """How many blocks are held out: `wanted`, or of 0 each image by itself, as long as they are few."""
    return min(images, wanted or MOST_FOLDS)


def _versions(canvas: np.ndarray, number: int, augmentations: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number])
    return np.stack([canvas, *(augmented(canvas, rng) for _ in range(augmentations))])


def _scores(scorer: Scorer, state: Any, canvases: np.ndarray) -> GoodScores:
    scores = scorer.score(state, canvases)
    if not (np.isfinite(scores.image).all() and np.isfinite(scores.map).all()):
        raise InputError(f"{scorer.detector.name} gives scores that are no numbers; give other weights")
    images, maps = np.asarray(scores.image), np.asarray(scores.map)
    return GoodScores(images, maps.max(axis=(1, 2)), maps.mean(axis=(1, 2)))


def _stacked(found: list[GoodScores]) -> GoodScores:
    return GoodScores(*(np.stack(x) for x in zip(*found, strict=True)))
