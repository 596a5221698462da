"""Finding defects in images of manufactured things with CLIP, in JAX.

What stands here is imported when it is first used: the import of the package itself takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmad_jax import metrics
    from vlmad_jax.backbones import Backbone, load_backbone
    from vlmad_jax.backbones.clip import CLIP, load_clip, save_clip
    from vlmad_jax.data import load_dataset
    from vlmad_jax.data.images import read_image
    from vlmad_jax.errors import InputError
    from vlmad_jax.evaluation.config import EvaluationConfig
    from vlmad_jax.evaluation.evaluate import evaluate
    from vlmad_jax.inspection import FitConfig, fit, load_detector
    from vlmad_jax.methods import (
        DRAEM,
        MRAD,
        SPADE,
        AnomalyCLIP,
        AnomalyDINO,
        AprilGAN,
        Autoencoder,
        CoOp,
        CutPaste,
        GANomaly,
        Hybrid,
        MuSc,
        PaDiM,
        PatchCore,
        Scores,
        SubspaceAD,
        WinCLIP,
    )

    __version__: str

__all__ = [
    "CLIP",
    "DRAEM",
    "MRAD",
    "SPADE",
    "AnomalyCLIP",
    "AnomalyDINO",
    "AprilGAN",
    "Autoencoder",
    "Backbone",
    "CoOp",
    "CutPaste",
    "EvaluationConfig",
    "FitConfig",
    "GANomaly",
    "Hybrid",
    "InputError",
    "MuSc",
    "PaDiM",
    "PatchCore",
    "Scores",
    "SubspaceAD",
    "WinCLIP",
    "__version__",
    "evaluate",
    "fit",
    "load_backbone",
    "load_clip",
    "load_dataset",
    "load_detector",
    "metrics",
    "read_image",
    "save_clip",
]

# Where each is; all others are methods.
_HOMES = {
    "Backbone": "vlmad_jax.backbones",
    "CLIP": "vlmad_jax.backbones.clip",
    "EvaluationConfig": "vlmad_jax.evaluation.config",
    "FitConfig": "vlmad_jax.inspection",
    "InputError": "vlmad_jax.errors",
    "evaluate": "vlmad_jax.evaluation.evaluate",
    "fit": "vlmad_jax.inspection",
    "load_backbone": "vlmad_jax.backbones",
    "load_clip": "vlmad_jax.backbones.clip",
    "load_dataset": "vlmad_jax.data",
    "load_detector": "vlmad_jax.inspection",
    "read_image": "vlmad_jax.data.images",
    "save_clip": "vlmad_jax.backbones.clip",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "metrics":
        value: Any = importlib.import_module("vlmad_jax.metrics")
    elif name == "__version__":
        value = importlib.import_module("vlmad_jax.runtime.about").version()
    else:
        value = getattr(importlib.import_module(_HOMES.get(name, "vlmad_jax.methods")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
