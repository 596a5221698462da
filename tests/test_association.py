"""Association with good samples against loops in float64."""

import jax.numpy as jnp
import numpy as np

from vlmad_jax.association import association_scores, normalise


def test_half_the_cosine_distance_to_the_nearest():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2, 5, 7)).astype(np.float32)
    memory = rng.normal(size=(11, 7)).astype(np.float32) * rng.uniform(0.1, 9, (11, 1)).astype(np.float32)
    expected = np.zeros((2, 5))
    for picture in range(2):
        for patch in range(5):
            feature = features[picture, patch].astype(np.float64)
            expected[picture, patch] = min(
                (1 - feature @ good / np.linalg.norm(feature) / np.linalg.norm(good)) / 2
                for good in memory.astype(np.float64)
            )
    np.testing.assert_allclose(association_scores(features, memory), expected, atol=2e-7)


def test_distances_of_known_vectors():
    memory = np.array([[3, 0], [0, 0.5]], np.float32)
    features = np.array([[[7, 0], [-1, 0], [-1, -1], [1, 1]]], np.float32)
    half = np.sqrt(0.5)
    expected = [[0, 0.5, (1 + half) / 2, (1 - half) / 2]]
    np.testing.assert_allclose(association_scores(features, memory), expected, atol=1e-7)


def test_no_score_is_below_zero():
    """The cosine of a vector with itself is rounded to more than 1 for about a third of them."""
    vectors = np.random.default_rng(3).normal(size=(1, 500, 48)).astype(np.float32)
    scores = np.asarray(association_scores(vectors, vectors[0]))
    assert scores.min() == 0
    assert scores.max() <= 2e-7


def test_normalise_keeps_zero():
    vectors = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalise(vectors), [[0.6, 0.8], [0, 0]], rtol=1e-6)
