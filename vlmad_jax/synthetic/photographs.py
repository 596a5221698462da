"""Rendered defects on a photograph of a real surface."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from PIL import Image

from vlmad_jax.errors import InputError
from vlmad_jax.synthetic.camera import Camera, expose, record
from vlmad_jax.synthetic.defects import DEFECTS
from vlmad_jax.synthetic.grid import Array
from vlmad_jax.synthetic.pairs import PROBE, Trial, choose_trial, mask_of
from vlmad_jax.synthetic.pasting import is_grey
from vlmad_jax.synthetic.place import Place
from vlmad_jax.synthetic.products import Seed, digest
from vlmad_jax.synthetic.scene import Canvas, Light, shade

# A light and a camera that do not change a level surface, since the photograph has its own.
LIGHT = Light(azimuth=0.8, elevation=0.9, ambient=0.4)
CAMERA = Camera(gain=(1, 1, 1), slope=(0, 0), vignette=0, gamma=1, blur=0, noise=0, quality=None, grey=False)
SURFACE_DEFECTS = tuple(name for name, defect in DEFECTS.items() if defect.mark is not None)


def draw_surface_defect(photograph: Array, defect: str, seed: Seed) -> tuple[Array, Array]:
    """Draw a defect on a photograph.

    Args:
        photograph: A surface that fills the image, uint8 (S, S, 3).
        defect: A name in `SURFACE_DEFECTS`.
        seed: The seed of the defect, as for `numpy.random.default_rng`.

    Returns:
        The image with the defect, uint8 (S, S, 3), grey if the photograph is grey, and the mask uint8 (S, S),
        which is 1 where the defect is visible.

    Raises:
        InputError: There is no such defect of surfaces. The message lists the choices.
    """
    if defect not in SURFACE_DEFECTS:
        raise InputError(f"unknown defect {defect!r}: choose one of {', '.join(SURFACE_DEFECTS)}")
    camera = replace(CAMERA, grey=is_grey(photograph))
    place = Place(np.ones((PROBE, PROBE), bool))
    probe, canvas = (_canvas(photograph, size) for size in (PROBE, len(photograph)))

    def add_defect(canvas: Canvas, trial: Trial) -> Array:
        rng = np.random.default_rng((zlib.crc32(defect.encode()), *digest(seed), trial.attempt))
        mark = DEFECTS[defect].mark
        assert mark is not None
        return expose(shade(mark(canvas, place, rng, trial.strength), LIGHT), camera)

    trial = choose_trial(lambda trial: add_defect(probe, trial), shade(probe, LIGHT), place)
    normal, anomalous = shade(canvas, LIGHT), add_defect(canvas, trial)
    return record(anomalous, camera, np.random.default_rng(0)), mask_of(normal, anomalous)


def _canvas(photograph: Array, size: int) -> Canvas:
    """Return a level, matt surface with the photograph's colours."""
    pixels = np.asarray(Image.fromarray(photograph).resize((size, size), Image.Resampling.BOX), np.float32)
    level = np.zeros((size, size), np.float32)
    return Canvas(pixels.transpose(2, 0, 1) / np.float32(255), level, level, np.ones_like(level))
