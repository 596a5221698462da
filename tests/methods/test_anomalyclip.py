"""AnomalyCLIP against the authors' code: features, scores, maps, losses, gradients and a step of training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.golden import case, difference, golden_clip
from vlmad_jax import AnomalyCLIP

CASE = case("anomalyclip")
FEATURES, SCORES = 2e-5, 1e-5  # of the contract


@functools.cache
def detector() -> AnomalyCLIP:
    setting = CASE.setting
    return AnomalyCLIP(
        golden_clip("anomalyclip"),
        image_size=setting["input_resolution"],
        dpam_layers=setting["dpam_layers"],
        feature_layers=setting["feature_layers"],
        context_length=setting["n_ctx"],
        deep_depth=setting["compound_depth"],
        deep_length=setting["compound_length"],
        blur_sigma=setting["gaussian_sigma"],
    )


def by_name(arrays, prefix: str = "") -> dict[str, np.ndarray]:
    """The authors' parameters, or their gradients, under our names."""
    deep = [arrays[f"{prefix}compound_prompts_text_{n}"] for n in range(CASE.setting["compound_depth"] - 1)]
    return {
        "normal": arrays[f"{prefix}ctx_pos"][0, 0],
        "anomalous": arrays[f"{prefix}ctx_neg"][0, 0],
        "deep": np.stack(deep),
    }


@functools.cache
def params() -> dict[str, np.ndarray]:
    with np.load(CASE.directory / "prompts.npz") as arrays:
        return by_name(arrays)


@functools.cache
def batch() -> dict[str, jax.Array]:
    arrays = CASE.arrays
    return {
        "image": jnp.asarray(arrays["images_uint8"]),
        "mask": jnp.asarray(arrays["masks"]),
        "label": jnp.asarray(arrays["labels"], jnp.int32),
    }


@functools.cache
def features() -> dict[str, jax.Array]:
    return detector().clip.compile("vision", detector().extract)(CASE.arrays["images_uint8"])


@functools.cache
def gradient_function():
    return jax.jit(jax.value_and_grad(detector().loss, has_aux=True))


def test_text_features():
    text = detector().prepare(params=params())["text"]
    norm = np.linalg.norm(text, axis=-1, keepdims=True)
    assert difference(text / norm, CASE.arrays["text_features"]) <= FEATURES


def test_image_features():
    assert difference(features()["image"], CASE.arrays["image_features"]) <= FEATURES


@pytest.mark.parametrize("n", range(4))
def test_patch_features(n):
    assert difference(features()["patches"][:, n], CASE.arrays[f"patch_features_{n}"][:, 1:]) <= FEATURES


def test_scores_and_maps():
    scores = detector().score(detector().prepare(params=params()), CASE.arrays["images_uint8"])
    assert difference(scores.image, CASE.arrays["image_scores"]) <= SCORES
    assert difference(scores.map, CASE.arrays["anomaly_maps"]) <= SCORES


def test_maps_before_the_blur():
    maps = (
        detector().layer_maps(features()["patches"], detector().prepare(params=params())["text"]).sum(axis=1)
    )
    assert difference(maps, CASE.arrays["anomaly_maps_unsmoothed"]) <= SCORES


def test_losses_gradients_and_a_step():
    """Adam as published; the gradient of deep tokens passes through float16 in the authors' code."""
    arrays, context = CASE.arrays, detector().context()
    optimizer = optax.adam(1e-3, b1=0.5, b2=0.999)
    here = jax.tree.map(jnp.asarray, params())
    (total, parts), gradient = gradient_function()(here, context, batch())

    def check_losses(step: int, total, parts) -> None:
        for name, theirs in (("image", "image_loss"), ("focal", "focal"), ("dice", "dice")):
            np.testing.assert_allclose(parts[name], arrays[f"step{step}_{theirs}"], rtol=1e-4)
        np.testing.assert_allclose(total, arrays[f"step{step}_total"], rtol=1e-4)

    check_losses(0, total, parts)
    for name, expected in by_name(arrays, "grad_").items():
        scale = np.abs(expected).max()
        assert difference(gradient[name], expected) <= (2e-3 if name == "deep" else 1e-4) * scale
    updates, _ = optimizer.update(gradient, optimizer.init(here), here)
    after = optax.apply_updates(here, updates)
    for name, expected in by_name(arrays, "after_step_").items():
        assert difference(after[name], expected) <= 1e-4 * np.abs(expected).max(), name
    (total, parts), _ = gradient_function()(after, context, batch())
    check_losses(1, total, parts)
