"""The methods on a SigLIP, which has no class token, and text methods on its vision tower alone."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.backbones.siglip_files import write_siglip, write_vision
from vlmad_jax import InputError, load_backbone
from vlmad_jax.methods import METHODS
from vlmad_jax.methods.anomalyclip import AnomalyCLIP
from vlmad_jax.methods.aprilgan import AprilGAN
from vlmad_jax.methods.coop import CoOp
from vlmad_jax.methods.hybrid import Hybrid
from vlmad_jax.methods.options import MethodOptions
from vlmad_jax.methods.patchcore import PatchCore
from vlmad_jax.methods.winclip import WinCLIP
from vlmad_jax.scoring.neighbours import normalise
from vlmad_jax.scoring.windows import sliding_windows

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, 32, 32, 3), np.uint8)
BATCH = {
    "image": IMAGES,
    "mask": (RNG.random((2, 32, 32)) > 0.8).astype(np.uint8),
    "label": np.array([0, 1]),
    "class_id": np.array([0, 1]),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_backbone(write_siglip(tmp_path_factory.mktemp("siglip")))


def check_scores(detector, state) -> None:
    """Scores are finite, within bounds, and differ between images."""
    scores = detector.score(state, IMAGES)
    assert scores.image.shape == (2,)
    assert scores.map.shape == (2, 32, 32)
    assert np.isfinite(scores.map).all()
    assert scores.image[0] != scores.image[1]
    image, pixel = detector.score_bounds(references=True)
    assert 0 <= np.min(scores.image) <= np.max(scores.image) <= image
    assert 0 <= np.min(scores.map) <= np.max(scores.map) <= pixel


@pytest.mark.parametrize("references", [None, IMAGES[:1]], ids=["zero-shot", "few-shot"])
def test_winclip(clip, references):
    detector = WinCLIP(clip, window_sizes=(2,))
    check_scores(detector, detector.prepare("nut", references))


def test_windows_are_patches_alone(clip):
    """A window's embedding is that of its patches at their places, without any other token."""
    detector = WinCLIP(clip, window_sizes=(2,))
    features = jax.jit(lambda v, x: detector.extract(v, x, patches=False))(
        {"params": clip.params["vision"]}, IMAGES
    )
    vision = clip.vision().bind({"params": clip.params["vision"]})
    window = vision.embed(IMAGES)[:, sliding_windows((4, 4), 2)[3]]
    alone = jax.jit(lambda tokens: vision.encode_tokens(tokens))(window)
    np.testing.assert_allclose(normalise(features.windows[0][:, 3]), normalise(alone), atol=1e-5)


def test_merging_is_refused(clip):
    with pytest.raises(InputError, match="merge_tokens needs a class token, which"):
        WinCLIP(clip, window_sizes=(2,), merge_tokens=1)


@pytest.mark.parametrize("references", [None, IMAGES[:1]], ids=["zero-shot", "few-shot"])
def test_aprilgan(clip, references):
    detector = AprilGAN.for_backbone(clip)
    check_scores(detector, detector.prepare("nut", references, detector.init(jax.random.key(0))))


def test_coop(clip):
    detector = dataclasses.replace(CoOp.for_backbone(clip), context_length=4)
    assert detector.temperature == pytest.approx(np.exp(-float(clip.params["logit_scale"])))
    check_scores(detector, detector.prepare("nut", None, detector.init(jax.random.key(0))))


def test_coop_with_a_context_of_tokens_equals_the_text_encoder(clip):
    """Learned tokens come first: with the embeddings of a sentence's first tokens they make that sentence."""
    detector = dataclasses.replace(CoOp.for_backbone(clip), context_length=4)
    ids = clip.token_ids(["a photo of the"])[0, :4]
    state = detector.prepare("nut", None, {"context": clip.params["text"]["token_embedding"][ids]})
    texts = ["a photo of the flawless nut.", "a photo of the damaged nut."]
    np.testing.assert_allclose(state.text, clip.encode_text(texts), atol=1e-5)


def test_anomalyclip_and_hybrid(clip):
    detector = dataclasses.replace(AnomalyCLIP.for_backbone(clip), context_length=4, deep_depth=2)
    params = detector.init(jax.random.key(0))
    check_scores(detector, detector.prepare("nut", None, params))
    np.testing.assert_allclose(  # the image feature is the backbone's own embedding
        jax.jit(detector.extract)({"params": clip.params["vision"]}, IMAGES).image,
        clip.encode_image(IMAGES),
        atol=1e-4,
    )
    hybrid = Hybrid(clip, detector, window_sizes=(2,))
    check_scores(hybrid, hybrid.prepare("nut", None, params))


@pytest.mark.parametrize("method", [AprilGAN, CoOp])
def test_a_step_of_training_lowers_the_loss(clip, method):
    detector = method.for_backbone(clip)
    params, context = detector.init(jax.random.key(0)), detector.context(["nut", "photo"])
    step = jax.jit(lambda params: jax.value_and_grad(detector.loss, has_aux=True)(params, context, BATCH))
    (before, _), gradient = step(params)
    assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(gradient))
    norm = sum(float((x**2).sum()) for x in jax.tree.leaves(gradient)) ** 0.5
    (after, _), _ = step(jax.tree.map(lambda x, g: x - 1e-3 / norm * g, params, gradient))
    assert after < before


def test_vision_tower_alone_is_for_methods_without_text(tmp_path):
    backbone = load_backbone(write_vision(tmp_path))
    detector = PatchCore.for_backbone(backbone)
    scores = detector.score(detector.prepare("nut", IMAGES[:1]), IMAGES)
    assert scores.image[1] > scores.image[0]
    for name in ("winclip", "aprilgan", "coop", "anomalyclip", "hybrid"):
        with pytest.raises(InputError, match=f"siglip_vision_model has no text encoder, which {name} needs"):
            METHODS[name].from_options(backbone, MethodOptions())
