"""Bootstrap and DeLong's test against their definitions."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vlmad_jax.metrics.uncertainty import (
    Difference,
    bootstrap_weights,
    delong,
    image_pairs,
    interval,
    mean_difference,
    pixel_pairs,
)


def drawn(seed: int, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3 == 0
    return np.round(generator.normal(labels, 1), 1).astype(np.float32), labels.astype(int)


def test_auroc_of_resampled_images_is_that_of_the_images_repeated():
    scores, labels = drawn(0)
    weights = bootstrap_weights(labels, seed=1, resamples=20)
    expected = [roc_auc_score(np.repeat(labels, w), np.repeat(scores, w)) for w in weights]
    np.testing.assert_allclose(image_pairs(scores, labels).auroc(weights), expected, atol=1e-12)


def test_auroc_of_pixels_of_resampled_images():
    generator = np.random.default_rng(0)
    masks = (generator.random((6, 5, 5)) < 0.2) & (np.arange(6) % 2 == 1)[:, None, None]
    maps = np.round(generator.normal(masks, 1), 1).astype(np.float32)
    labels = masks.any(axis=(1, 2)).astype(int)
    weights = np.concatenate([np.ones((1, 6), int), bootstrap_weights(labels, seed=2, resamples=10)])
    found = pixel_pairs(maps, masks).auroc(weights)
    for w, auroc in zip(weights, found, strict=True):
        assert auroc == pytest.approx(
            roc_auc_score(np.repeat(masks, w, axis=0).ravel(), np.repeat(maps, w, axis=0).ravel()), abs=1e-12
        )


def test_classes_are_drawn_separately():
    labels = np.array([0, 0, 0, 1, 1])
    weights = bootstrap_weights(labels, seed=0, resamples=500)
    assert (weights[:, :3].sum(axis=1) == 3).all()
    assert (weights[:, 3:].sum(axis=1) == 2).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.1)
    assert (weights == bootstrap_weights(labels, seed=0, resamples=500)).all()
    assert (weights != bootstrap_weights(labels, seed=1, resamples=500)).any()


def test_intervals():
    assert interval(np.arange(1001.0)) == pytest.approx((25, 975))
    assert interval(np.array([0.5, np.nan])) == (None, None)
    scores, labels = drawn(3, 300)
    low, high = interval(image_pairs(scores, labels).auroc(bootstrap_weights(labels, 0)))
    auroc = roc_auc_score(labels, scores)
    # Hanley and McNeil's formula for 100 and 200 images gives a standard error near 0.03 at this AUROC.
    assert low < auroc < high
    assert 0.09 < high - low < 0.14
    alone = image_pairs(np.array([0.1, 0.2]), np.array([1, 1]))
    assert np.isnan(alone.auroc(bootstrap_weights(np.array([1, 1]), 0, 5))).all()


def test_delong_agrees_with_its_definition():
    first, labels = drawn(4)
    second, _ = drawn(5)

    def wins(scores: np.ndarray) -> np.ndarray:
        bad, good = scores[labels == 1], scores[labels == 0]
        return np.array([[(a > b) + (a == b) / 2 for b in good] for a in bad])

    parts = [(w.mean(axis=1), w.mean(axis=0)) for w in (wins(first), wins(second))]
    bad, good = (np.cov([parts[0][side], parts[1][side]]) for side in (0, 1))
    covariance = bad / (labels == 1).sum() + good / (labels == 0).sum()
    found = delong(first, second, labels)
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(labels, first) - roc_auc_score(labels, second))
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.variance == pytest.approx(expected, rel=1e-12)
    same = delong(first, first, labels)
    assert same is not None
    assert (same.value, same.p) == (0, 1)
    assert delong(first[:4], second[:4], np.array([0, 0, 0, 1])) is None


def test_p_values():
    assert Difference(0.1, 0.1**2 / 1.959964**2).p == pytest.approx(0.05, abs=1e-6)
    assert Difference(-0.1, 0.0).p == 0
    both = mean_difference([Difference(0.1, 0.04), Difference(0.3, 0.12)])
    assert (both.value, both.variance) == pytest.approx((0.2, 0.04))


def test_delong_rejects_as_often_as_it_says():
    """Of 400 pairs of equally good scores, about one in twenty differs at 5%."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    p = []
    for _ in range(400):
        shared = generator.normal(labels, 1)
        pair = [shared + generator.normal(0, 1, len(labels)) for _ in range(2)]
        found = delong(*pair, labels)
        p.append(found.p if found else 1.0)
    assert 0.025 < np.mean(np.array(p) < 0.05) < 0.085
    assert all(a <= b for a, b in itertools.pairwise(np.quantile(p, [0.1, 0.5, 0.9])))
