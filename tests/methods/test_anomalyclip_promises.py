"""AnomalyCLIP's kernels, settings and errors."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.golden import case, difference
from tests.methods.detectors import anomalyclip, published_batch, published_prompts, shallow_anomalyclip
from vlmad_jax import CLIP, AnomalyCLIP, InputError, load_clip
from vlmad_jax.backbones import chunking as chunks
from vlmad_jax.backbones.attention import diagonal, kernel
from vlmad_jax.backbones.checkpoints import hub
from vlmad_jax.backbones.config import vit
from vlmad_jax.methods import MethodOptions, method
from vlmad_jax.scoring.maps import blur

CASE = case("anomalyclip")


def test_other_kernels_give_other_patch_features():
    """On one encoder, each name changes the patches and none the image."""
    images, seen = CASE.arrays["images_uint8"][:1], {}
    for name in ("vv", "qk", "qq", "kk", "diagonal"):
        other = dataclasses.replace(shallow_anomalyclip(), attention=name)
        seen[name] = other.clip.compile("vision", other.extract)(images)
        assert difference(seen[name].image, seen["vv"].image) <= 5e-6  # of numbers up to 7
    for one, other in itertools.combinations(seen, 2):
        assert difference(seen[one].patches, seen[other].patches) > 1e-2, (one, other)


def test_kernels_by_loops():
    """Each kernel on one head of three tokens, by its definition."""
    q, k, v = np.random.default_rng(0).normal(size=(3, 3, 2)).astype(np.float32)

    def by_hand(a, b):
        weights = np.exp(a @ b.T / np.sqrt(2))
        return weights / weights.sum(axis=1, keepdims=True)

    own = np.diag(np.diag(by_hand(q, k)))
    expected = {
        "vv": by_hand(v, v) @ v,
        "qq": by_hand(q, q) @ v,
        "kk": by_hand(k, k) @ v,
        "diagonal": (by_hand(q, k) + own) @ v,
    }
    for name, out in expected.items():
        found = kernel(name)(*(jnp.asarray(x)[None, None] for x in (q, k, v)))[0, 0]
        np.testing.assert_allclose(found, out, rtol=1e-5)
    found = diagonal(*(jnp.asarray(x)[None, None] for x in (q, k, v)), factor=3.0)[0, 0]
    np.testing.assert_allclose(found, (by_hand(q, k) + 3 * own) @ v, rtol=1e-5)


def test_the_learned_factor_of_the_diagonal_is_trained():
    last = {"dpam_layers": 1, "feature_layers": (2,)}  # the shortest way back
    learning = dataclasses.replace(shallow_anomalyclip(), attention="diagonal", **last)
    start = learning.init(jax.random.key(0))
    assert start["diagonal"] == 1
    one = jax.tree.map(lambda x: x[:1], published_batch())
    gradient = jax.jit(jax.grad(lambda *x: learning.loss(*x)[0]))(start, learning.context(), one)
    assert np.isfinite(gradient["diagonal"])
    assert gradient["diagonal"] != 0


def test_images_in_chunks_are_the_same(monkeypatch):
    """Chunks of 300 tokens hold two images of 146 tokens."""
    images, small = CASE.arrays["images_uint8"][:3], dataclasses.replace(shallow_anomalyclip())
    whole = shallow_anomalyclip().clip.compile("vision", shallow_anomalyclip().extract)(images)
    monkeypatch.setattr(chunks, "chunk_tokens", lambda: 300)
    found = small.clip.compile("vision", small.extract)(images)
    for part, other in zip(found, whole, strict=True):
        assert difference(part, other) <= 2e-6


def test_the_published_setting():
    shape = vit(336, 14, (64, 24, 2), (64, 12, 2), 32, "quick_gelu")
    for made in (AnomalyCLIP.paper, AnomalyCLIP.for_backbone):
        setting = made(random_shape(shape)).setting
        assert setting == {
            "image_size": 518,
            "dpam_layers": 19,
            "feature_layers": [6, 12, 18, 24],
            "context_length": 12,
            "deep_depth": 9,
            "deep_length": 4,
            "blur_sigma": 4.0,
            "attention": "vv",
        }
    tiny = AnomalyCLIP.for_backbone(
        random_shape(vit(128, 16, (64, 4, 2), (64, 3, 2), 32, "quick_gelu"))
    ).setting
    assert (tiny["image_size"], tiny["dpam_layers"], tiny["feature_layers"]) == (128, 4, [1, 2, 3, 4])
    assert (tiny["deep_depth"], tiny["blur_sigma"]) == (3, pytest.approx(4 * 128 / 518))


def random_shape(config) -> CLIP:
    """A CLIP of that shape without parameters."""
    return CLIP(config, {}, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dpam_layers": 7}, "dpam_layers 7 does not fit this backbone; give 0 to 6"),
        ({"feature_layers": (0,)}, "feature layer 0 does not fit this backbone; give 1 to 6"),
        ({"feature_layers": (3, 3)}, r"feature layers \(3, 3\) have to be one or more, each once"),
        ({"feature_layers": ()}, r"feature layers \(\) have to be one or more"),
        ({"image_size": 7}, "image_size 7 does not fit this backbone; give 8 or more"),
        ({"context_length": 72}, "context_length 72 does not fit this backbone; give 1 to 71"),
        ({"deep_depth": 6}, "deep_depth 6 does not fit this backbone; give 1 to 5"),
        ({"deep_length": 7}, "deep_length 7 does not fit this backbone; give 1 to 6"),
        ({"blur_sigma": -1.0}, "blur_sigma -1.0 is below 0"),
        ({"attention": "vk"}, "attention 'vk' is not one of qk, "),
    ],
)
def test_settings_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(anomalyclip(), **changes)


def test_unsupported_input_raises():
    with pytest.raises(InputError, match="anomalyclip takes no reference images"):
        anomalyclip().prepare("nut", CASE.arrays["images_uint8"], published_prompts())
    with pytest.raises(InputError, match="anomalyclip needs learned prompts"):
        anomalyclip().prepare("nut")
    with pytest.raises(InputError, match="expected normal"):
        anomalyclip().prepare("nut", params={"normal": published_prompts()["normal"]})


def test_blur_is_scipys():
    maps = np.random.default_rng(0).random((2, 12, 20)).astype(np.float32)
    for sigma in (0, 0.7, 2, 6):  # the last reflects more than once
        expected = [gaussian_filter(m.astype(np.float64), sigma) for m in maps]
        np.testing.assert_allclose(blur(jnp.asarray(maps), sigma), expected, atol=2e-7)


def test_the_bundled_prompts_belong_to_the_bundled_weights():
    clip = load_clip(hub.BUNDLED)
    made, learned = method("anomalyclip").from_options(clip, MethodOptions())
    assert made.setting["feature_layers"] == [3, 4]
    text = np.asarray(made.prepare("anything", params=learned).text)
    plain = clip.encode_text(["a photo of an object.", "a photo of a damaged object."])
    distances = [1 - (x[0] @ x[1]) / np.prod(np.linalg.norm(x, axis=1)) for x in (text, np.asarray(plain))]
    assert distances[0] > 10 * distances[1]  # they say much more different things than untrained words
