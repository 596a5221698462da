"""Scores of reference images by a state that was made without them.

The distance of an image in memory from itself is 0, so its own score says nothing about the next normal
image. Each image is therefore scored, together with its augmentations, by a state made of the other images.

The augmentations model how one image of a normal part differs from the next on a line with a fixed camera and
a part that a machine feeds. They measure the spread of normal scores; nothing is trained on them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.inspection.scorer import Scorer

SHIFT = 0.02  # of the side, either way
ROTATION = 2.0  # degrees, either way
EXPOSURE = 0.10  # of the light, either way
GAMMA = 0.10  # of the exponent, either way
BLUR = 0.7  # pixels, standard deviation at most
NOISE = 3.0  # grey levels of 255, standard deviation at most


def augmented(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image uint8 (rows, columns, 3), shifted, turned, lit, blurred and with noise, each at random.

    What comes into view at the border repeats the border's pixels.
    """
    from scipy import ndimage  # takes a quarter of a second to import

    pixels = _moved(image.astype(np.float32), rng)
    light = 1 + rng.uniform(-EXPOSURE, EXPOSURE)
    exponent = 1 + rng.uniform(-GAMMA, GAMMA)
    pixels = 255 * np.clip(light * pixels / 255, 0, 1) ** exponent
    blur = rng.uniform(0, BLUR)
    pixels = ndimage.gaussian_filter(pixels, (blur, blur, 0), mode="nearest")
    pixels += rng.normal(0, rng.uniform(0, NOISE), pixels.shape)
    return np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)


def _moved(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from scipy import ndimage

    sides = np.array(pixels.shape[:2])
    angle = np.deg2rad(rng.uniform(-ROTATION, ROTATION))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (sides - 1) / 2
    offset = centre - turn @ centre + rng.uniform(-SHIFT, SHIFT, 2) * sides
    channels = [
        ndimage.affine_transform(pixels[..., channel], turn, offset, order=1, mode="nearest")
        for channel in range(pixels.shape[-1])
    ]
    return np.stack(channels, axis=-1)


# Images up to which each is held out by itself; more are held out in so many blocks.
MAX_FOLDS = 16

Prepare = Callable[[np.ndarray], Any]


class ReferenceScores(NamedTuple):
    """Of K good images, n versions of each: itself, unless there is only one, and its augmentations."""

    image: np.ndarray  # (K, n)
    peak: np.ndarray  # (K, n), the maximum of the map
    level: np.ndarray  # (K, n), the mean of the map

    @property
    def own(self) -> ReferenceScores:
        """Those of the images themselves, n = 1; of one image alone, of which there are none, all."""
        return self if len(self.image) == 1 else ReferenceScores(*(x[:, :1] for x in self))


def held_out_scores(
    scorer: Scorer, prepare: Prepare, canvases: np.ndarray, augmentations: int, folds: int, seed: int
) -> ReferenceScores:
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
) -> ReferenceScores:
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
    return min(images, wanted or MAX_FOLDS)


def _versions(canvas: np.ndarray, number: int, augmentations: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number])
    return np.stack([canvas, *(augmented(canvas, rng) for _ in range(augmentations))])


def _scores(scorer: Scorer, state: Any, canvases: np.ndarray) -> ReferenceScores:
    scores = scorer.score(state, canvases)
    if not (np.isfinite(scores.image).all() and np.isfinite(scores.map).all()):
        raise InputError(f"{scorer.detector.name} gives scores that are no numbers; give other weights")
    images, maps = np.asarray(scores.image), np.asarray(scores.map)
    return ReferenceScores(images, maps.max(axis=(1, 2)), maps.mean(axis=(1, 2)))


def _stacked(found: list[ReferenceScores]) -> ReferenceScores:
    return ReferenceScores(*(np.stack(x) for x in zip(*found, strict=True)))
