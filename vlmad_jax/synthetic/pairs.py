"""Rendering of a normal image, or of a pair of a normal and an anomalous image that differ in a defect."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from vlmad_jax.synthetic.camera import Camera, expose, record
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.pasting import close_gaps
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.products import Product, Seed, defect_of, digest, make_scene
from vlmad_jax.synthetic.scene import Canvas, draw, shade

PROBE = 64  # the image size at which the place and strength of a defect are chosen, for all image sizes
_ATTEMPTS = 10
_SHARE = (0.004, 0.3)  # the allowed area of a defect, as a share of the object or of half the image
_NORMAL, _ANOMALOUS, _DEFECT = 5, 6, 7  # the numbers of random streams


@dataclass(frozen=True)
class Trial:
    """One attempt to draw a defect: the number of its random stream, and its strength."""

    attempt: int
    strength: float


def render_good(product: Product, seed: Seed, size: int) -> Array:
    """Return a normal image of a product, uint8 (S, S, 3), as `render_pair` does with the same seed."""
    scene, camera = make_scene(product, seed)
    image = expose(shade(draw(scene, size), scene.light), camera)
    return record(image, camera, product.stream(_NORMAL, *digest(seed)))


def render_pair(product: Product, defect: str, seed: Seed, size: int) -> tuple[Array, Array, Array]:
    """Return a normal image, the same image with a defect, and the mask of the defect.

    Args:
        product: A product from `make_product`.
        defect: A name in `defects_of(product.family)`.
        seed: The seed of the image, as for `numpy.random.default_rng`.
        size: S, the side of the images in pixels. The same seed shows the same scene at every size.

    Returns:
        The normal and the anomalous image, uint8 (S, S, 3), with independent sensor noise, and the mask uint8
        (S, S), which is 1 where the defect is visible. The mask is never empty.

    Raises:
        InputError: The family has no such defect. The message lists the choices.
    """
    camera, normal, anomalous = _expose_pair(product, defect, seed, size)
    image = record(normal, camera, product.stream(_NORMAL, *digest(seed)))
    return image, *_recorded(product, camera, normal, anomalous, seed)


def render_anomalous(product: Product, defect: str, seed: Seed, size: int) -> tuple[Array, Array]:
    """Return the anomalous image and the mask of `render_pair`, in less time."""
    return _recorded(product, *_expose_pair(product, defect, seed, size), seed)


def _recorded(
    product: Product, camera: Camera, normal: Array, anomalous: Array, seed: Seed
) -> tuple[Array, Array]:
    image = record(anomalous, camera, product.stream(_ANOMALOUS, *digest(seed)))
    return image, mask_of(normal, anomalous)


def _expose_pair(product: Product, defect: str, seed: Seed, size: int) -> tuple[Camera, Array, Array]:
    """Return the camera, and the exposed images (3, S, S) without and with the defect."""
    kind = defect_of(defect, product.family)
    scene, camera = make_scene(product, seed)
    probe = draw(scene, PROBE)
    place = Place(probe.inside > 0.5)
    key = (_DEFECT, zlib.crc32(defect.encode()), *digest(seed))

    def photographed(canvas: Canvas) -> Array:
        return expose(shade(canvas, scene.light), camera)

    def add_defect(canvas: Canvas, trial: Trial) -> Array | None:
        rng = product.stream(*key, trial.attempt)
        if kind.mark is not None:
            return photographed(kind.mark(canvas, place, rng, trial.strength))
        if kind.alteration is None:
            raise RuntimeError(f"{kind.name} is neither a mark nor an alteration")
        altered = kind.alteration(scene, rng, trial.strength)
        return None if altered is None else photographed(draw(altered, len(canvas.height)))

    trial = choose_trial(lambda trial: add_defect(probe, trial), photographed(probe), place)
    canvas = draw(scene, size)
    normal, anomalous = photographed(canvas), add_defect(canvas, trial)
    if anomalous is None:
        raise RuntimeError(f"{product.family} has no part for {defect}")
    return camera, normal, anomalous


def choose_trial(add_defect: Callable[[Trial], Array | None], normal: Array, place: Place) -> Trial:
    """Return the first trial whose defect is visible and of an allowed size, or else the best one.

    Args:
        add_defect: Returns the exposed image (3, P, P), P = `PROBE`, with the defect of a trial, or None if
            the scene cannot have it.
        normal: The exposed image (3, P, P) without a defect.
        place: The outline of the object.
    """
    best, reached = Trial(0, 1.0), 0.0
    for attempt in range(4 * _ATTEMPTS):
        if reached and attempt >= _ATTEMPTS:
            break
        trial = Trial(attempt, 1 + 0.12 * attempt)
        anomalous = add_defect(trial)
        if anomalous is None:
            break
        mask = mask_of(normal, anomalous) > 0
        share = float(mask.sum()) / max(float(place.inside.sum()), PROBE * PROBE / 2)
        visibility = _visibility(normal, anomalous, mask)
        if visibility >= 1 and _SHARE[0] <= share <= _SHARE[1]:
            return trial
        score = min(visibility, 1) * min(share / _SHARE[0], 1) * min(_SHARE[1] / max(share, 1e-6), 1)
        if score > reached:
            best, reached = trial, score
    return best


def _visibility(normal: Array, anomalous: Array, mask: Array) -> float:
    """Return the visibility of the change, which is at least 1 if it stands out from the texture."""
    if not mask.any():
        return 0.0
    change = float(np.abs(anomalous - normal).mean(0)[mask].mean())
    grey = normal.mean(0)
    rough = grey - uniform_filter(grey, 5)
    texture = float(np.sqrt((rough[mask] ** 2).mean()))
    return change / max(0.07, 0.05 + 0.8 * texture)


def mask_of(normal: Array, anomalous: Array) -> Array:
    """Return the mask of visible differences of two exposed images (3, S, S): uint8 (S, S).

    It is empty only if the images are equal.
    """
    change = np.abs(anomalous - normal).mean(0)
    peak = float(change.max())
    changed = change >= min(max(0.02, 0.2 * peak), max(0.5 * peak, 1e-6))
    return close_gaps(changed).view(np.uint8)
