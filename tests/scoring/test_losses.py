"""The structural similarity, against SciPy's filters."""

import numpy as np
from scipy.ndimage import correlate1d

from tests.golden import difference
from vlmad_jax.scoring.losses import structural_similarity


def test_structural_similarity_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    one = rng.random((2, 20, 14, 3)).astype(np.float32)
    other = np.clip(one + rng.normal(0, 0.1, one.shape), 0, 1).astype(np.float32)
    window = np.exp(-0.5 * (np.linspace(-5, 5, 11) / 1.5) ** 2)
    window /= window.sum()

    def mean(x: np.ndarray) -> np.ndarray:
        rows = correlate1d(x.astype(np.float64), window, axis=1, mode="constant")
        return correlate1d(rows, window, axis=2, mode="constant")

    a, b = mean(one), mean(other)
    cross = mean(one * other) - a * b
    squares = mean(one**2) + mean(other**2) - a**2 - b**2
    expected = (2 * a * b + 1e-4) * (2 * cross + 9e-4) / ((a**2 + b**2 + 1e-4) * (squares + 9e-4))
    assert difference(structural_similarity(one, other), expected) <= 1e-4
    assert difference(structural_similarity(one, one), np.ones(one.shape)) <= 1e-4
