"""Whether the hyper-parameters of a detector fit its backbone."""

from __future__ import annotations

from collections.abc import Sequence

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.errors import InputError


def check_range(name: str, value: int, least: int, most: int | None) -> None:
    """Raises InputError, naming what does not fit the backbone."""
    if value < least or (most is not None and value > most):
        limit = f"{least} or more" if most is None else f"{least} to {most}"
        raise InputError(f"{name} {value} does not fit this backbone; give {limit}")


def check_feature_layers(clip: CLIP, image_size: int, feature_layers: Sequence[int]) -> None:
    """Raises InputError unless image size and feature layers, counted from 1, fit the backbone."""
    vision = clip.config.vision
    check_range("image_size", image_size, vision.patch_size, None)
    for layer in feature_layers:
        check_range("feature layer", layer, 1, vision.layers)
    if not feature_layers or len(set(feature_layers)) < len(feature_layers):
        raise InputError(f"feature layers {feature_layers} have to be one or more, each once")
