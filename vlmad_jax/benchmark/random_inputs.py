"""Random weights, text features and images, equal for two libraries so that their results can be compared."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping

import numpy as np

from vlmad_jax.backbones.checkpoints.key_tables import cast_matrices
from vlmad_jax.backbones.clip import CLIP
from vlmad_jax.backbones.clip_weights import load_params, tensor_shapes
from vlmad_jax.backbones.config import CLIPConfig


def draw_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a random float32 tensor of an open_clip checkpoint, which depends on its name and shape alone.

    Matrices are normal with standard deviation 1 / sqrt(inputs). Scales of norms are 1, biases 0 and the
    logit scale log 100.
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
    """Return `draw_tensor` of every name and shape."""
    return {name: draw_tensor(name, shape) for name, shape in shapes.items()}


def draw_clip(config: CLIPConfig, dtype: str) -> CLIP:
    """Return a CLIP without a tokenizer whose tensors are those of `draw_tensors` by open_clip's names."""
    tensors = draw_tensors(tensor_shapes(config, "open_clip"))
    params = load_params(tensors, config, "open_clip", "random weights")
    return CLIP(config, cast_matrices(params, dtype), None, dtype, "random weights")


def draw_text(config: CLIPConfig) -> np.ndarray:
    """Return random text features of normal and anomalous, float32 (2, E)."""
    return draw_tensor("text features", (2, config.embed_dim))


def draw_images(number: int, size: int) -> np.ndarray:
    """Return random images, uint8 (number, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (number, size, size, 3), np.uint8)
