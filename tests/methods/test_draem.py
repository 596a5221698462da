"""DRAEM: its training images, its scores, its training, and its options."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from tests.golden import difference, golden_clip
from tests.methods.detectors import REFERENCES
from vlmad_jax import InputError
from vlmad_jax.methods import MethodOptions, draem
from vlmad_jax.methods.draem import DRAEM, rendered_texture
from vlmad_jax.methods.draem_networks import max_pool

IMAGES = REFERENCES


@functools.cache
def detector() -> DRAEM:
    return DRAEM(golden_clip("winclip"), resolution=32, network_width=2, steps=12)


@functools.cache
def trained() -> tuple[Any, np.ndarray]:
    normal = np.rint(255 * np.asarray(detector().resized(IMAGES))).astype(np.uint8)
    return draem.train_draem(detector().networks, normal, 12, 0, "nut")


def test_textures_are_pasted_where_the_mask_is_1() -> None:
    batches = [draem.examples(np.random.default_rng(seed), IMAGES) for seed in range(6)]
    images, masks = (np.concatenate([getattr(x, name) for x in batches]) for name in ("images", "masks"))
    normal = np.concatenate([x.normal for x in batches])
    assert images.shape == (48, 64, 64, 3)
    changed = (images != normal).any(axis=-1)
    anomalous = masks.any(axis=(1, 2))
    np.testing.assert_array_equal(changed.any(axis=(1, 2)), anomalous)
    assert 12 <= anomalous.sum() <= 36  # half of 48
    assert (changed & (masks == 0)).mean() < 0.01  # a change that is too faint to see
    assert {image.tobytes() for image in normal} == {image.tobytes() for image in IMAGES}
    again = draem.examples(np.random.default_rng(0), IMAGES)
    for one, other in zip(again, batches[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_rendered_textures_differ() -> None:
    rng = np.random.default_rng(0)
    textures = [rendered_texture(rng, (24, 40)) for _ in range(8)]
    assert {(x.shape, x.dtype.name) for x in textures} == {((24, 40, 3), "uint8")}
    assert len({x.tobytes() for x in textures}) == 8
    assert np.mean([x.std(axis=(0, 1)).max() for x in textures]) > 10


def test_scores_are_probabilities_and_their_largest_mean() -> None:
    state = trained()[0]
    made = detector()
    scores = made.score(state, IMAGES)
    small = np.asarray(jax.image.resize(IMAGES / np.float32(255), (len(IMAGES), 32, 32, 3), "linear"))
    apply = jax.jit(functools.partial(made.networks.apply, train=False))
    logits = np.asarray(apply(state._asdict(), small).logits, np.float64)
    maps = 1 / (1 + np.exp(logits[..., 0] - logits[..., 1]))
    upsampled = jax.image.resize(maps.astype(np.float32), (len(IMAGES), 64, 64), "linear")
    assert difference(scores.map, upsampled) <= 1e-5
    # 10 pixels of 256 on either side are 1 of 32.
    means = [uniform_filter(x, 3, mode="constant").max() for x in maps]
    assert difference(scores.image, means) <= 1e-5


def test_training_lowers_the_loss_and_ends_in_the_same_state_again() -> None:
    state, losses = trained()
    assert losses.shape == (12,)
    assert losses[-3:].mean() < 0.9 * losses[:3].mean()
    again = detector().prepare("nut", IMAGES)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(detector(), seed=1).prepare("nut", IMAGES)
    kernels = [x.params["reconstructive"]["Conv_0"]["kernel"] for x in (other, state)]
    assert difference(*kernels) > 1e-3


def test_max_pool_has_the_gradient_of_the_largest_pixel() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    pooled, pull = jax.vjp(max_pool, x)
    blocks = x.reshape(2, 2, 2, 3, 2, 3)
    np.testing.assert_array_equal(pooled, blocks.max(axis=(2, 4)))
    (gradient,) = pull(np.ones_like(pooled))
    np.testing.assert_array_equal(gradient != 0, x == pooled.repeat(2, axis=1).repeat(2, axis=2))


def test_options_and_setting() -> None:
    options = MethodOptions(network_width=4, resolution=40, steps=7)
    made, _ = DRAEM.from_options(golden_clip("winclip"), options)
    assert (made.networks.width, made.reconstructed, made.steps) == (4, (32, 32), 7)
    assert DRAEM(golden_clip("winclip"), (48, 240)).reconstructed == (32, 128)
    assert made.score_bounds(True) == (1, 1)
    assert DRAEM.for_backbone(golden_clip("winclip")).setting == {
        "image_size": 64,
        "resolution": 128,
        "network_width": 8,
        "steps": 250,
        "seed": 0,
    }
    with pytest.raises(InputError, match="--network_width=1: network_width 1 does not fit"):
        DRAEM.from_options(golden_clip("winclip"), MethodOptions(network_width=1))
    with pytest.raises(InputError, match="network_width 5 is odd; give an even number"):
        DRAEM.from_options(golden_clip("winclip"), MethodOptions(network_width=5))
    with pytest.raises(InputError, match="image_size 16 does not fit this backbone; give 32 or more"):
        dataclasses.replace(detector(), image_size=16)
