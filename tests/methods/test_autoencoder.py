"""The variational autoencoder: its loss, its errors on defects, and its seed."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden import difference, golden_clip
from vlmad_jax import InputError
from vlmad_jax.methods.autoencoder import Autoencoder, Reconstruction, elbo_terms, train_autoencoder
from vlmad_jax.scoring.maps import blur, upsample
from vlmad_jax.synthetic import make_product, render_good

pytestmark = pytest.mark.usefixtures("compiled_well")
PRODUCT = make_product("gear", 0)


@functools.cache
def detector() -> Autoencoder:
    return Autoencoder(golden_clip("winclip"), resolution=40, latents=8, steps=200, blur_sigma=1.0)


@functools.cache
def draw() -> Any:
    return jax.jit(detector().network.apply)


@functools.cache
def good() -> np.ndarray:
    return np.stack([render_good(PRODUCT, seed, 64) for seed in range(5)])


@functools.cache
def state() -> Any:
    return detector().prepare("gear", good())


def test_the_terms_of_the_bound() -> None:
    rng = np.random.default_rng(0)
    images, drawn = rng.random((2, 3, 16, 16, 3))
    mean, log_variance = rng.normal(0, 1, (2, 3, 5))
    found = Reconstruction(*map(jnp.asarray, (drawn, mean, log_variance)))
    terms = elbo_terms(jnp.asarray(images), found)
    np.testing.assert_allclose(terms.reconstruction, ((images - drawn) ** 2).sum() / 2 / 3, rtol=1e-5)
    # The expected divergence is the integral of q log (q / p) on a fine grid, because sampling is noisy.
    z = np.linspace(-15, 15, 20001)[:, None, None]
    log_q = -((z - mean) ** 2) / (2 * np.exp(log_variance)) - log_variance / 2
    integral = (np.exp(log_q) * (log_q + z**2 / 2)).sum(axis=0) * 0.0015 / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(terms.divergence, integral.sum() / 3, rtol=1e-5)
    prior = elbo_terms(
        jnp.asarray(images),
        Reconstruction(jnp.asarray(images), jnp.zeros((3, 5)), jnp.zeros((3, 5))),
    )
    assert (float(prior.reconstruction), float(prior.divergence)) == (0, 0)


def test_training_lowers_the_loss_and_the_weight_of_the_divergence_counts() -> None:
    images = detector().resized(good())
    network = detector().network
    found = {}
    for weight in (0.01, 10.0):
        params, losses = train_autoencoder(network, images, weight, 40, 0, "gear")
        assert losses.shape == (40,)
        assert losses[-5:].mean() < 0.5 * losses[:5].mean()
        found[weight] = elbo_terms(images, draw()(params, images, jnp.zeros(8)))
    assert found[10.0].divergence < 0.5 * found[0.01].divergence


def test_noise_moves_the_latents_by_their_deviation() -> None:
    images = detector().resized(good())
    plain = draw()(state()._asdict(), images, jnp.zeros(8))
    noisy = draw()(state()._asdict(), images, jnp.ones(8))
    np.testing.assert_array_equal(plain.mean, noisy.mean)
    assert difference(plain.images, noisy.images) > 1e-3
    assert plain.images.shape == (5, 32, 32, 3)
    assert plain.images.min() >= 0
    assert plain.images.max() <= 1


def test_scores_are_squared_errors() -> None:
    scores = detector().score(state(), good())
    images = np.asarray(jax.image.resize(good().astype(np.float32) / 255, (5, 32, 32, 3), "linear"))
    drawn = np.asarray(draw()(state()._asdict(), images, jnp.zeros(8)).images)
    error = ((images - drawn) ** 2).mean(axis=-1)
    np.testing.assert_allclose(scores.map, blur(upsample(error, (64, 64)), 1.0), atol=1e-5)
    np.testing.assert_array_equal(scores.image, np.asarray(scores.map).max(axis=(1, 2)))


def test_defects_score_above_normal_images() -> None:
    spoiled = good().copy()
    spoiled[:, 20:32, 30:42] = 255 * ((np.indices((12, 12)) // 4).sum(axis=0)[..., None] % 2)  # chequered
    found, plain = detector().score(state(), spoiled), detector().score(state(), good())
    assert np.asarray(found.image).min() > 1.1 * np.asarray(plain.image).max()
    maps = np.asarray(found.map)
    assert maps[:, 22:30, 32:40].mean() > 2 * maps.mean()


def test_the_same_seed_gives_the_same_scores() -> None:
    again = detector().prepare("anything", good())
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state()), strict=True):
        np.testing.assert_array_equal(a, b)
    few = dataclasses.replace(detector(), steps=2)
    scores = few.score(few.prepare("gear", good()), good())
    for change in ({"seed": 1}, {"flips": True}, {"kl_weight": 100.0}):
        other = dataclasses.replace(few, **change)
        assert difference(other.score(other.prepare("gear", good()), good()).map, scores.map) > 1e-6


def test_bad_input_and_setting() -> None:
    with pytest.raises(InputError, match="autoencoder needs reference images"):
        detector().prepare("gear")
    with pytest.raises(InputError, match="references are uint8"):
        detector().prepare("gear", good()[:, :32])
    for name, value, message in (
        ("image_size", 15, "image_size 15 does not fit this backbone; give 16 or more"),
        ("resolution", 8, "resolution 8 does not fit"),
        ("kl_weight", -1.0, "kl_weight -1.0 is below 0"),
    ):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(detector(), **{name: value})
    assert Autoencoder.for_backbone(golden_clip("winclip")).setting == {
        "image_size": 64,
        "resolution": 128,
        "latents": 64,
        "kl_weight": 0.01,
        "steps": 1000,
        "flips": False,
        "blur_sigma": 1.0,
        "seed": 0,
    }
    assert detector().reconstructed == (32, 32)
    assert dataclasses.replace(detector(), resolution=512).reconstructed == (64, 64)
