"""A random checkpoint that two libraries draw alike, so that they can be compared on the same weights."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np

from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.clip_weights import cast_matrices, load_params, tensor_shapes
from vlmad_jax.backbones.config import CLIPConfig


def draw_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 of that shape, a pure function of both: a tensor of an open_clip checkpoint.

    Matrices are normal, 1 / sqrt(inputs) wide; scales of norms 1, biases 0, the logits' scale log 100.
    """
    if not shape:
        return np.array(math.log(100), np.float32)
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1 and name.endswith("weight"):
        return np.ones(shape, np.float32)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    return rng.standard_normal(shape, np.float32) * np.float32(inputs**-0.5)


def draw_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """`draw_tensor` of every name."""
    return {name: draw_tensor(name, shape) for name, shape in shapes.items()}


def draw_clip(config: CLIPConfig, dtype: str) -> CLIP:
    """A CLIP of that shape whose tensors are drawn under open_clip's names; it has no tokenizer."""
    tensors = draw_tensors(tensor_shapes(config, "open_clip"))
    params = load_params(tensors, config, "open_clip", "drawn weights")
    return CLIP(config, cast_matrices(params, dtype), None, dtype, "drawn weights")


def draw_text(config: CLIPConfig) -> np.ndarray:
    """Text features of good and defective, float32 (2, E)."""
    return draw_tensor("text features", (2, config.embed_dim))


def draw_images(number: int, size: int) -> np.ndarray:
    """uint8 (number, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (number, size, size, 3), np.uint8)
