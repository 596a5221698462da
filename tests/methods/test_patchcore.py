"""PatchCore against loops over the paper's equations in float64."""

import dataclasses
import functools

import numpy as np
import pytest

from tests.golden import golden_clip
from tests.methods.normal_images import CLOSE, GOOD, IMAGES, distances, features, pixel_map
from tests.methods.normal_images import states_have_one_shape as one_shape
from vlmad_jax import InputError
from vlmad_jax.methods.patchcore import PatchCore
from vlmad_jax.scoring import neighbours as association


@functools.cache
def detector() -> PatchCore:
    return PatchCore.for_backbone(golden_clip("winclip"))


def averaged(patches: np.ndarray) -> np.ndarray:
    """Divide sums over the 3 x 3 patches that are inside of the image by 9: (B, 64, D)."""
    grid = patches.reshape(len(patches), 8, 8, -1)
    means = np.zeros_like(grid)
    for row in range(8):
        for column in range(8):
            near = grid[:, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            means[:, row, column] = near.sum(axis=(1, 2)) / 9
    return means.reshape(patches.shape)


def coreset(patches: np.ndarray, count: int) -> np.ndarray:
    """Select the feature farthest from the mean, then from all before: (N, D) -> (count, D)."""
    chosen = [np.argmax(((patches - patches.mean(axis=0)) ** 2).sum(axis=1))]
    while len(chosen) < count:
        chosen.append(np.argmax(distances(patches, patches[chosen]).min(axis=1)))
    return patches[chosen]


def expected(memory: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return equations 6 and 7 for `IMAGES`, and maps."""
    scores, maps = [], []
    for patches in averaged(features()["patches"]):
        far = distances(patches, memory)
        worst = far.min(axis=1).argmax()
        good = far[worst].argmin()
        around = np.argsort(distances(memory[good][None], memory)[0])[:9]
        share = np.exp(far[worst, good]) / np.exp(far[worst, around]).sum() if len(around) > 1 else 0
        scores.append((1 - share) * far[worst, good])
        maps.append(pixel_map(far.min(axis=1), 64))
    return np.array(scores), np.array(maps)


def test_the_papers_equations():
    """A tenth of two images of 64 patches is 13 features in memory, of which 9 are neighbours."""
    state = detector().prepare("bottle", GOOD[:2])
    good = averaged(features()["good"][:2])
    memory = coreset(good.reshape(-1, good.shape[-1]), 13)
    np.testing.assert_allclose(state.memory, memory, **CLOSE)
    scores = detector().score(state, IMAGES)
    image, maps = expected(memory)
    np.testing.assert_allclose(scores.image, image, **CLOSE)
    np.testing.assert_allclose(scores.map, maps, **CLOSE)


def test_one_image_and_a_memory_of_one_feature():
    """The score is the distance itself, without a weight."""
    alone = dataclasses.replace(detector(), coreset_share=1e-6)
    state = alone.prepare("bottle", GOOD[:1])
    good = averaged(features()["good"][:1])[0]
    np.testing.assert_allclose(state.memory, coreset(good, 1), **CLOSE)
    image, maps = expected(coreset(good, 1))
    scores = alone.score(state, IMAGES)
    np.testing.assert_allclose(scores.image, image, **CLOSE)
    np.testing.assert_allclose(scores.map, maps, **CLOSE)
    assert image.min() > 1


@pytest.mark.parametrize("size", [20, 9, 4])
def test_the_weight_of_near_neighbours(size):
    """At distances of about 1, the factor of equation 7 is far from 0 and 1; all of 4 features are used."""
    memory = np.random.default_rng(0).normal(size=(size, 5)).astype(np.float32)
    patches = memory[:3] + np.float32(0.3)
    far = distances(patches.astype(np.float64), memory)
    good = memory[far.argmin(axis=1)]
    found = detector().weight(patches, far.min(axis=1).astype(np.float32), good, memory)
    for n in range(3):
        around = np.argsort(distances(good[n][None], memory)[0])[:9]
        factor = 1 - np.exp(far[n].min()) / np.exp(far[n, around]).sum()
        assert 0.5 < factor < 0.999
        np.testing.assert_allclose(found[n], factor, rtol=1e-6)


def test_chunks_are_the_same(monkeypatch):
    state = detector().prepare("bottle", GOOD[:2])
    whole = detector().score(state, IMAGES)
    monkeypatch.setattr(association, "LARGEST_BUFFER", 10 * 256)  # ten patches at a time
    parts = dataclasses.replace(detector()).score(state, IMAGES)
    np.testing.assert_allclose(parts.image, whole.image, **CLOSE)
    np.testing.assert_allclose(parts.map, whole.map, **CLOSE)


def test_states_have_one_shape():
    assert one_shape(detector())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"coreset_share": 0.0}, "coreset_share 0.0 is not above 0 and at most 1; give 0.1"),
        ({"coreset_share": 1.5}, "coreset_share 1.5 is not above 0"),
        ({"neighbours": 0}, "neighbours 0 is less than 1"),
        ({"neighbourhood": 2}, "neighbourhood 2 has no patch in its middle; give 1, 3 or 5"),
        ({"feature_layers": (5,)}, "feature layer 5 does not fit"),
        ({"image_size": 7}, "image_size 7 does not fit"),
    ],
)
def test_settings_that_do_not_fit_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(detector(), **wrong)


def test_missing_input_raises():
    with pytest.raises(InputError, match=r"patchcore needs reference images; .* experiments\.few_"):
        detector().prepare("bottle")
    with pytest.raises(InputError, match="patchcore learns no parameters but got kernel"):
        detector().prepare("bottle", GOOD, {"kernel": np.zeros(1)})
    with pytest.raises(InputError, match=r"references are uint8 \[4, 32, 32, 3\]"):
        detector().prepare("bottle", GOOD[:, :32, :32])


def test_settings():
    expected = {"feature_layers": [2, 3], "coreset_share": 0.1, "neighbours": 9, "neighbourhood": 3}
    assert detector().setting == expected | {"image_size": 64}


def test_unit_length_divides_the_averaged_feature_of_each_layer():
    plain, scaled = detector(), dataclasses.replace(detector(), unit_length=True)
    raw, found = (x.encode(IMAGES).patches for x in (plain, scaled))
    width = plain.backbone.widths[0]
    for n in range(len(plain.feature_layers)):
        own = raw[..., n * width : (n + 1) * width]
        expected = own / np.linalg.norm(own, axis=-1, keepdims=True)
        np.testing.assert_allclose(found[..., n * width : (n + 1) * width], expected, atol=1e-6)
    assert "unit_length" not in plain.setting
    assert scaled.setting["unit_length"] is True
