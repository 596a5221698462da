"""Foreground masks against NumPy, and both filters on masks that can be drawn."""

import jax.numpy as jnp
import numpy as np

from vlmad_jax.scoring.foreground import first_component, flat_filter, foreground, grid_filter


def test_the_first_component_is_that_of_a_singular_value_decomposition() -> None:
    patches = np.random.default_rng(0).normal(size=(3, 30, 8)).astype(np.float32) * np.arange(1, 9)
    for image, found in zip(patches, np.asarray(first_component(jnp.asarray(patches))), strict=True):
        centred = image.astype(np.float64) - image.mean(axis=0)
        direction = np.linalg.svd(centred, full_matrices=False)[2][0]
        direction *= np.sign(direction[np.abs(direction).argmax()])
        np.testing.assert_allclose(found, centred @ direction, atol=2e-4)


def test_the_centre_decides_the_sign() -> None:
    """An object in the middle is foreground, whichever sign its patches have."""
    inside, expected = np.zeros((14, 14), bool), np.zeros((14, 14), bool)
    inside[3:11, 3:11] = True
    expected[2:12, 2:12] = True  # dilated
    patches = np.where(inside.reshape(1, -1, 1), 40.0, -40.0) * np.array([1.0, 0.1])
    for sign in (1, -1):
        kept = np.asarray(foreground(jnp.asarray(sign * patches, jnp.float32), (14, 14), "grid"))
        np.testing.assert_array_equal(kept.reshape(14, 14), expected)


def test_the_flat_filter_knows_no_rows_and_the_grid_does() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, [4, 8]] = True
    flat, grid = mask.copy(), np.zeros((9, 9), bool)
    flat[4, 3:] = flat[5, 0] = True  # the gap of one patch is closed
    grid[3:6, 3:] = True
    for filtered, expected in ((flat_filter, flat), (grid_filter, grid)):
        found = filtered(jnp.asarray(mask.reshape(1, -1)), (9, 9))
        np.testing.assert_array_equal(found.reshape(9, 9), expected)
