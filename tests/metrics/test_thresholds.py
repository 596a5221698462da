"""Decisions at thresholds, and calibration."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from vlmad_jax.metrics import evaluate
from vlmad_jax.metrics.thresholds import (
    Bin,
    best_threshold,
    calibration_error,
    decisions,
    reliability,
    threshold_from_normal,
)


def test_the_best_threshold_reaches_the_best_f1():
    for seed in range(20):
        generator = np.random.default_rng(seed)
        labels = generator.integers(0, 2, 30)
        scores = np.round(generator.normal(labels, 1), 1).astype(np.float32)
        threshold = best_threshold(scores, labels)
        found = decisions(scores, labels, threshold)
        assert found.f1 == pytest.approx(evaluate(scores, labels)["image_f1_max"], abs=1e-12)
        assert found.f1 == pytest.approx(f1_score(labels, scores > threshold))
        assert found.false_alarms == pytest.approx((scores[labels == 0] > threshold).mean())
        assert found.misses == pytest.approx((scores[labels == 1] <= threshold).mean())


def test_of_equal_choices_the_highest_threshold_is_best():
    assert best_threshold(np.array([0.0, 1.0, 2.0]), np.array([0, 0, 1])) == 1.5
    assert best_threshold(np.array([0.0, 1.0]), np.array([1, 0])) < 0  # all are called defective
    assert decisions(np.array([1.0]), np.array([0]), 0.5).misses is None


@pytest.mark.parametrize(("rate", "threshold"), [(0.05, 18), (0.0, 19), (0.5, 9)])
def test_at_most_the_wanted_share_of_normal_images_is_above(rate, threshold):
    scores = np.arange(20.0)
    assert threshold_from_normal(scores, rate) == threshold
    assert (scores > threshold).mean() <= rate


def test_reliability():
    scores, labels = np.array([0.0, 0.05, 0.95, 1.0]), np.array([0, 1, 1, 1])
    bins = reliability(scores, labels)
    assert (bins[0], bins[9]) == (Bin(2, 0.025, 0.5), Bin(2, 0.975, 1.0))
    assert all(b == Bin(0, None, None) for b in bins[1:9])
    assert calibration_error(bins) == pytest.approx((2 * 0.475 + 2 * 0.025) / 4)
    assert calibration_error(reliability(scores[:0], labels[:0])) is None
