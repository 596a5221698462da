"""MRAD against the authors' code: features, memory, scores, loss, gradient, a step of training and files."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.golden import case, difference, golden_clip
from vlmad_jax import MRAD
from vlmad_jax.methods.detector import Features, Params, by_name
from vlmad_jax.methods.mrad import HEADS
from vlmad_jax.scoring.neighbours import normalise
from vlmad_jax.training.train import make_optimizer

CASE = case("mrad")
ARRAYS = CASE.arrays
FEATURES, SCORES = 2e-5, 1e-5  # of the contract
LOSSES = ("focal", "dice", "cross_entropy")
MEMORY = ("patch_keys", "patch_values", "image_keys", "image_values")
# A bias of keys adds the same to every key, and the softmax does not see it: its gradient is rounding.
UNSEEN = {"patch_key.bias", "image_key.bias"}


@functools.cache
def detector() -> MRAD:
    return MRAD(golden_clip("mrad"), CASE.setting["input_size"], CASE.setting["gaussian_sigma"])


@functools.cache
def heads() -> Params:
    return detector().load_params(CASE.directory / "mrad_ft.pth")


@functools.cache
def memory() -> Params:
    return {name: jnp.asarray(ARRAYS[name]) for name in MEMORY}


@functools.cache
def auxiliary() -> dict[str, Any]:
    """The auxiliary images, which are the batch of training too."""
    names = {"image": "auxiliary_uint8", "mask": "auxiliary_masks", "label": "auxiliary_labels"}
    return {name: ARRAYS[stored] for name, stored in names.items()}


def features(images: np.ndarray) -> Features:
    """The features of up to eight images, from the program that the memory compiles."""
    found = detector()._extract(np.resize(images, (8, *images.shape[1:])))
    return jax.tree.map(lambda x: np.asarray(x[: len(images)]), found)


@functools.cache
def cached() -> dict[str, Any]:
    """The auxiliary images by their features."""
    rest = {name: auxiliary()[name] for name in ("mask", "label")}
    return {"features": features(auxiliary()["image"]), **rest}


def published(prefix: str) -> dict[str, np.ndarray]:
    """Arrays for each head, by our names."""
    kernels = {f"{head}.kernel": ARRAYS[f"{prefix}_{head}_weight"].T for head in HEADS}
    biases = {f"{head}.bias": ARRAYS[f"{prefix}_{head}_bias"] for head in HEADS}
    return {name: x for name, x in (kernels | biases).items() if name not in UNSEEN}


def test_features() -> None:
    found = features(ARRAYS["images_uint8"])
    assert difference(normalise(found.image), ARRAYS["image_features"]) <= FEATURES
    assert difference(found.patches, ARRAYS["patch_features_averaged"]) <= FEATURES


def test_memory() -> None:
    """The memory is of all images, of a batch of one, or of more features than are encoded together."""
    found = detector().memory(auxiliary())
    assert found.keys() == set(MEMORY)
    for name in MEMORY:
        assert difference(found[name], ARRAYS[name]) <= SCORES
    one = detector().memory(jax.tree.map(lambda x: x[1:2], auxiliary()))
    for name, rows in zip(MEMORY, (slice(1, 3), slice(1, 3), slice(1, 2), slice(1, 2)), strict=True):
        assert difference(one[name], ARRAYS[name][rows]) <= SCORES
    twice = detector().memory(jax.tree.map(lambda x: np.concatenate([x, x]), cached()))
    for name in MEMORY:
        assert difference(twice[name], np.concatenate([ARRAYS[name]] * 2)) <= SCORES


@pytest.mark.parametrize("prefix", ["tf", "ft"])
def test_scores_of_features(prefix: str) -> None:
    state = detector().prepare(params={"memory": memory(), **(heads() if prefix == "ft" else {})})
    scores = jax.jit(detector().score_features)(state, features(ARRAYS["images_uint8"]))
    assert difference(scores.image, ARRAYS[f"{prefix}_image_scores"]) <= SCORES
    assert difference(scores.map, ARRAYS[f"{prefix}_anomaly_maps"]) <= SCORES


def test_scores_of_images() -> None:
    """Images have the network's own size, or were resized."""
    state = detector().prepare(params={"memory": memory(), **heads()})
    for images, prefix in (("images_uint8", "ft"), ("original_network_images_uint8", "original")):
        scores = detector().score(state, ARRAYS[images])
        assert difference(scores.image, ARRAYS[f"{prefix}_image_scores"]) <= SCORES
        assert difference(scores.map, ARRAYS[f"{prefix}_anomaly_maps"]) <= SCORES


def test_the_loss_its_gradient_and_a_step() -> None:
    context = {"vision": {}, "memory": memory()}
    step = jax.jit(jax.value_and_grad(detector().loss, has_aux=True))
    (total, parts), gradient = step(heads(), context, cached())
    for name, found in {"total": total, **parts}.items():
        np.testing.assert_allclose(found, ARRAYS[f"step0_{name}"], rtol=1e-4)
    assert parts.keys() == set(LOSSES)
    for name, expected in published("grad").items():
        assert difference(by_name(gradient)[name], expected) <= 1e-4 * np.abs(expected).max(), name
    optimizer = make_optimizer(MRAD.learning_rate, MRAD.final_learning_rate, steps=2)
    updates, _ = optimizer.update(gradient, optimizer.init(heads()))
    learned = optax.apply_updates(heads(), updates)
    # Adam's first step is the learning rate times the sign of the gradient: 1e-3 of it is 4e-7.
    for name, expected in published("after_step").items():
        assert difference(by_name(learned)[name], expected) <= 1e-3 * MRAD.learning_rate, name
    (total, parts), _ = step(learned, context, cached())
    for name, found in {"total": total, **parts}.items():
        np.testing.assert_allclose(found, ARRAYS[f"step1_{name}"], rtol=1e-4)


def test_the_learning_rate_follows_the_published_cosine() -> None:
    """Adam makes steps of the learning rate if the gradient is constant."""
    optimizer, rates = make_optimizer(MRAD.learning_rate, MRAD.final_learning_rate, steps=2), []
    state = optimizer.init(0.0)
    for _ in range(2):
        update, state = optimizer.update(1.0, state)
        rates.append(-update)
    np.testing.assert_allclose(rates, CASE.setting["notes"]["learning_rates"], rtol=1e-5)
