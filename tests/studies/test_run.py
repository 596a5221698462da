"""Details of anomaly maps: the images of the gallery, and the places of false alarms."""

import numpy as np
import pytest

from vlmad_jax.data import Sample
from vlmad_jax.evaluation.evaluate import ScoredCategory
from vlmad_jax.studies.run import ALARM_GRID, EXHIBITS, WORST, alarm_shares, choose_exhibits, outcome, titles


def scored(maps: np.ndarray, labels: list[int]) -> ScoredCategory:
    samples = [Sample("p", "c", "test", "hole" if label else "good") for label in labels]
    return ScoredCategory(tuple(samples), maps.max(axis=(1, 2)), maps, np.zeros(maps.shape, np.uint8), True)


def test_alarms_are_counted_where_they_lie():
    maps = np.random.default_rng(0).random((4, 64, 64)).astype(np.float32)
    maps[:2, 8:12, 20:24] += 1  # normal images: one whole cell, fewer pixels than the quantile
    maps[3, 40:, 40:] += 9  # an anomalous image, so no false alarm
    shares = alarm_shares(scored(maps, [0, 0, 0, 1]))
    assert shares.shape == (ALARM_GRID, ALARM_GRID)
    assert shares[2, 5] == pytest.approx(2 / 3)
    np.testing.assert_allclose(shares.mean(), 0.01, atol=2e-4)
    assert shares[12:, 12:].max() < 0.1
    assert np.isnan(alarm_shares(scored(maps, [1, 1, 1, 1]))).all()


def test_the_worst_images_are_exhibited():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 90)
    scores = generator.random(90)
    chosen = choose_exhibits(scores, labels)
    assert len(chosen) == EXHIBITS
    assert scores[chosen].tolist() == sorted(scores[chosen], reverse=True)
    normal, anomalous = (np.flatnonzero(labels == label) for label in (0, 1))
    assert {*normal[np.argsort(-scores[normal])][:WORST]} <= {*chosen}
    assert {*anomalous[np.argsort(scores[anomalous])][:WORST]} <= {*chosen}
    assert sorted(choose_exhibits(scores[:5], labels[:5])) == [0, 1, 2, 3, 4]
    assert choose_exhibits(np.array([0.5]), np.array([0])) == [0]


def test_outcomes():
    assert [outcome(label, called) for label in (0, 1) for called in (False, True)] == [
        "passed",
        "false alarm",
        "missed",
        "found",
    ]


def test_titles_tell_categories_apart():
    assert titles(("metal_nut", "cap", "pi\udce8ce")) == {
        "metal_nut": "metal nut",
        "cap": "cap",
        "pi\udce8ce": "pièce",
    }
    assert titles(("metal_nut", "metal nut", "pièce", "pi\udce8ce")) == {
        "metal_nut": "metal_nut",
        "metal nut": "metal nut",
        "pièce": "pièce",
        "pi\udce8ce": "pi\\xe8ce",
    }
