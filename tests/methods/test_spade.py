"""SPADE against loops over the paper's equations in float64."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.golden import golden_clip
from tests.methods.normal_images import CLOSE, GOOD, IMAGES, distances, features, pixel_map
from tests.methods.normal_images import states_have_one_shape as one_shape
from vlmad_jax import InputError
from vlmad_jax.methods.spade import SPADE


@functools.cache
def detector() -> SPADE:
    return dataclasses.replace(SPADE.for_backbone(golden_clip("winclip")), neighbours=2)


@pytest.mark.parametrize("images", [4, 1])
def test_the_papers_equations(images):
    good_images, good = (features()[name][:images] for name in ("good images", "good"))
    scores = detector().score(detector().prepare("bottle", GOOD[:images]), IMAGES)
    chosen = set()
    for n, (image, patches) in enumerate(zip(features()["images"], features()["patches"], strict=True)):
        far = distances(image[None], good_images)[0]
        alike = np.argsort(far)[:2]
        chosen |= {tuple(sorted(alike))}
        np.testing.assert_allclose(scores.image[n], far[alike].mean(), **CLOSE)
        gallery = good[alike].reshape(-1, good.shape[-1])
        expected = pixel_map(distances(patches, gallery).min(axis=1), 64)
        np.testing.assert_allclose(scores.map[n], expected, **CLOSE)
    assert len(chosen) == (1 if images == 1 else 2)  # not all images are compared with the same two


def test_a_reference_has_distance_zero_from_itself():
    """Up to rounding, which differs with the batch size. One of two neighbours is the image itself."""
    scores = detector().score(detector().prepare("bottle", GOOD), GOOD[:3])
    assert float(scores.map.max()) < 1e-4
    images = features()["good images"]
    expected = np.sort(distances(images[:3], images), axis=1)[:, 1] / 2
    np.testing.assert_allclose(scores.image, expected, **CLOSE)


def test_states_have_one_shape():
    assert one_shape(detector())


def test_settings_that_do_not_fit_raise():
    with pytest.raises(InputError, match="neighbours 0 is less than 1; give for example 50"):
        dataclasses.replace(detector(), neighbours=0)
    with pytest.raises(InputError, match="feature layer 0 does not fit"):
        dataclasses.replace(detector(), feature_layers=(0,))
    with pytest.raises(InputError, match=r"spade needs reference images; .* experiments\.few_shot"):
        detector().prepare("bottle")


def test_settings():
    expected = {"image_size": 64, "feature_layers": [2, 3], "neighbours": 50}
    assert SPADE.for_backbone(golden_clip("winclip")).setting == expected
