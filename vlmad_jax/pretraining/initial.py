"""Where a small vision transformer starts from, so that it need not learn what is known of images.

Trained for an hour, random projections of patches are still mostly random. The patch embedding therefore
starts as the lowest frequencies of the patch, and positions as waves across the grid (Dosovitskiy et al. 2021
leave both to learning; Beyer et al. 2022, "Better plain ViT baselines", take the waves), and attention
starts as that of trained transformers looks.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import idctn

# Brightness, then two opponent colours: orthogonal, and most of an image's energy in the first.
# Colours vary less than brightness; their waves are taken twice as large.
COLOURS = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / np.sqrt([[3.0], [0.5], [1.5]])
BRIGHTNESS_SHARE = 2 / 3  # of the frequencies
POSITION_SIZE = 0.5


def patch_frequencies(patch: int, width: int) -> np.ndarray:
    """A patch embedding (patch * patch * 3, width) of cosine waves, the lowest frequencies of each colour.

    Two thirds of the waves are of brightness. Each is scaled with its frequency, against the 1/f of images,
    so that no wave drowns the others.
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
    """Position embeddings (1 + grid * grid, width), zero for the class token.

    Sines and cosines of rows and columns, of wavelengths from two patches to twice the grid.
    """
    waves = width // 4
    steps = np.pi / np.geomspace(1, grid, waves)  # radians a patch
    rows, columns = np.indices((grid, grid)).reshape(2, -1, 1) * steps  # (P, waves) each
    positions = np.concatenate([f(x) for x in (rows, columns) for f in (np.sin, np.cos)], axis=1)
    padded = np.zeros((1 + grid**2, width), np.float32)
    padded[1:, : 4 * waves] = POSITION_SIZE * positions
    return padded


def mimetic_attention(rng: np.random.Generator, width: int, heads: int) -> dict[str, np.ndarray]:
    """Kernels (D, D) of an attention that starts as those of trained transformers look.

    Queries meet keys as 0.7 (I + Z): tokens look at their like, and with position waves at their neighbours.
    Values and output make 0.4 (Z - I), which takes away what the neighbourhood has in common. Z is Gaussian
    noise of variance 1 / D. Trockman and Kolter 2023, "Mimetic initialization of self-attention layers".
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
