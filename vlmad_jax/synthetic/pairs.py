"""Rendering: a good image of a product, or a good and a defective one that differ by the defect alone."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import grey_closing, uniform_filter

from vlmad_jax.synthetic.camera import Camera, expose, record
from vlmad_jax.synthetic.defects import Defect
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.products import Product, Seed, defect_of, digest, make_scene
from vlmad_jax.synthetic.scene import Canvas, Scene, draw, shade

PROBE = 64  # the size at which a defect's place and strength are settled, whatever the image's size
_ATTEMPTS = 10
_SHARE = (0.004, 0.3)  # of the object's area, or of half the image for a slender object
_GOOD, _BAD, _DEFECT = 5, 6, 7  # uses of random streams


@dataclass(frozen=True)
class Trial:
    """One way to draw a defect: which random stream, and how strongly."""

    attempt: int
    strength: float


def render_good(product: Product, seed: Seed, size: int) -> Array:
    """A good image of a product, uint8 (S, S, 3) with S = `size`; equal to the first of `render_pair`."""
    scene, camera = make_scene(product, seed)
    image = expose(shade(draw(scene, size), scene.light), camera)
    return record(image, camera, product.stream(_GOOD, *digest(seed)))


def render_pair(product: Product, defect: str, seed: Seed, size: int) -> tuple[Array, Array, Array]:
    """A good image, the same with a defect, and where they differ.

    Args:
        product: what `make_product` gave.
        defect: a name in `defects_of(product.family)`.
        seed: what `numpy.random.default_rng` takes; another seed is another image.
        size: side S of the images in pixels. The same seed shows the same scene at every size.

    Returns:
        good and bad uint8 (S, S, 3), each with its own sensor noise, and mask uint8 (S, S), 1 where the
        defect is visible. The mask is never empty.

    Raises:
        InputError: the defect is unknown or makes no sense for the family; the message lists the choices.
    """
    kind = defect_of(defect, product.family)
    scene, camera = make_scene(product, seed)
    probe = draw(scene, PROBE)
    place = Place(probe.inside > 0.5)
    key = (_DEFECT, zlib.crc32(defect.encode()), *digest(seed))

    def spoil(canvas: Canvas, trial: Trial) -> Array | None:
        return _spoil(kind, scene, camera, canvas, place, product.stream(*key, trial.attempt), trial.strength)

    trial = settle(lambda trial: spoil(probe, trial), expose(shade(probe, scene.light), camera), place)
    canvas = draw(scene, size)
    good, bad = expose(shade(canvas, scene.light), camera), spoil(canvas, trial)
    if bad is None:
        raise RuntimeError(f"{product.family} has no part for {defect}")
    noise = digest(seed)
    return (
        record(good, camera, product.stream(_GOOD, *noise)),
        record(bad, camera, product.stream(_BAD, *noise)),
        mask_of(good, bad),
    )


def _spoil(
    kind: Defect,
    scene: Scene,
    camera: Camera,
    canvas: Canvas,
    place: Place,
    rng: np.random.Generator,
    strength: float,
) -> Array | None:
    """The exposed image (3, S, S) with the defect of one trial; None where no part can have it."""
    if kind.mark is not None:
        return expose(shade(kind.mark(canvas, place, rng, strength), scene.light), camera)
    if kind.alteration is None:
        raise RuntimeError(f"{kind.name} is neither a mark nor an alteration")
    altered = kind.alteration(scene, rng, strength)
    if altered is None:
        return None
    return expose(shade(draw(altered, canvas.height.shape[0]), scene.light), camera)


def settle(spoil: Callable[[Trial], Array | None], good: Array, place: Place) -> Trial:
    """The first trial that can be seen and has a sensible size, or else the most visible one.

    `spoil` gives the exposed image (3, P, P) with the defect of a trial, or None where there can be none;
    `good` is the same without it, P = `PROBE`.
    """
    best, reached = Trial(0, 1.0), 0.0
    for attempt in range(4 * _ATTEMPTS):
        if reached and attempt >= _ATTEMPTS:
            break
        trial = Trial(attempt, 1 + 0.12 * attempt)
        bad = spoil(trial)
        if bad is None:
            break
        mask = mask_of(good, bad) > 0
        share = float(mask.sum()) / max(float(place.inside.sum()), PROBE * PROBE / 2)
        seen = _visibility(good, bad, mask)
        if seen >= 1 and _SHARE[0] <= share <= _SHARE[1]:
            return trial
        score = min(seen, 1) * min(share / _SHARE[0], 1) * min(_SHARE[1] / max(share, 1e-6), 1)
        if score > reached:
            best, reached = trial, score
    return best


def _visibility(good: Array, bad: Array, mask: Array) -> float:
    """How well the change shows: at least 1 where it stands out from the texture that it lies in."""
    if not mask.any():
        return 0.0
    change = float(np.abs(bad - good).mean(0)[mask].mean())
    grey = good.mean(0)
    rough = grey - uniform_filter(grey, 5)
    texture = float(np.sqrt((rough[mask] ** 2).mean()))
    return change / max(0.07, 0.05 + 0.8 * texture)


def mask_of(good: Array, bad: Array) -> Array:
    """Where two exposed images (3, S, S) differ noticeably: uint8 (S, S), empty only if they are equal."""
    change = np.abs(bad - good).mean(0)
    peak = float(change.max())
    changed = change >= min(max(0.02, 0.2 * peak), max(0.5 * peak, 1e-6))
    reach = max(1, round(change.shape[0] / 64))
    return grey_closing(changed.view(np.uint8), 2 * reach + 1, mode="nearest")
