"""Tests of the losses of pretraining against loops in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.settings import small_config
from vlmad_jax.backbones.clip import CLIP, random_clip
from vlmad_jax.backbones.text_transformer import TextTransformer
from vlmad_jax.errors import InputError
from vlmad_jax.pretraining.contrastive import (
    WEIGHTS,
    contrast,
    make_loss,
    patch_head,
    patch_loss,
    reference_loss,
    stack_pairs,
    state_loss,
    window_tokens,
)
from vlmad_jax.pretraining.pairs import PHOTOGRAPHED
from vlmad_jax.pretraining.teacher import TERMS


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cross_entropy(logits: np.ndarray, matches: np.ndarray) -> float:
    """Return the mean of -log probability over the matches: (N,), bool (N,)."""
    return float(np.log(np.exp(logits).sum()) - logits[matches].mean())


def contrast_by_loops(
    images: np.ndarray, texts: np.ndarray, group: np.ndarray, scale: float, has_name: np.ndarray
) -> float:
    logits = scale * images.astype(np.float64) @ texts.T.astype(np.float64)
    terms = []
    for i in np.flatnonzero(has_name):
        terms.append(cross_entropy(logits[i], group == group[i]))
        terms.append(cross_entropy(logits[:, i], group == group[i]))
    return sum(terms) / len(terms)


def binary(logit: float, label: float) -> float:
    probability = 1 / (1 + np.exp(-logit))
    return float(-np.log(probability if label else 1 - probability))


def test_contrast_with_several_matches():
    rng = np.random.default_rng(0)
    images, texts = unit(rng.normal(size=(6, 5))), unit(rng.normal(size=(6, 5)))
    group = np.array([0, 1, 2, 1, 3, 1])
    for has_name in (np.ones(6, bool), group != 1):
        expected = contrast_by_loops(images, texts, group, 9.0, has_name)
        found = contrast(jnp.asarray(images), jnp.asarray(texts), group, 9.0, has_name)
        assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(contrast(jnp.asarray(images), jnp.asarray(texts), group, 9.0, np.zeros(6, bool))) == 0


def test_state_loss_is_the_weighted_mean_of_binary_cross_entropies():
    rng = np.random.default_rng(1)
    images, normal, anomalous = (unit(rng.normal(size=(4, 5))).astype(np.float32) for _ in range(3))
    label, weight = np.float32([0, 1, 1, 0]), np.float32([1, 1, 0, 1])
    terms = [
        binary(7.0 * float(images[i] @ (anomalous[i] - normal[i])), label[i]) for i in range(4) if weight[i]
    ]
    actual = state_loss(jnp.asarray(images), normal, anomalous, label, weight, 7.0)
    assert float(actual) == pytest.approx(np.mean(terms), rel=1e-6)
    assert float(state_loss(jnp.asarray(images), normal, anomalous, label, 0 * weight, 7.0)) == 0


def test_patch_loss_ignores_patches_at_the_rim_of_a_defect():
    """Patches weigh 5 with 5% or more anomalous pixels, 1 with none, and 0 in between."""
    logits = np.float32([[2.0, -1.0, 0.5, 3.0]])
    share = np.float32([[0.0, 0.01, 0.05, 1.0]])
    terms = [1 * binary(2.0, 0), 5 * binary(0.5, 1), 5 * binary(3.0, 1)]
    assert float(patch_loss(jnp.asarray(logits), share)) == pytest.approx(sum(terms) / 11, rel=1e-6)


@pytest.mark.parametrize("even", [0.2, 0.3])
def test_distances_to_the_reference_image(even):
    """The loss equals a loop over each patch's distance to the nearest patch of its own pair's reference."""
    rng = np.random.default_rng(3)
    patches, memory = rng.normal(size=(4, 3, 5)), rng.normal(size=(2, 6, 5))  # two pairs, normal images first
    share = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0.5], [0.01, 0, 1]], np.float32)
    total = weights = 0.0
    for image, patch in np.ndindex(4, 3):
        if 0 < share[image, patch] < 0.05:
            continue
        cosines = unit(memory[image % 2]) @ unit(patches[image, patch])
        weight = 5 if share[image, patch] else 1
        total += weight * binary(4 * ((1 - cosines.max()) / 2 / even - 1), share[image, patch] > 0)
        weights += weight
    found = reference_loss(jnp.asarray(patches), jnp.asarray(memory), share, even)
    assert float(found) == pytest.approx(total / weights, rel=1e-5)


def test_windows_of_tokens():
    tokens = jnp.arange(2 * 5 * 1).reshape(2, 5, 1)
    window = window_tokens(tokens, jnp.array([[3, 0], [1, 1]]))
    assert window[..., 0].tolist() == [[0, 4, 1], [5, 7, 7]]
    assert stack_pairs(jnp.array([[[1], [2]], [[3], [4]]])).tolist() == [[1], [3], [2], [4]]


CAPTIONS = ("normal_contrast", "anomalous_contrast", "normal_state", "anomalous_state")


def batch_of(rng: np.random.Generator, pairs: int, vocabulary: int) -> dict[str, np.ndarray]:
    def caption() -> np.ndarray:
        token_ids = rng.integers(1, vocabulary - 1, (pairs, 32)).astype(np.int32)
        token_ids[:, 20] = vocabulary - 1
        return token_ids

    batch = {
        name: rng.integers(0, 256, (pairs, 32, 32, 3), np.uint8)
        for name in ("normal", "anomalous", "reference")
    }
    batch |= {f"{name}_caption": caption() for name in CAPTIONS}
    for name, size in (("small", 4), ("large", 9)):
        batch[f"{name}_window_patches"] = rng.integers(0, 16, (pairs, 2, size)).astype(np.int32)
        batch[f"{name}_window_label"] = np.tile(np.float32([0, 1]), (pairs, 1))
        batch[f"{name}_window_weight"] = np.ones((pairs, 2), np.float32)
    return batch | {"group": np.array([4, PHOTOGRAPHED, 4]), "share": rng.random((pairs, 4, 4), np.float32)}


CONFIG = small_config(50)
BATCH = batch_of(np.random.default_rng(2), 3, 50)


@functools.cache
def small_clip() -> CLIP:
    return random_clip(CONFIG)


@functools.cache
def gradient_of_loss():
    return jax.jit(jax.value_and_grad(make_loss(CONFIG, "float32", second_normal_image=True), has_aux=True))


SCALE = 1 / 0.07  # of a new model


@functools.cache
def expected_terms(*kinds: str) -> dict[str, float]:
    """Return the loss terms of whole images, by loops over the encoders' embeddings."""
    clip = small_clip()
    text = TextTransformer(CONFIG.text_transformer).bind({"params": clip.params["text"]})
    encode = jax.jit(lambda token_ids: text(token_ids)[0])
    captions = {name: unit(np.asarray(encode(BATCH[f"{name}_caption"]))) for name in CAPTIONS}
    images = {kind: unit(np.asarray(clip.encode_image(BATCH[kind]))) for kind in kinds}
    difference = captions["anomalous_state"] - captions["normal_state"]
    logits = {
        kind: [SCALE * float(x @ y) for x, y in zip(images[kind], difference, strict=True)] for kind in kinds
    }
    twins = np.concatenate([images["normal"], images["anomalous"]])
    named = np.concatenate([captions["normal_contrast"], captions["anomalous_contrast"]])
    group = np.array([8, 0, 8, 9, 1, 9])  # an object and its state; that of a photograph has no name
    # The logit of a pair's anomalous image should exceed that of each normal one.
    ranks = [
        binary(logits["anomalous"][i] - logits[kind][i], True)
        for kind in kinds
        if kind != "anomalous"
        for i in range(3)
    ]
    return {
        "contrast": contrast_by_loops(twins, named, group, SCALE, group > 1),
        "state": float(np.mean([binary(x, kind == "anomalous") for kind in kinds for x in logits[kind]])),
        "pair": float(np.mean(ranks)),
    }


