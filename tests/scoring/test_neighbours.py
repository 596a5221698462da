"""Distances from nearest neighbours against loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vlmad_jax.scoring import neighbours as association
from vlmad_jax.scoring.neighbours import association_scores, cosine_distances, nearest_neighbours, normalise


def test_half_the_cosine_distance_to_the_nearest():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2, 5, 7)).astype(np.float32)
    memory = rng.normal(size=(11, 7)).astype(np.float32) * rng.uniform(0.1, 9, (11, 1)).astype(np.float32)
    expected = np.zeros((2, 5))
    for image in range(2):
        for patch in range(5):
            feature = features[image, patch].astype(np.float64)
            expected[image, patch] = min(
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
    """The cosine of a vector with itself is rounded to more than 1 for about a third of the vectors."""
    vectors = np.random.default_rng(3).normal(size=(1, 500, 48)).astype(np.float32)
    scores = np.asarray(association_scores(vectors, vectors[0]))
    assert scores.min() == 0
    assert scores.max() <= 2e-7


def test_normalise_keeps_zero():
    vectors = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(normalise(vectors), [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_scores_in_chunks_are_the_same(monkeypatch):
    rng = np.random.default_rng(7)
    features, memory = (rng.normal(size=size).astype(np.float32) for size in ((3, 17, 12), (40, 12)))
    whole = association_scores(features, memory)
    monkeypatch.setattr(association, "LARGEST_BUFFER", 400)  # ten features at a time
    np.testing.assert_allclose(association_scores(features, memory), whole, atol=1e-7)


@pytest.mark.parametrize("count", [1, 5, 60])
@pytest.mark.parametrize("buffer", [2**24, 1500, 1])
def test_nearest_neighbours(count, buffer, monkeypatch):
    """Far from zero, where rounding errors of products are large; 40 features are less than 60."""
    monkeypatch.setattr(association, "LARGEST_BUFFER", buffer)
    rng = np.random.default_rng(8)
    features, memory = (30 + rng.normal(size=size).astype(np.float32) for size in ((23, 12), (40, 12)))
    features[3] = memory[7]
    far = np.sqrt(((features[:, None].astype(np.float64) - memory) ** 2).sum(axis=-1))
    distances, indices = nearest_neighbours(features, memory, count)
    np.testing.assert_array_equal(indices, np.argsort(far, axis=1)[:, :count])
    np.testing.assert_allclose(distances, np.sort(far, axis=1)[:, :count], rtol=1e-6)
    assert distances[3, 0] == 0
    assert indices[3, 0] == 7


def test_a_comparison_is_bounded_in_memory():
    """16 images of 37 x 37 patches in 8 rotations; what is compiled holds no array larger than the buffer."""
    shapes = [jax.ShapeDtypeStruct((rows, 1024), jnp.float32) for rows in (37 * 37, 16 * 8 * 37 * 37)]
    needed = jax.jit(cosine_distances).lower(*shapes).compile().memory_analysis()
    assert needed.temp_size_in_bytes < 3 * 4 * association.LARGEST_BUFFER
