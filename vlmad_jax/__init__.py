"""Finding defects in pictures of manufactured things with CLIP, in JAX."""

from vlmad_jax import metrics
from vlmad_jax.clip.model import CLIP, load_clip, save_clip
from vlmad_jax.errors import InputError
from vlmad_jax.inspection import load_detector
from vlmad_jax.methods import (
    SPADE,
    AnomalyCLIP,
    AprilGAN,
    Autoencoder,
    CoOp,
    CutPaste,
    Hybrid,
    PaDiM,
    PatchCore,
    Scores,
    WinCLIP,
)

__all__ = [
    "CLIP",
    "SPADE",
    "AnomalyCLIP",
    "AprilGAN",
    "Autoencoder",
    "CoOp",
    "CutPaste",
    "Hybrid",
    "InputError",
    "PaDiM",
    "PatchCore",
    "Scores",
    "WinCLIP",
    "load_clip",
    "load_detector",
    "metrics",
    "save_clip",
]
