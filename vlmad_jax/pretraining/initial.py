"""The initial parameters of a small CLIP: those of other runs, or new ones with a structure.

A randomly initialised patch embedding is still mostly random after an hour of training. The patch embedding
therefore starts as the lowest frequencies of a patch, and the position embeddings as waves across the grid.
Dosovitskiy et al. 2021 learn both; Beyer et al. 2022, "Better plain ViT baselines", use the waves. Attention
starts with the structure that it has in trained transformers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import idctn

from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.backbones.config import CLIPConfig
from vlmad_jax.backbones.positions import resize_positions
from vlmad_jax.backbones.transformer import layer_name
from vlmad_jax.errors import InputError

# Brightness and two opponent colours. They are orthogonal, and brightness has most of an image's energy.
# Colours vary less than brightness, so that their waves are twice as large.
COLOURS = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3.0], [0.5], [1.5]])
BRIGHTNESS_SHARE = 2 / 3  # the share of the waves that encode brightness
POSITION_SIZE = 0.5


def patch_frequencies(patch: int, width: int) -> np.ndarray:
    """Return a patch embedding (patch * patch * 3, width) of the lowest-frequency cosines of each colour.

    Two thirds of the waves encode brightness. Each is scaled by its frequency to balance the 1/f spectrum of
    images.
    """
    frequency = np.hypot(*np.indices((patch, patch)))
    order = np.argsort(frequency, axis=None, kind="stable")
    brightness = min(round(width * BRIGHTNESS_SHARE), patch**2)
    counts = (brightness, (width - brightness + 1) // 2, (width - brightness) // 2)
    columns = []
    for colour, count in zip(COLOURS, counts, strict=True):
        for index in order[:count]:
            coefficient = np.zeros((patch, patch))
            coefficient.flat[index] = 2 * (1 + frequency.flat[index]) / patch
            columns.append(idctn(coefficient, norm="ortho")[:, :, None] * colour)
    return np.stack(columns, axis=-1).reshape(patch * patch * 3, width).astype(np.float32)


def position_waves(grid: int, width: int) -> np.ndarray:
    """Return position embeddings (1 + grid * grid, width), which are zero for the class token.

    They are sines and cosines of rows and columns, with wavelengths from two patches to twice the grid.
    """
    waves = width // 4
    steps = np.pi / np.geomspace(1, grid, waves)  # radians a patch
    rows, columns = np.indices((grid, grid)).reshape(2, -1, 1) * steps  # (P, waves) each
    positions = np.concatenate([f(x) for x in (rows, columns) for f in (np.sin, np.cos)], axis=1)
    padded = np.zeros((1 + grid**2, width), np.float32)
    padded[1:, : 4 * waves] = POSITION_SIZE * positions
    return padded


def mimetic_attention(rng: np.random.Generator, width: int, heads: int) -> dict[str, np.ndarray]:
    """Return attention kernels (D, D) with the structure of those in trained transformers.

    The product of queries and keys is 0.7 (I + Z), so that tokens attend to similar tokens and, with position
    waves, to their neighbours. The product of values and output is 0.4 (Z - I), which subtracts what
    neighbours have in common. Z is Gaussian noise of variance 1 / D. From Trockman and Kolter 2023, "Mimetic
    initialization of self-attention layers".
    """
    identity, size = np.eye(width), width // heads

    def noise() -> np.ndarray:
        return rng.normal(size=(width, width)) / np.sqrt(width)

    queries, keys = [], []
    for _ in range(heads):
        left, values, right = np.linalg.svd(0.7 * (identity + noise()))
        scale = np.sqrt(values[:size])
        queries.append(left[:, :size] * scale)
        keys.append(right[:size].T * scale)
    left, values, right = np.linalg.svd(0.4 * (noise() - identity))
    scale = np.sqrt(values)
    kernels = {
        "query": np.concatenate(queries, axis=1),
        "key": np.concatenate(keys, axis=1),
        "value": left * scale,
        "out": scale[:, None] * right,
    }
    return {name: kernel.astype(np.float32) for name, kernel in kernels.items()}


def mean_weights(directories: Sequence[str], config: CLIPConfig) -> Any:
    """Return the mean parameters of models with one origin, a "soup" (Wortsman et al. 2022)."""
    models = [load_start(directory, config) for directory in directories]
    return jax.tree.map(lambda *parts: sum(parts) / len(parts), *models)


def load_start(directory: str, config: CLIPConfig) -> Any:
    """Return the parameters of a model, with positions resized to the image size of `config`.

    Raises:
      InputError: The model cannot be loaded, or differs from `config` in more than its image size.
    """
    clip = load_clip(directory)
    side, grid = config.vision.image_size, config.vision.grid
    resized = dataclasses.replace(
        clip.config, vision=dataclasses.replace(clip.config.vision, image_size=side)
    )
    if resized != config:
        raise InputError(
            f"--start={directory}: the model has another shape; give a model from experiments.pretrain"
        )
    vision = clip.params["vision"]
    positions = resize_positions(vision["position_embedding"], (grid, grid), "bicubic")
    return {**clip.params, "vision": {**vision, "position_embedding": positions}}


def with_structure(params: Any, config: CLIPConfig, seed: int) -> Any:
    """Return a new CLIP's parameters with the patch and position embeddings and the attention above."""
    shape, rng = config.vision, np.random.default_rng(seed)
    vision = {
        **params["vision"],
        "patch_embedding": {"kernel": jnp.asarray(patch_frequencies(shape.patch_size, shape.width))},
        "position_embedding": jnp.asarray(position_waves(shape.grid, shape.width)),
    }
    for number in range(1, shape.layers + 1):
        layer = vision[layer_name(number)]
        kernels = mimetic_attention(rng, shape.width, shape.heads)
        attention = {
            name: {**layer["attention"][name], "kernel": jnp.asarray(kernel)}
            for name, kernel in kernels.items()
        }
        vision[layer_name(number)] = {**layer, "attention": attention}
    return {**params, "vision": vision}
