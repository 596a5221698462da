"""SubspaceAD against the authors' code: every setting, through images and through features."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from tests.golden import case, difference
from vlmad_jax import InputError, SubspaceAD, load_backbone
from vlmad_jax.backbones import Backbone
from vlmad_jax.methods import MethodOptions
from vlmad_jax.methods.detector import Features
from vlmad_jax.methods.subspacead import layer_window

ARRAYS = case("subspacead").arrays
AUGMENTED = np.concatenate([ARRAYS["reference_uint8"], *ARRAYS["augmented_reference_uint8"]])
# The references and the images of each setting.
SETTINGS = {
    "plain": (ARRAYS["reference_uint8"], ARRAYS["images_uint8"]),
    "augmented": (AUGMENTED, ARRAYS["images_uint8"]),
    "original": (ARRAYS["original_network_reference_uint8"], ARRAYS["original_network_images_uint8"]),
}
# Of the largest value, because distances have no bound.
CLOSE = 1e-5


@functools.cache
def backbone() -> Backbone:
    return load_backbone(case("subspacead").directory)


@functools.cache
def detector() -> SubspaceAD:
    return SubspaceAD(backbone(), 112, tuple(case("subspacead").setting["hidden_state_indices"]))


def check(name: str, found: Any) -> None:
    expected = ARRAYS[name]
    assert difference(found, expected) <= CLOSE * np.abs(expected).max(), name


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_and_maps_are_the_authors(name: str) -> None:
    references, images = SETTINGS[name]
    state = detector().prepare("", references)
    used = np.asarray(state.components).any(axis=0).sum()
    assert used == ARRAYS[f"{name}_num_components"]
    assert state.components.shape == (64, 64)  # whatever the number of components
    scores = detector().score(state, images)
    check(f"{name}_image_scores", scores.image)
    check(f"{name}_anomaly_maps", scores.map)


def test_the_subspace_and_the_distances_are_the_authors() -> None:
    """From their features."""
    images = Features(jax.numpy.zeros((3, 64)), ARRAYS["plain_features"])
    assert difference(detector().encode(ARRAYS["images_uint8"]).patches, images.patches) <= 2e-5
    state = detector().prepare("", ARRAYS["reference_uint8"])
    mean, components = ARRAYS["plain_mean"], ARRAYS["plain_components"]
    assert difference(state.mean, mean) <= 2e-5
    assert difference(state.components @ state.components.T, components @ components.T) <= 2e-5
    check("plain_residuals", np.reshape(detector().distances(state, images.patches), (-1, 8, 8)))
    scores = detector().score_features(state, images)
    check("plain_image_scores", scores.image)
    check("plain_anomaly_maps", scores.map)


def test_every_option_changes_the_subspace() -> None:
    def prepared(**options: Any) -> np.ndarray:
        chosen, _ = SubspaceAD.from_options(backbone(), MethodOptions(**options))
        made = detector().at_size(112)
        made = dataclasses.replace(made, **{name: getattr(chosen, name) for name in options})
        return np.asarray(made.prepare("", ARRAYS["reference_uint8"]).components)

    plain = prepared()
    assert prepared(explained_variance=0.9).any(axis=0).sum() < plain.any(axis=0).sum()
    assert prepared(random_rotations=1).any(axis=0).sum() > plain.any(axis=0).sum()
    assert difference(prepared(feature_layers=(7,)), plain) > 1e-3


def test_rotations_are_those_of_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both the mean and the covariance are those of the same copies, the originals among them."""
    made, seen = dataclasses.replace(detector(), random_rotations=2, seed=3), []

    def encode(images: np.ndarray) -> Features:
        seen.append(images)
        return Features(jax.numpy.zeros((6, 1)), np.zeros((6, 1, 4), np.float32))

    monkeypatch.setitem(made.__dict__, "encode", encode)
    for _ in range(2):
        made.prepare("", ARRAYS["reference_uint8"])
    np.testing.assert_array_equal(*seen)
    np.testing.assert_array_equal(seen[0][:2], ARRAYS["reference_uint8"])
    assert seen[0].shape == (6, 112, 112, 3)
    assert (seen[0][2:, 0, 0] == 0).all()  # black corners


def test_the_window_of_layers_is_a_share_of_the_depth() -> None:
    assert layer_window(40) == (23, 24, 25, 26, 27, 28, 29)
    assert layer_window(12) == (7, 8, 9)
    assert layer_window(12, 0.5, 0.5) == (6,)
    assert layer_window(1) == (1,)
    assert SubspaceAD.for_backbone(backbone()).feature_layers == layer_window(10) == (6, 7)


def test_published_settings() -> None:
    giant = dataclasses.replace(backbone().config, image_size=518, layers=40)
    made = SubspaceAD.for_backbone(dataclasses.replace(backbone(), config=giant))
    expected = {"image_size": 672, "feature_layers": [23, 24, 25, 26, 27, 28, 29], "seed": 0}
    assert made.setting == expected | {"explained_variance": 0.99, "random_rotations": 30}
    assert detector().score_bounds(True) == (np.inf, np.inf)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"explained_variance": 0.0},
            "explained_variance 0.0 is not above 0 and at most 1; give for example 0.9",
        ),
        ({"explained_variance": 1.5}, "explained_variance 1.5 is not above 0"),
        ({"random_rotations": -1}, "random_rotations -1 does not fit this backbone; give 0 or more"),
        ({"feature_layers": (11,)}, "feature layer 11 does not fit"),
    ],
)
def test_settings_that_do_not_fit(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        dataclasses.replace(detector(), **wrong)


def test_layers_of_different_widths(efficientnet_like: Backbone) -> None:
    with pytest.raises(InputError, match=r"feature layers \(1, 2\) differ in their number of channels"):
        SubspaceAD(efficientnet_like, 70, (1, 2))


@pytest.fixture
def efficientnet_like(monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """A backbone whose layers differ in width."""
    monkeypatch.setattr(type(backbone()), "widths", (16, 24))
    return backbone()


def test_a_whole_set_is_scored_by_its_own_subspace() -> None:
    images = ARRAYS["images_uint8"]
    state = detector().prepare("", images)
    expected, found = detector().score(state, images), detector().score_set(images)
    assert difference(found.image, expected.image) <= CLOSE * np.max(expected.image)
    assert difference(found.map, expected.map) <= CLOSE * np.max(expected.map)
    assert isinstance(found.map, np.ndarray)
