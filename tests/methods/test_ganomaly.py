"""GANomaly: its scores, its losses, its training, and its options."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden import difference, golden_clip
from tests.methods.detectors import REFERENCES
from vlmad_jax import InputError
from vlmad_jax.methods import MethodOptions, ganomaly
from vlmad_jax.methods.ganomaly import GANomaly, Generated, discriminator_loss, generator_terms
from vlmad_jax.scoring.maps import blur, upsample

RNG = np.random.default_rng(0)
IMAGES = REFERENCES


@functools.cache
def detector() -> GANomaly:
    return GANomaly(golden_clip("winclip"), None, 32, network_width=4, latents=6, steps=30, blur_sigma=1.0)


@functools.cache
def trained() -> tuple[Any, np.ndarray]:
    images = detector().normalised(IMAGES)
    return ganomaly.train_ganomaly(detector().generator, images, 30, 0, "nut")


def test_scores_are_distances_of_latents_and_maps_are_squared_errors() -> None:
    state = trained()[0]
    scores = detector().score(state, IMAGES)
    images = np.asarray(jax.image.resize(IMAGES / np.float32(127.5) - 1, (len(IMAGES), 32, 32, 3), "linear"))
    output: Any = jax.jit(functools.partial(detector().generator.apply, train=False))(state._asdict(), images)
    drawn, first, second = map(np.asarray, output)
    assert (drawn.shape, first.shape) == (images.shape, (len(IMAGES), 6))
    assert np.abs(drawn).max() <= 1
    np.testing.assert_allclose(scores.image, ((first - second) ** 2).mean(axis=1), rtol=1e-4)
    error = ((images - drawn) ** 2).mean(axis=-1)
    np.testing.assert_allclose(scores.map, blur(upsample(error, (64, 64)), 1.0), rtol=1e-4, atol=1e-6)


def test_training_lowers_the_loss_and_ends_in_the_same_state_again() -> None:
    state, losses = trained()
    assert losses.shape == (30,)
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()
    again = detector().prepare("nut", IMAGES)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(detector(), seed=1, steps=1).prepare("nut", IMAGES)
    assert difference(jax.tree.leaves(other)[-1], jax.tree.leaves(state)[-1]) > 1e-3
    means = state.batch_stats["encoder"]["BatchNorm_0"]["mean"]
    assert np.abs(means).max() > 0  # a running statistic


def test_the_terms_of_the_losses() -> None:
    images, drawn = RNG.normal(size=(2, 3, 4, 4, 3))
    first, second = RNG.normal(size=(2, 3, 5))
    real, fake = RNG.normal(size=(2, 3, 2, 2, 8))
    output = Generated(*map(jnp.asarray, (drawn, first, second)))
    terms = generator_terms(jnp.asarray(images), output, jnp.asarray(real), jnp.asarray(fake))
    expected = [((real - fake) ** 2).mean(), np.abs(images - drawn).mean(), ((first - second) ** 2).mean()]
    np.testing.assert_allclose(terms, expected, rtol=1e-5)
    np.testing.assert_allclose(terms.total, np.dot([1, 50, 1], expected), rtol=1e-5)
    right, wrong = (1 / (1 + np.exp(-x)) for x in RNG.normal(size=(2, 7)))
    logits = (jnp.log(p / (1 - p)) for p in (right, wrong))
    cross_entropy = -(np.log(right).mean() + np.log(1 - wrong).mean()) / 2
    np.testing.assert_allclose(discriminator_loss(*logits), cross_entropy, rtol=1e-4)


def test_a_discriminator_without_loss_starts_again() -> None:
    parts = {"a": jnp.ones(2), "b": jnp.zeros(1)}, {"a": jnp.full(2, 7.0), "b": jnp.ones(1)}
    for loss, kept in ((1e-4, parts[0]), (9e-6, parts[1])):
        found = ganomaly.restarted(*parts, jnp.float32(loss))
        assert jax.tree.map(np.asarray, found)["a"].tolist() == kept["a"].tolist()


def test_options_and_setting() -> None:
    options = MethodOptions(network_width=2, resolution=16, steps=1)
    made, _ = GANomaly.from_options(golden_clip("winclip"), options)
    assert (made.halvings, made.total_stride, made.reconstructed) == (2, 4, (16, 16))
    kernel = made.prepare("nut", IMAGES).params["encoder"]["HalvingConv_0"]["Conv_0"]["kernel"]
    assert kernel.shape == (2, 2, 12, 2)
    assert GANomaly(golden_clip("winclip"), (48, 240)).reconstructed == (24, 128)
    assert dataclasses.replace(detector(), resolution=128).halvings == 4  # 64 pixels to 4
    assert GANomaly.for_backbone(golden_clip("winclip")).setting == {
        "image_size": 64,
        "resolution": 128,
        "network_width": 16,
        "latents": 100,
        "steps": 500,
        "blur_sigma": 1.0,
        "seed": 0,
    }
    with pytest.raises(InputError, match="--network_width=0: network_width 0 does not fit"):
        GANomaly.from_options(golden_clip("winclip"), MethodOptions(network_width=0))
    with pytest.raises(InputError, match="blur_sigma -1 is below 0"):
        dataclasses.replace(detector(), blur_sigma=-1)
