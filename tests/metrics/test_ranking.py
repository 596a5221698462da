"""AUROC, average precision and F1 against scikit-learn."""

import ml_dtypes
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from vlmad_jax.metrics.ranking import auroc, average_precision, f1_max, rank

EXACT = 1e-13  # sums of a few thousand float64 terms in another order


def compare_with_scikit_learn(scores, labels):
    ranked = rank(scores, labels)
    wide = scores.astype(np.float64)
    precision, recall, _ = precision_recall_curve(labels, wide)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert auroc(ranked) == pytest.approx(roc_auc_score(labels, wide), abs=EXACT)
    assert average_precision(ranked) == pytest.approx(average_precision_score(labels, wide), abs=EXACT)
    assert f1_max(ranked) == pytest.approx(f1.max(), abs=EXACT)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("distinct", [2, 7, 10_000])
@pytest.mark.parametrize("anomalous", [0.003, 0.5, 0.99])
def test_agrees_with_scikit_learn(dtype, distinct, anomalous):
    random = np.random.default_rng(distinct)
    labels = (random.random(3000) < anomalous).astype(int)
    scores = (random.integers(0, distinct, 3000) - distinct // 2 + labels) / np.float32(distinct)
    compare_with_scikit_learn(scores.astype(dtype), labels)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint8, bool])
def test_integer_scores(dtype):
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 500)
    compare_with_scikit_learn((random.integers(0, 100, 500) // 2 + labels).astype(dtype), labels)


def test_signs_zeros_and_extremes_are_ordered():
    ordered = np.array([-3e38, -1.0, -1e-45, 0.0, 1e-45, 1.0, 3e38], np.float32)
    for split in range(1, len(ordered)):
        ranked = rank(ordered, (np.arange(len(ordered)) >= split).astype(int))
        assert auroc(ranked) == 1.0
    for dtype in (np.float32, np.float64):
        assert auroc(rank(np.array([-0.0, 0.0], dtype), np.array([0, 1]))) == 0.5


def test_float64_scores_are_not_rounded():
    scores = 0.5 + np.array([0.0, 1e-15, 2e-15, 3e-15])
    assert len(set(scores.astype(np.float32))) == 1
    assert auroc(rank(scores, np.array([0, 0, 1, 1]))) == 1.0
    assert auroc(rank(scores, np.array([1, 0, 1, 0]))) == 0.25
    large = np.array([2**53, 2**53 + 1])  # one float64
    assert auroc(rank(large, np.array([0, 1]))) == 1.0


def test_known_values():
    ranked = rank(np.array([3.0, 2.0, 2.0, 1.0]), np.array([0, 1, 0, 1]))
    assert auroc(ranked) == 0.125  # of four pairs, one half
    assert average_precision(ranked) == 0.5 * (1 / 3) + 0.5 * (2 / 4)
    assert f1_max(ranked) == 2 / 3  # all called anomalous: precision 1/2, recall 1


@pytest.mark.parametrize("labels", [[0, 0], [1, 1], []])
@pytest.mark.parametrize("metric", [auroc, average_precision, f1_max])
def test_undefined_with_one_class(labels, metric):
    labels = np.array(labels, int)
    assert metric(rank(np.zeros(len(labels), np.float32), labels)) is None
    assert metric(rank(np.zeros(len(labels), np.float64), labels)) is None


def test_codes_stay_with_their_scores():
    ranked = rank(np.array([0.25, 0.75, 0.5, 0.75], np.float32), np.array([2**32 - 1, 0, 9, 4]))
    assert ranked.codes.tolist() == [4, 9, 2**32 - 1]
    assert ranked.positives.tolist() == [1, 2, 3]
    assert ranked.gains.tolist() == [1, 1, 1]
    assert (ranked.above.tolist(), ranked.through.tolist(), ranked.normal) == ([0, 1, 1], [1, 1, 1], 1)
