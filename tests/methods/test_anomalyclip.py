"""AnomalyCLIP against the authors' code: features, scores, maps, losses, gradients and a step of training."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.ndimage import gaussian_filter

from tests.golden import case, difference, golden_clip, shallow_clip
from vlmad_jax import CLIP, AnomalyCLIP, InputError, chunks, load_clip
from vlmad_jax.clip import hub
from vlmad_jax.clip.attention import diagonal, kernel
from vlmad_jax.clip.config import vit
from vlmad_jax.methods import Options, method, prompt_files
from vlmad_jax.methods.detector import blur

pytestmark = pytest.mark.usefixtures("as_people_run_it")
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


@functools.cache
def shallow() -> AnomalyCLIP:
    """The same with two layers, all with v-v attention."""
    clip = shallow_clip("anomalyclip", 2)
    return dataclasses.replace(detector(), clip=clip, dpam_layers=2, feature_layers=(1, 2), deep_depth=2)


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
    # The authors' code rounds deep tokens to float16 whenever it uses them; those of the file are round.
    after["deep"] = after["deep"].astype(jnp.float16).astype(jnp.float32)
    (total, parts), _ = gradient_function()(after, context, batch())
    check_losses(1, total, parts)


def test_the_authors_file_gives_the_same_parameters(tmp_path):
    loaded = detector().load_params(CASE.directory / "prompts.pth")
    for name, expected in params().items():
        np.testing.assert_array_equal(loaded[name], expected)
    scores = detector().score(detector().prepare(params=loaded), CASE.arrays["images_uint8"])
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
    learner = dict(prompt_files.read_torch_file(CASE.directory / "prompts.pth")["prompt_learner"])
    content = {"prompt_learner": learner}
    for name, value in changes.items():
        place = content if name in content else learner
        if value is None:
            del place[name]
            place["other"] = np.zeros(1)
        else:
            place[name] = value.astype(np.float32)
    monkeypatch.setattr(prompt_files, "read_torch_file", lambda path: content)
    with pytest.raises(InputError, match=message) as raised:
        detector().load_params(tmp_path / "prompts.pth")
    assert str(raised.value).startswith(str(tmp_path / "prompts.pth"))
    assert "\n" not in str(raised.value)


def test_without_dpam_it_is_plain_clip():
    clip, images = golden_clip("anomalyclip"), CASE.arrays["images_uint8"]
    plain = dataclasses.replace(detector(), dpam_layers=0)
    found = clip.compile("vision", plain.extract)(images)

    def expected(variables, images):
        vision = clip.vision("bilinear").bind(variables)
        hidden, layers = vision.transform(vision.embed(images))
        patches = [vision.project(layers[f"layer{n:02d}"][:, 1:]) for n in plain.feature_layers]
        return {"image": vision.project_unnormed(hidden[:, 0]), "patches": jnp.stack(patches, axis=1)}

    for name, features_of in clip.compile("vision", expected)(images).items():
        np.testing.assert_allclose(found[name], features_of, atol=2e-6)
    assert difference(found["image"], CASE.arrays["plain_image_features_no_ln_post"]) <= FEATURES


def test_other_kernels_give_other_patch_features():
    """All on one encoder: each name changes the patches, and none the image."""
    images, seen = CASE.arrays["images_uint8"][:1], {}
    for name in ("vv", "qk", "qq", "kk", "diagonal"):
        other = dataclasses.replace(shallow(), attention=name)
        seen[name] = other.clip.compile("vision", other.extract)(images)
        assert difference(seen[name]["image"], seen["vv"]["image"]) <= 5e-6  # of numbers up to 7
    for one, other in itertools.combinations(seen, 2):
        assert difference(seen[one]["patches"], seen[other]["patches"]) > 1e-2, (one, other)


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
    learning = dataclasses.replace(shallow(), attention="diagonal", **last)
    start = learning.init(jax.random.key(0))
    assert start["diagonal"] == 1
    one = jax.tree.map(lambda x: x[:1], batch())
    gradient = jax.jit(jax.grad(lambda *x: learning.loss(*x)[0]))(start, learning.context(), one)
    assert np.isfinite(gradient["diagonal"])
    assert gradient["diagonal"] != 0


def test_pictures_in_chunks_are_the_same(monkeypatch):
    """146 tokens a picture, 300 at a time: two pictures, then two."""
    images, small = CASE.arrays["images_uint8"][:3], dataclasses.replace(shallow())
    whole = shallow().clip.compile("vision", shallow().extract)(images)
    monkeypatch.setattr(chunks, "chunk_tokens", lambda: 300)
    found = small.clip.compile("vision", small.extract)(images)
    for name in found:
        assert difference(found[name], whole[name]) <= 2e-6


def test_the_published_setting():
    shape = vit(336, 14, (64, 24, 2), (64, 12, 2), 32, "quick_gelu")
    for made in (AnomalyCLIP.paper, AnomalyCLIP.scaled):
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
    tiny = AnomalyCLIP.scaled(random_shape(vit(128, 16, (64, 4, 2), (64, 3, 2), 32, "quick_gelu"))).setting
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
        dataclasses.replace(detector(), **changes)


def test_what_it_cannot_do_is_said():
    with pytest.raises(InputError, match="anomalyclip takes no good samples"):
        detector().prepare("nut", CASE.arrays["images_uint8"], params())
    with pytest.raises(InputError, match="anomalyclip needs learned prompts"):
        detector().prepare("nut")
    with pytest.raises(InputError, match="expected normal"):
        detector().prepare("nut", params={"normal": params()["normal"]})


def test_blur_is_scipys():
    maps = np.random.default_rng(0).random((2, 12, 20)).astype(np.float32)
    for sigma in (0, 0.7, 2, 6):  # the last reflects more than once
        expected = [gaussian_filter(m.astype(np.float64), sigma) for m in maps]
        np.testing.assert_allclose(blur(jnp.asarray(maps), sigma), expected, atol=2e-7)


def test_the_bundled_prompts_belong_to_the_bundled_weights():
    clip = load_clip(hub.BUNDLED)
    made, learned = method("anomalyclip").chosen(clip, Options())
    assert made.setting["feature_layers"] == [3, 4]
    text = np.asarray(made.prepare("anything", params=learned)["text"])
    plain = clip.encode_text(["a photo of an object.", "a photo of a damaged object."])
    distances = [1 - (x[0] @ x[1]) / np.prod(np.linalg.norm(x, axis=1)) for x in (text, np.asarray(plain))]
    assert distances[0] > 10 * distances[1]  # they say much more different things than untrained words
