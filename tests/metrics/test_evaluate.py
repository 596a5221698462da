"""The seven metrics: names, order, undefined values, bad input, and memory."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tests.metrics.brute_force import aupro as drawn_aupro
from vlmad_jax.errors import InputError
from vlmad_jax.metrics import evaluate

NAMES = ["image_auroc", "image_ap", "image_f1_max", "pixel_auroc", "pixel_ap", "pixel_f1_max", "pixel_aupro"]
NAN, INF = float("nan"), float("inf")


def made_data(n=6, side=8, seed=0):
    random = np.random.default_rng(seed)
    masks = (random.random((n, side, side)) < 0.1).astype(np.uint8)
    masks[: n // 2] = 0
    maps = np.round(random.random(masks.shape) + 0.5 * masks, 1).astype(np.float32)
    return maps.max(axis=(1, 2)), (np.arange(n) >= n // 2).astype(int), maps, masks


def test_all_seven_in_order():
    scores, labels, maps, masks = made_data()
    metrics = evaluate(scores, labels, maps, masks)
    assert list(metrics) == NAMES
    assert all(type(value) is float and 0 <= value <= 1 for value in metrics.values())
    assert metrics["image_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-13)
    assert metrics["image_ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-13)
    assert metrics["pixel_auroc"] == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-13)
    assert metrics["pixel_ap"] == pytest.approx(
        average_precision_score(masks.ravel(), maps.ravel()), abs=1e-13
    )
    assert metrics["pixel_aupro"] == pytest.approx(drawn_aupro(maps, masks), abs=1e-12)


def test_the_same_from_float64_maps_lists_and_masks_of_255():
    scores, labels, maps, masks = made_data()
    expected = evaluate(scores, labels, maps, masks)
    assert evaluate(scores, labels, maps.astype(np.float64), masks * 255) == expected
    assert evaluate(scores.tolist(), labels.tolist(), maps.tolist(), masks.astype(bool).tolist()) == expected


def test_arguments_are_not_changed():
    given = made_data()
    kept = [array.copy() for array in given]
    evaluate(*given)
    for array, copy in zip(given, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("missing", ["maps", "masks", "both"])
def test_pixel_metrics_undefined_without_maps_or_masks(missing):
    scores, labels, maps, masks = made_data()
    metrics = evaluate(
        scores, labels, None if missing in ("maps", "both") else maps, masks if missing == "maps" else None
    )
    assert list(metrics) == NAMES
    assert metrics["image_auroc"] == evaluate(scores, labels)["image_auroc"] is not None
    assert [metrics[name] for name in NAMES[3:]] == [None] * 4


def test_only_normal_images():
    scores, labels, maps, masks = made_data()
    assert evaluate(scores, labels * 0, maps, masks * 0) == dict.fromkeys(NAMES)


def test_no_images():
    assert evaluate([], [], np.zeros((0, 8, 8)), np.zeros((0, 8, 8))) == dict.fromkeys(NAMES)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"scores": [0.0] * 5}, "labels: shape (6,), but scores has"),
        ({"scores": [[0.0] * 6]}, "scores: shape (1, 6); give an array with 1 dimension"),
        ({"scores": ["a"] * 6}, "scores: values of type <U1; give real numbers"),
        ({"scores": [1j] * 6}, "scores: values of type complex128"),
        ({"scores": [0, 0, NAN, 0, 0, INF]}, "2 value(s) are NaN or infinite, the first in image 2;"),
        ({"labels": [0, 1, 2, 0, 1, 1]}, "labels: found 2; give 0 for normal and 1"),
        ({"maps": np.zeros((5, 8, 8))}, "maps: shape (5,), but scores has"),
        ({"maps": np.zeros((6, 8, 7))}, "masks: shape (6, 8, 8), but maps has"),
        ({"maps": np.full((6, 8, 8), -INF)}, "maps: 384 value(s) are NaN or infinite"),
        ({"masks": np.full((6, 8, 8), NAN)}, "masks: 384 value(s)"),
        ({"masks": np.zeros((6, 64))}, "masks: shape (6, 64); give an array with 3 dimension"),
        ({"masks": [[[0], [0, 1]]] * 6}, "masks: rows differ in length"),
    ],
)  # fmt: skip
def test_bad_input_names_the_culprit_in_one_line(change, culprit):
    given = dict(zip(("scores", "labels", "maps", "masks"), made_data(), strict=True)) | change
    with pytest.raises(InputError) as caught:
        evaluate(**given)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


def test_memory_stays_under_eighty_bytes_a_pixel():
    """11.5 million pixels in 2 GB are 170 bytes each; half of that leaves room for the program around it."""
    random = np.random.default_rng(0)
    maps = random.random((20, 240, 240), dtype=np.float32)  # hardly a tie: the most thresholds
    masks = (random.random(maps.shape) < 0.05).astype(np.uint8)
    scores, labels = maps.max(axis=(1, 2)), np.arange(20) % 2
    tracemalloc.start()
    evaluate(scores, labels, maps, masks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / maps.size < 80
