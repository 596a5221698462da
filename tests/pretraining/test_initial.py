"""Tests of the initial patch and position embeddings."""

import numpy as np

from vlmad_jax.pretraining.initial import patch_frequencies, position_waves


def test_patch_frequencies_are_orthogonal_waves():
    kernel = patch_frequencies(8, 96)  # all 64 waves of brightness, and 16 of each colour
    assert kernel.shape == (192, 96)
    products = kernel.T @ kernel
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-5)  # of products up to 9
    # A flat grey patch excites the first wave alone, and a flat red one also the first wave of each colour.
    grey, red = np.ones((8, 8, 3)), np.ones((8, 8, 3)) * [1, 0, 0]
    assert np.flatnonzero(np.abs(grey.ravel() @ kernel) > 1e-4).tolist() == [0]
    assert np.flatnonzero(np.abs(red.ravel() @ kernel) > 1e-4).tolist() == [0, 64, 80]
    # The norm grows with 1 + frequency: the wave of half a period is twice as large as the flat one.
    norms = np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(norms[1] / norms[0], 2, rtol=1e-5)  # float32, of sums of 192


def test_position_waves_distinguish_all_patches():
    waves = position_waves(8, 48)
    assert waves.shape == (65, 48)
    assert not waves[0].any()
    distances = np.linalg.norm(waves[1:, None] - waves[None, 1:], axis=-1) + np.eye(64)
    assert distances.min() > 0.5
    # Neighbours are more similar than distant patches.
    assert distances[0, 1] < distances[0, 3]
    np.testing.assert_allclose(np.abs(waves).max(), 0.5, rtol=1e-2)
