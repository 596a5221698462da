"""Published methods, one file each."""

from __future__ import annotations

from collections.abc import Collection

from vlmad_jax.backbones.checkpoints.hub import BUNDLED_PARAMS, is_bundled
from vlmad_jax.errors import InputError
from vlmad_jax.methods.anomalyclip import AnomalyCLIP
from vlmad_jax.methods.anomalydino import AnomalyDINO
from vlmad_jax.methods.aprilgan import AprilGAN
from vlmad_jax.methods.autoencoder import Autoencoder
from vlmad_jax.methods.batched import Batched
from vlmad_jax.methods.coop import CoOp
from vlmad_jax.methods.cutpaste import CutPaste
from vlmad_jax.methods.detector import Detector, Scores
from vlmad_jax.methods.draem import DRAEM
from vlmad_jax.methods.ganomaly import GANomaly
from vlmad_jax.methods.hybrid import Hybrid
from vlmad_jax.methods.learned import LearnedDetector
from vlmad_jax.methods.mrad import MRAD
from vlmad_jax.methods.musc import MuSc
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.methods.padim import PaDiM
from vlmad_jax.methods.patchcore import PatchCore
from vlmad_jax.methods.reconstruction import ReconstructionDetector
from vlmad_jax.methods.spade import SPADE
from vlmad_jax.methods.subspacead import SubspaceAD
from vlmad_jax.methods.winclip import WinCLIP

LEARNING: dict[str, type[LearnedDetector]] = {
    "anomalyclip": AnomalyCLIP,
    "aprilgan": AprilGAN,
    "coop": CoOp,
    "mrad": MRAD,
}
METHODS: dict[str, type[Detector]] = {
    "winclip": WinCLIP,
    **LEARNING,
    "hybrid": Hybrid,
    "anomalydino": AnomalyDINO,
    "subspacead": SubspaceAD,
    "patchcore": PatchCore,
    "padim": PaDiM,
    "spade": SPADE,
    "cutpaste": CutPaste,
    "autoencoder": Autoencoder,
    "ganomaly": GANomaly,
    "draem": DRAEM,
}
# Those that score a whole unlabelled set by itself. Their results stand apart from those of METHODS.
BATCHED: dict[str, type[Batched]] = {"musc": MuSc, "anomalydino": AnomalyDINO, "subspacead": SubspaceAD}


def method(name: str) -> type[Detector]:
    """Return the class of a method that scores images one by one.

    Raises:
      InputError: There is no such method; the message lists the choices.
    """
    if name in BATCHED and name not in METHODS:
        raise InputError(
            f"{name} scores a whole unlabelled set by itself and has nothing to fit or export; "
            f"use experiments.batched --method={name}"
        )
    if name not in METHODS:
        raise InputError(f"method {name!r} is not one of {', '.join(METHODS)}; give one of these")
    return METHODS[name]


def batched_method(name: str) -> type[Batched]:
    """Return the class of a method that scores a whole unlabelled set by itself.

    Raises:
      InputError: There is no such method; the message lists the choices.
    """
    if name not in BATCHED:
        raise InputError(
            f"method {name!r} does not score a set by itself; give one of {', '.join(BATCHED)}, "
            "or use experiments.zero_shot or experiments.few_shot"
        )
    return BATCHED[name]


def learning_method(name: str) -> type[LearnedDetector]:
    """Return the class of a method with learned parameters.

    Raises:
      InputError: There is no such method; the message lists the choices.
    """
    method(name)
    if name not in LEARNING:
        raise InputError(f"method {name!r} learns no parameters; give one of {', '.join(LEARNING)}")
    return LEARNING[name]


def learner(name: str) -> str:
    """Return the method whose parameters a method takes: AnomalyCLIP for the hybrid, otherwise itself."""
    return "anomalyclip" if name == "hybrid" else name


def has_params(name: str, weights: str, given: Collection[str]) -> bool:
    """Return whether a method needs no learned parameters or has them.

    Args:
      name: The method.
      weights: The name of the backbone's weights; the bundled ones have learned parameters of some methods.
      given: The methods for which a user gives parameters.
    """
    bundled = is_bundled(weights) and learner(name) in BUNDLED_PARAMS
    return name in given or bundled or "params" not in METHODS[name].options


def trains_networks(name: str) -> bool:
    """Return whether a method trains a network of its own for each category, which takes minutes."""
    return issubclass(METHODS[name], ReconstructionDetector)


__all__ = [
    "BATCHED",
    "DRAEM",
    "LEARNING",
    "METHODS",
    "MRAD",
    "SPADE",
    "AnomalyCLIP",
    "AnomalyDINO",
    "AprilGAN",
    "Autoencoder",
    "Batched",
    "CoOp",
    "CutPaste",
    "Detector",
    "GANomaly",
    "Hybrid",
    "LearnedDetector",
    "MethodOptions",
    "MuSc",
    "PaDiM",
    "PatchCore",
    "Scores",
    "SubspaceAD",
    "WinCLIP",
    "batched_method",
    "has_params",
    "learner",
    "learning_method",
    "method",
    "trains_networks",
]
