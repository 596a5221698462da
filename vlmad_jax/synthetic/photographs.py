"""Defects drawn on a photograph of a real surface."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from PIL import Image

from vlmad_jax.errors import InputError
from vlmad_jax.synthetic.camera import Camera, expose, record
from vlmad_jax.synthetic.defects import DEFECTS
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.pairs import PROBE, mask_of, settle
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.products import Seed, digest
from vlmad_jax.synthetic.scene import Canvas, Light, shade

# The photograph has its light and its camera already: these leave a level surface as it is.
LIGHT = Light(azimuth=0.8, elevation=0.9, ambient=0.4)
CAMERA = Camera(gain=(1, 1, 1), slope=(0, 0), vignette=0, gamma=1, blur=0, noise=0, quality=None, grey=False)
SURFACE_DEFECTS = tuple(name for name, defect in DEFECTS.items() if defect.mark is not None)


def spoil_photograph(photograph: Array, defect: str, seed: Seed) -> tuple[Array, Array]:
    """The photograph with a defect, grey if the photograph is, and where they differ.

    Args:
        photograph: uint8 (S, S, 3), a surface that fills the image.
        defect: a name in `SURFACE_DEFECTS`.
        seed: what `numpy.random.default_rng` takes; another seed is another defect.

    Returns:
        uint8 (S, S, 3), and a mask uint8 (S, S), 1 where the defect is visible.

    Raises:
        InputError: the defect is unknown or none of a surface; the message lists the choices.
    """
    if defect not in SURFACE_DEFECTS:
        raise InputError(f"unknown defect {defect!r}: choose one of {', '.join(SURFACE_DEFECTS)}")
    camera = replace(CAMERA, grey=bool((photograph == photograph[..., :1]).all()))
    place = Place(np.ones((PROBE, PROBE), bool))
    probe, canvas = (_canvas(photograph, size) for size in (PROBE, len(photograph)))

    def spoiled(canvas: Canvas, attempt: int, strength: float) -> Array:
        rng = np.random.default_rng((zlib.crc32(defect.encode()), *digest(seed), attempt))
        mark = DEFECTS[defect].mark
        assert mark is not None
        return expose(shade(mark(canvas, place, rng, strength), LIGHT), camera)

    trial = settle(lambda trial: spoiled(probe, trial.attempt, trial.strength), shade(probe, LIGHT), place)
    good, bad = shade(canvas, LIGHT), spoiled(canvas, trial.attempt, trial.strength)
    return record(bad, camera, np.random.default_rng(0)), mask_of(good, bad)


def _canvas(photograph: Array, size: int) -> Canvas:
    """A level, dull surface with the photograph's colours."""
    pixels = np.asarray(Image.fromarray(photograph).resize((size, size), Image.Resampling.BOX), np.float32)
    level = np.zeros((size, size), np.float32)
    return Canvas(pixels.transpose(2, 0, 1) / np.float32(255), level, level, np.ones_like(level))
