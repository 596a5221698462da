"""MuSc against the authors' numbers, and against its equations written in NumPy."""

import functools

import jax
import numpy as np
import pytest

from tests.golden import case, difference, golden_clip, shallow_clip
from vlmad_jax import MuSc
from vlmad_jax.methods.detector import Features

CASE = case("musc")
IMAGES = CASE.arrays["images_uint8"]
RNG = np.random.default_rng(0)


@functools.cache
def published() -> MuSc:
    setting = CASE.setting
    return MuSc(
        golden_clip("musc"),
        image_size=setting["input_size"],
        feature_layers=setting["feature_layers"],
        degrees=setting["degrees"],
        interval=setting["interval"],
        image_neighbours=setting["rscin_k"],
    )


def published_features() -> Features:
    """The authors' tokens, the class token dropped, and image features."""
    tokens = CASE.arrays["patch_tokens"][:, :, 1:]  # (L, N, P, D)
    return Features(CASE.arrays["image_features"], np.concatenate(list(tokens), axis=-1))


def shallow(**changes) -> MuSc:
    """MuSc with one layer and one degree, on a network of one layer."""
    setting = {"image_size": 64, "feature_layers": (1,), "degrees": (1,), **changes}
    return MuSc(shallow_clip("musc"), **setting)


@pytest.mark.usefixtures("as_people_run_it")
def test_features_equal_the_authors():
    detector = published()
    found = jax.device_get(detector._extract(IMAGES))
    expected = published_features()
    assert difference(found.patches, expected.patches) <= 2e-5
    assert difference(found.image, expected.image) <= 2e-5
    for degree in detector.degrees:
        layers = np.split(expected.patches[:1], 2, axis=-1)
        aggregated = np.stack([detector.aggregate(x, degree)[0] for x in layers], axis=1)  # (P, L, D)
        assert difference(aggregated, CASE.arrays[f"aggregated_degree{degree}_first"]) <= 1e-5


@pytest.mark.usefixtures("as_people_run_it")
def test_scores_equal_the_authors_through_features_and_images():
    detector, arrays, features = published(), CASE.arrays, published_features()
    patches = detector.patch_scores(features)
    assert difference(patches.reshape(3, 2, 8, 10, 10), arrays["scores_by_degree_and_layer"]) <= 1e-5
    sets = {"": (features, IMAGES), "original_": (arrays["original_network_images_uint8"],)}
    for prefix, inputs in sets.items():
        for given in inputs:
            scores = detector.score_set(given)
            before = scores.map.max(axis=(1, 2))
            assert difference(scores.map, arrays[f"{prefix}anomaly_maps"]) <= 1e-5
            assert difference(before, arrays[f"{prefix}image_scores_before"]) <= 1e-5
            assert difference(scores.image, arrays[f"{prefix}image_scores"]) <= 1e-5
