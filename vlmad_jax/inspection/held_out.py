"""Scores of reference images by a state that was made without them.

The distance of an image in memory from itself is 0, so its own score says nothing about the next normal
image. Each image is therefore scored, together with its augmentations, by a state made of the other images.

The augmentations model how one image of a normal part differs from the next on a line with a fixed camera and
a part that a machine feeds. They measure the spread of normal scores; nothing is trained on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.scorer import Scorer

SHIFT = 0.02  # largest shift, as a share of the side
ROTATION = 2.0  # largest rotation in degrees
EXPOSURE = 0.10  # largest relative change of the light
GAMMA = 0.10  # largest change of the exponent
BLUR = 0.7  # largest standard deviation in pixels
NOISE = 3.0  # largest standard deviation in grey levels of 255
# Up to so many images each is held out by itself; more images are held out in so many blocks.
MAX_FOLDS = 16

Prepare = Callable[[np.ndarray], Any]
Progress = Callable[[int, int], None]  # receives how many images are scored, and of how many


def augmented(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random variation of an image uint8 (height, width, 3).

    The image is shifted, rotated, lit differently, blurred and given noise, each by a random amount. The
    pixels of the border are repeated outwards.
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


class ReferenceScores(NamedTuple):
    """Scores of n versions of each of K reference images.

    The versions are the image itself, except where it is the only one, and its augmentations.

    Attributes:
      image: (K, n) image scores.
      peak: (K, n) maxima of the maps.
      level: (K, n) means of the maps.
    """

    image: np.ndarray
    peak: np.ndarray
    level: np.ndarray

    @property
    def own(self) -> ReferenceScores:
        """The scores of the images themselves, n = 1; a single image has none, so all of its scores."""
        return self if len(self.image) == 1 else ReferenceScores(*(x[:, :1] for x in self))


def held_out_scores(
    scorer: Scorer,
    prepare: Prepare,
    canvases: np.ndarray,
    augmentations: int,
    folds: int,
    seed: int,
    progress: Progress | None = None,
) -> ReferenceScores:
    """Score each reference image by a state that was made without it.

    A single image cannot be held out: its augmentations are scored by a state made of the image itself.

    Args:
      scorer: the method.
      prepare: makes a state of images (N, *canvas, 3).
      canvases: uint8 (K, *canvas, 3).
      augmentations: number of augmentations of each image.
      folds: number of blocks that are held out one after another, 2 to K; K is leave-one-out.
      seed: seed of the augmentations.
      progress: is called after each image.

    Raises:
      InputError: there is one image and no augmentation.
    """
    if len(canvases) == 1:
        if not augmentations:
            raise InputError("--augmentations=0: a single image cannot be held out; give 2 or more")
        state = prepare(canvases)
        return _stacked([_scores(scorer, state, _versions(canvases[0], 0, augmentations, seed)[1:])])
    # A block holds neighbours, because images taken one after another are alike.
    blocks = np.array_split(np.arange(len(canvases)), folds)
    states = ((k, state) for x in blocks for state in [prepare(np.delete(canvases, x, axis=0))] for k in x)
    return _score_each(scorer, states, canvases, augmentations, seed, progress)


def fixed_scores(
    scorer: Scorer,
    state: Any,
    canvases: np.ndarray,
    augmentations: int,
    seed: int,
    progress: Progress | None = None,
) -> ReferenceScores:
    """Score reference images by one state that holds none of them."""
    states = ((k, state) for k in range(len(canvases)))
    return _score_each(scorer, states, canvases, augmentations, seed, progress)


def folds_of(images: int, wanted: int) -> int:
    """Return the number of blocks: `wanted`, or if that is 0 one per image, at most `MAX_FOLDS`."""
    return min(images, wanted or MAX_FOLDS)


def _score_each(
    scorer: Scorer,
    states: Iterable[tuple[int, Any]],
    canvases: np.ndarray,
    augmentations: int,
    seed: int,
    progress: Progress | None,
) -> ReferenceScores:
    """Score the versions of each canvas, by its number, by the state that comes with it."""
    found: list[ReferenceScores] = []
    versions = 1 + augmentations
    total = versions * len(canvases)
    with tqdm(desc="scoring reference images", total=total, unit=" images", disable=None) as bar:
        for k, state in states:
            found.append(_scores(scorer, state, _versions(canvases[k], k, augmentations, seed)))
            bar.update(versions)
            if progress:
                progress(versions * len(found), total)
    return _stacked(found)


def _versions(canvas: np.ndarray, number: int, augmentations: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng([seed, number])
    return np.stack([canvas, *(augmented(canvas, rng) for _ in range(augmentations))])


def _scores(scorer: Scorer, state: Any, canvases: np.ndarray) -> ReferenceScores:
    scores = scorer.score_all(state, canvases)
    images, maps = np.asarray(scores.image), np.asarray(scores.map)
    return ReferenceScores(images, maps.max(axis=(1, 2)), maps.mean(axis=(1, 2)))


def _stacked(found: list[ReferenceScores]) -> ReferenceScores:
    return ReferenceScores(*(np.stack(x) for x in zip(*found, strict=True)))
