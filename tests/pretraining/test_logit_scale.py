"""Tests of smaller cosines with a larger logit scale."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.training.settings import small_config
from vlmad_jax import InputError
from vlmad_jax.backbones.clip import random_clip
from vlmad_jax.pretraining.logit_scale import least_used_direction, with_logit_scale
from vlmad_jax.scoring.prompts import WINCLIP

SENTENCES = ["a photo of a nut.", "a broken nut.", "wood with a hole", "x"]


@pytest.fixture(scope="module")
def clip(tokenizer):
    """Return a model whose layer norms differ from those of a new model."""
    clip = random_clip(small_config(len(tokenizer)), 3, tokenizer=tokenizer)
    rng = np.random.default_rng(0)
    text, vision = clip.params["text"], clip.params["vision"]
    norms = [
        {"scale": rng.uniform(0.5, 2, 16).astype("f"), "bias": rng.normal(size=16).astype("f")}
        for _ in range(2)
    ]
    params = clip.params | {
        "text": text | {"ln_final": norms[0]},
        "vision": vision | {"ln_post": norms[1]},
    }
    return dataclasses.replace(clip, params=params)


def embeddings(clip):
    images = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), np.uint8)
    return np.asarray(clip.encode_image(images), float), np.asarray(clip.encode_text(SENTENCES), float)


def test_captions_share_a_component_that_images_lack(clip):
    after = dataclasses.replace(clip, params=with_logit_scale(clip, 400.0))
    (images, texts), (new_images, new_texts) = embeddings(clip), embeddings(after)
    lost = images - new_images
    u = np.linalg.svd(lost)[2][0]
    np.testing.assert_allclose(lost, np.outer(images @ u, u), atol=1e-5)  # along one direction
    np.testing.assert_allclose(new_images @ u, 0, atol=1e-5)
    along = new_texts @ u
    np.testing.assert_allclose(along, along[0], rtol=1e-4)
    # Differences between captions change along that direction only.
    differences = texts[1:] - texts[0]
    np.testing.assert_allclose(
        new_images @ (new_texts[1:] - new_texts[0]).T,
        (images - np.outer(images @ u, u)) @ differences.T,
        atol=1e-3,
    )
    growth = 400 / np.exp(float(clip.params["logit_scale"]))
    prompts = clip.encode_text(WINCLIP.normal("object") + WINCLIP.anomalous("object"))
    length = np.linalg.norm(np.asarray(prompts), axis=-1).mean()
    assert abs(along[0]) == pytest.approx(length * np.sqrt(growth**2 - 1), rel=1e-4)
    assert float(after.params["logit_scale"]) == pytest.approx(np.log(400))


@pytest.mark.parametrize("rounding", [0.998, 1.0, 1.002])
def test_the_same_scale_changes_nothing_else(clip, rounding):
    scale = float(np.exp(clip.params["logit_scale"])) * rounding
    same = with_logit_scale(clip, scale)
    assert float(same["logit_scale"]) == pytest.approx(np.log(scale))
    for a, b in zip(
        jax.tree.leaves(same | {"logit_scale": 0}),
        jax.tree.leaves(clip.params | {"logit_scale": 0}),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_a_smaller_scale_is_refused(clip):
    with pytest.raises(InputError, match=r"--logit_scale=5 is below 14\.2.*give more"):
        with_logit_scale(clip, 5.0)


def test_the_least_used_direction():
    rng = np.random.default_rng(2)
    u = np.array([0.6, 0, 0.8])
    kernels = [rng.normal(size=(7, 3)) for _ in range(2)]
    kernels = [kernel - 0.99 * np.outer(kernel @ u, u) for kernel in kernels]
    assert abs(least_used_direction(1000 * kernels[0], kernels[1]) @ u) == pytest.approx(1, abs=1e-3)