def expected_reference() -> float:
    clip, share = small_clip(), BATCH["share"].reshape(3, -1)

    def patches(kind: str) -> jax.Array:
        variables, last = {"params": clip.params["vision"]}, len(clip.widths)
        return clip.extract(variables, BATCH[kind], (last,), norm=True).patches[0]

    both = jnp.concatenate([patches("normal"), patches("anomalous")])
    return float(reference_loss(both, patches("reference"), np.concatenate([0 * share, share])))


def test_terms_left_out():
    params = {"clip": small_clip().params, "patch_head": patch_head(CONFIG)}
    pairs = {name: x for name, x in BATCH.items() if name != "reference"}
    loss, kept = jax.jit(make_loss(CONFIG, "float32", ("window", "patch")))(params, {}, pairs)
    expected = expected_terms("normal", "anomalous")
    assert {name: float(x) for name, x in kept.items()} == pytest.approx(expected, rel=1e-4)
    assert float(loss) == pytest.approx(sum(WEIGHTS[name] * float(kept[name]) for name in kept), rel=1e-6)
    for wrong in (("wndow",), tuple(WEIGHTS)):
        with pytest.raises(InputError, match=f"--leave_out={','.join(wrong)}: give some of contrast, "):
            make_loss(CONFIG, "float32", wrong)


def test_terms_of_the_loss():
    params = {"clip": small_clip().params, "patch_head": patch_head(CONFIG)}
    (loss, parts), gradient = gradient_of_loss()(params, {}, BATCH)
    assert set(parts) == set(WEIGHTS) - set(TERMS)
    assert float(loss) == pytest.approx(sum(WEIGHTS[name] * float(parts[name]) for name in parts), rel=1e-6)
    # A head of zeros predicts 1/2 for every patch.
    assert float(parts["patch"]) == pytest.approx(np.log(2), rel=1e-6)
    expected = {**expected_terms("normal", "anomalous", "reference"), "reference": expected_reference()}
    assert {name: float(parts[name]) for name in expected} == pytest.approx(expected, rel=1e-4)
    unused = [
        jax.tree_util.keystr(path) for path, leaf in jax.tree.leaves_with_path(gradient) if not np.any(leaf)
    ]
    # The bias of keys cancels in the softmax, except for rounding. Every other parameter is learned.
    assert [name for name in unused if "key" not in name] == []


def test_the_scale_is_bounded():
    clip = small_clip()

    def contrast_at(logit_scale: float) -> float:
        params = clip.params | {"logit_scale": jnp.float32(logit_scale)}
        (_, parts), _ = gradient_of_loss()({"clip": params, "patch_head": patch_head(CONFIG)}, {}, BATCH)
        return float(parts["contrast"])

    assert contrast_at(np.log(100)) == pytest.approx(contrast_at(20.0), rel=1e-5)
    assert contrast_at(4.0) < 0.9 * contrast_at(20.0)


@pytest.mark.parametrize("held", [False, True])
def test_the_scale_is_learned_or_held(held: bool):
    params = {"clip": small_clip().params, "patch_head": patch_head(CONFIG)}
    loss = make_loss(CONFIG, "float32", tuple(set(WEIGHTS) - {"contrast"}), fixed_logit_scale=held)

    def of_scale(logit_scale: jax.Array) -> jax.Array:
        return loss({**params, "clip": {**params["clip"], "logit_scale": logit_scale}}, {}, BATCH)[0]

    assert (float(jax.jit(jax.grad(of_scale))(jnp.float32(2.0))) == 0) is held
