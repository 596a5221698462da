"""PaDiM against loops over the paper's equations in float64."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.golden import golden_clip
from tests.methods.normal_images import CLOSE, GOOD, IMAGES, features, pixel_map
from tests.methods.normal_images import states_have_one_shape as one_shape
from vlmad_jax import InputError
from vlmad_jax.methods.padim import PaDiM


@functools.cache
def detector() -> PaDiM:
    return PaDiM.for_backbone(golden_clip("winclip"))


def mahalanobis(good: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Equations 1 and 2: (K, P, d), (B, P, d) -> (B, P)."""
    scores = np.zeros(patches.shape[:2])
    for position in range(good.shape[1]):
        mean = good[:, position].mean(axis=0)
        covariance = 0.01 * np.eye(good.shape[2])
        for feature in good[:, position]:
            difference = feature - mean
            covariance += np.outer(difference, difference) / max(1, len(good) - 1)
        inverse = np.linalg.inv(covariance)
        for n, feature in enumerate(patches[:, position]):
            scores[n, position] = np.sqrt((feature - mean) @ inverse @ (feature - mean))
    return scores


@pytest.mark.parametrize("images", [4, 1])
def test_the_papers_equations(images):
    """The covariance of a single image is epsilon times the identity."""
    scores = detector().score(detector().prepare("bottle", GOOD[:images]), IMAGES)
    good, patches = (features()[name][..., detector().channels] for name in ("good", "patches"))
    maps = np.stack([pixel_map(x, 64) for x in mahalanobis(good[:images], patches)])
    np.testing.assert_allclose(scores.map, maps, **CLOSE)
    np.testing.assert_allclose(scores.image, maps.max(axis=(1, 2)), **CLOSE)


def test_channels():
    """100 of 256 channels, others for another seed, and all if they are fewer."""
    channels = detector().channels
    assert len(set(channels.tolist())) == 100
    assert 0 <= channels.min() < 16 < 240 < channels.max() < 256
    assert np.array_equal(channels, dataclasses.replace(detector()).channels)
    assert not np.array_equal(channels, dataclasses.replace(detector(), seed=1).channels)
    assert np.array_equal(dataclasses.replace(detector(), dimensions=1000).channels, np.arange(256))


def test_states_have_one_shape():
    assert one_shape(detector())
    shapes = {name: x.shape for name, x in detector().prepare("bottle", GOOD)._asdict().items()}
    assert shapes == {"mean": (64, 100), "whitening": (64, 100, 100)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dimensions": 0}, "dimensions 0 is less than 1; give for example 100"),
        ({"seed": -1}, "seed -1 is below 0"),
        ({"feature_layers": ()}, "feature layers .* one or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(detector(), **wrong)


def test_missing_input_raises():
    with pytest.raises(InputError, match=r"padim needs reference images; .* experiments\.few_shot"):
        detector().prepare("bottle")


def test_settings():
    expected = {"image_size": 64, "feature_layers": [2, 3], "dimensions": 100, "seed": 0}
    assert detector().setting == expected
