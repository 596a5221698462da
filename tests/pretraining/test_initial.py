"""Waves that a vision transformer starts from."""

import numpy as np

from vlmad_jax.pretraining.initial import patch_frequencies, position_waves


def test_patch_frequencies_are_orthogonal_waves():
    kernel = patch_frequencies(8, 96)  # 64 of brightness, which is all there are, and 16 of each colour
    assert kernel.shape == (192, 96)
    products = kernel.T @ kernel
    np.testing.assert_allclose(products - np.diag(np.diag(products)), 0, atol=1e-5)  # of products up to 9
    # A flat grey patch is seen by the first wave alone, a flat red one also by the first of each colour.
    grey, red = np.ones((8, 8, 3)), np.ones((8, 8, 3)) * [1, 0, 0]
    assert np.flatnonzero(np.abs(grey.ravel() @ kernel) > 1e-4).tolist() == [0]
    assert np.flatnonzero(np.abs(red.ravel() @ kernel) > 1e-4).tolist() == [0, 64, 80]
    # Twice as large for twice the frequency plus one: the wave of one half period down against the flat one.
    norms = np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(norms[1] / norms[0], 2, rtol=1e-5)  # float32, of sums of 192


def test_position_waves_tell_all_patches_apart():
    waves = position_waves(8, 48)
    assert waves.shape == (65, 48)
    assert not waves[0].any()
    distances = np.linalg.norm(waves[1:, None] - waves[None, 1:], axis=-1) + np.eye(64)
    assert distances.min() > 0.5
    # Neighbours are nearer than patches far apart.
    assert distances[0, 1] < distances[0, 3]
    np.testing.assert_allclose(np.abs(waves).max(), 0.5, rtol=1e-2)
