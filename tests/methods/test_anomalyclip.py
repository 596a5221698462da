"""AnomalyCLIP against the authors' code: features, scores, maps, losses, gradients and a step of training."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.golden import case, difference, golden_clip
from tests.methods.detectors import anomalyclip, prompts_by_name, published_batch, published_prompts
from vlmad_jax import InputError
from vlmad_jax.methods import anomalyclip_files as module
from vlmad_jax.methods.detector import Features

pytestmark = pytest.mark.usefixtures("as_people_run_it")
CASE = case("anomalyclip")
FEATURES, SCORES = 2e-5, 1e-5  # of the contract


@functools.cache
def features() -> Features:
    return anomalyclip().clip.compile("vision", anomalyclip().extract)(CASE.arrays["images_uint8"])


@functools.cache
def gradient_function():
    return jax.jit(jax.value_and_grad(anomalyclip().loss, has_aux=True))


def test_text_features():
    text = anomalyclip().prepare(params=published_prompts()).text
    norm = np.linalg.norm(text, axis=-1, keepdims=True)
    assert difference(text / norm, CASE.arrays["text_features"]) <= FEATURES


def test_image_features():
    assert difference(features().image, CASE.arrays["image_features"]) <= FEATURES


@pytest.mark.parametrize("n", range(4))
def test_patch_features(n):
    assert difference(features().patches[:, n], CASE.arrays[f"patch_features_{n}"][:, 1:]) <= FEATURES


def test_scores_and_maps():
    scores = anomalyclip().score(
        anomalyclip().prepare(params=published_prompts()), CASE.arrays["images_uint8"]
    )
    assert difference(scores.image, CASE.arrays["image_scores"]) <= SCORES
    assert difference(scores.map, CASE.arrays["anomaly_maps"]) <= SCORES


def test_maps_before_the_blur():
    text = anomalyclip().prepare(params=published_prompts()).text
    maps = anomalyclip().layer_maps(features().patches, text).sum(axis=1)
    assert difference(maps, CASE.arrays["anomaly_maps_unsmoothed"]) <= SCORES


def test_losses_gradients_and_a_step():
    """Adam as published; the gradient of deep tokens passes through float16 in the authors' code."""
    arrays, context = CASE.arrays, anomalyclip().context()
    optimizer = optax.adam(1e-3, b1=0.5, b2=0.999)
    here = jax.tree.map(jnp.asarray, published_prompts())
    (total, parts), gradient = gradient_function()(here, context, published_batch())

    def check_losses(step: int, total, parts) -> None:
        for name, theirs in (("image", "image_loss"), ("focal", "focal"), ("dice", "dice")):
            np.testing.assert_allclose(parts[name], arrays[f"step{step}_{theirs}"], rtol=1e-4)
        np.testing.assert_allclose(total, arrays[f"step{step}_total"], rtol=1e-4)

    check_losses(0, total, parts)
    for name, expected in prompts_by_name(arrays, "grad_").items():
        scale = np.abs(expected).max()
        assert difference(gradient[name], expected) <= (2e-3 if name == "deep" else 1e-4) * scale
    updates, _ = optimizer.update(gradient, optimizer.init(here), here)
    after = optax.apply_updates(here, updates)
    for name, expected in prompts_by_name(arrays, "after_step_").items():
        assert difference(after[name], expected) <= 1e-4 * np.abs(expected).max(), name
    # The authors' code rounds deep tokens to float16 whenever it uses them; those of the file are round.
    after["deep"] = after["deep"].astype(jnp.float16).astype(jnp.float32)
    (total, parts), _ = gradient_function()(after, context, published_batch())
    check_losses(1, total, parts)


def test_the_authors_file_gives_the_same_parameters(tmp_path):
    loaded = anomalyclip().load_params(CASE.directory / "prompts.pth")
    for name, expected in published_prompts().items():
        np.testing.assert_array_equal(loaded[name], expected)
    scores = anomalyclip().score(anomalyclip().prepare(params=loaded), CASE.arrays["images_uint8"])
    assert difference(scores.image, CASE.arrays["image_scores"]) <= SCORES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt_learner": None}, r"expected an entry prompt_learner of named tensors, found \w"),
        ({"ctx_pos": None}, r"expected ctx_pos, ctx_neg and compound_prompts_text.0 and on, found comp"),
        ({"extra": np.zeros(1)}, r"expected ctx_pos, ctx_neg and compound_prompts_text.0 and on, found comp"),
        ({"ctx_neg": np.zeros((6, 64))}, r"expected ctx_pos and ctx_neg \(1, 1, n, D\) .*found .*\(6, 64\)"),
        (
            {"compound_prompts_text.1": np.zeros((4, 64))},
            r"deep tokens \(m, D\), found .*\(4, 64\)",
        ),
        ({"ctx_pos": np.zeros((1, 1, 5, 64))}, r"expected normal \(6, 64\).*found normal \(5, 64\)"),
        ({"token_prefix_pos": np.ones((1, 1, 1, 64))}, r"was trained with another backbone than "),
        ({"token_prefix_pos": np.ones((1, 1, 1, 768))}, r"another backbone than .* 768 numbers"),
    ],
)
def test_files_of_another_kind_are_refused(changes, message, monkeypatch, tmp_path):
    learner = dict(module.read_torch_file(CASE.directory / "prompts.pth")["prompt_learner"])
    content = {"prompt_learner": learner}
    for name, value in changes.items():
        place = content if name in content else learner
        if value is None:
            del place[name]
            place["other"] = np.zeros(1)
        else:
            place[name] = value.astype(np.float32)
    monkeypatch.setattr(module, "read_torch_file", lambda path: content)
    with pytest.raises(InputError, match=message) as raised:
        anomalyclip().load_params(tmp_path / "prompts.pth")
    assert str(raised.value).startswith(str(tmp_path / "prompts.pth"))
    assert "\n" not in str(raised.value)


def test_without_dpam_it_is_plain_clip():
    clip, images = golden_clip("anomalyclip"), CASE.arrays["images_uint8"]
    plain = dataclasses.replace(anomalyclip(), dpam_layers=0)
    found = clip.compile("vision", plain.extract)(images)

    def expected(variables, images):
        vision = clip.vision("bilinear").bind(variables)
        hidden, layers = vision.transform(vision.embed(images))
        patches = [vision.project(layers[f"layer{n:02d}"][:, 1:]) for n in plain.feature_layers]
        return Features(vision.project_unnormed(hidden[:, 0]), jnp.stack(patches, axis=1))

    for part, other in zip(found, clip.compile("vision", expected)(images), strict=True):
        np.testing.assert_allclose(part, other, atol=2e-6)
    assert difference(found.image, CASE.arrays["plain_image_features_no_ln_post"]) <= FEATURES
