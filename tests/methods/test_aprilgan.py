"""APRIL-GAN against the authors' code: text features, tokens, scores, maps, loss, gradient and files."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.golden import case, difference, golden_clip
from vlmad_jax import CLIP, AprilGAN, InputError
from vlmad_jax.backbones import chunking as chunks
from vlmad_jax.backbones.config import vit
from vlmad_jax.methods import aprilgan
from vlmad_jax.scoring.maps import upsample
from vlmad_jax.scoring.prompts import APRIL_GAN

pytestmark = pytest.mark.usefixtures("as_people_run_it")
CASE = case("april_gan")
FEATURES, SCORES = 2e-5, 1e-5  # of the contract
LAYERS = tuple(CASE.setting["feature_layers"])
IMAGES, REFERENCES = CASE.arrays["images_uint8"], CASE.arrays["reference_uint8"]


@functools.cache
def detector() -> AprilGAN:
    return AprilGAN(golden_clip("april_gan"), image_size=64, feature_layers=LAYERS)


@functools.cache
def authors_layers() -> dict[str, np.ndarray]:
    """The linear layers under the names of the authors' file."""
    with np.load(CASE.directory / "projections.npz") as arrays:
        return {f"fc.{n}.{kind}": arrays[f"fc_{n}_{kind}"] for n in range(4) for kind in ("weight", "bias")}


@functools.cache
def params() -> dict[str, np.ndarray]:
    layers = authors_layers()
    return {
        "kernel": np.stack([layers[f"fc.{n}.weight"].T for n in range(4)]),
        "bias": np.stack([layers[f"fc.{n}.bias"] for n in range(4)]),
    }


@functools.cache
def batch() -> dict[str, jax.Array]:
    return {
        "image": jnp.asarray(IMAGES),
        "mask": jnp.asarray(CASE.arrays["masks"]),
        "class_id": jnp.ones(3, jnp.int32),
    }


def test_sentences():
    assert APRIL_GAN.normal("bottle") == CASE.setting["normal_prompts"]
    assert APRIL_GAN.anomalous("bottle") == CASE.setting["anomalous_prompts"]


def test_text_features():
    assert difference(detector().text_features("bottle"), CASE.arrays["text_features"]) <= FEATURES


@pytest.mark.parametrize("n", range(4))
def test_tokens(n):
    patches = detector()._extract(IMAGES).patches
    assert difference(patches[0, n], CASE.arrays[f"hidden_state_{n}"][1:]) <= FEATURES


def test_zero_shot():
    scores = detector().score(detector().prepare("bottle", params=params()), IMAGES)
    assert difference(scores.image, CASE.arrays["image_scores"]) <= SCORES
    assert difference(scores.map, CASE.arrays["anomaly_maps"]) <= SCORES


def test_few_shot():
    scores = detector().score(detector().prepare("bottle", REFERENCES, params()), IMAGES)
    assert difference(scores.map, CASE.arrays["few_shot_maps"]) <= SCORES
    # The image score is the mean of the zero-shot score and the largest distance, at most 2 a layer.
    nearest = CASE.arrays["few_shot_maps"] - CASE.arrays["anomaly_maps"]
    expected = (CASE.arrays["image_scores"] + nearest.max(axis=(1, 2)) / 8) / 2
    assert difference(scores.image, expected) <= SCORES
    seen = detector().score(detector().prepare("bottle", IMAGES[: len(REFERENCES)], params()), IMAGES)
    apart = np.abs(seen.map - CASE.arrays["anomaly_maps"]).max(axis=(1, 2))
    # Reference images have distance 0 from themselves, and others do not.
    assert apart[: len(REFERENCES)].max() <= SCORES < apart[len(REFERENCES) :].min()


def test_the_loss_and_its_gradient():
    context = detector().context(["nut", "bottle"])
    (total, parts), gradient = jax.jit(jax.value_and_grad(detector().loss, has_aux=True))(
        jax.tree.map(jnp.asarray, params()), context, batch()
    )
    np.testing.assert_allclose(total, CASE.arrays["train_loss"], rtol=1e-4)
    np.testing.assert_allclose(parts["focal"] + parts["dice"], total, rtol=1e-6)
    expected = CASE.arrays["grad_fc_0_weight"]
    assert difference(gradient["kernel"][0].T, expected) <= 1e-4 * np.abs(expected).max()
    # Features in place of images give the same loss, and the class of each image matters.
    features = detector()._extract(IMAGES)
    cached = {"features": features, "mask": batch()["mask"]}
    loss = jax.jit(detector().loss)
    again, _ = loss(params(), context, cached | {"class_id": batch()["class_id"]})
    np.testing.assert_allclose(again, total, rtol=1e-5)
    other, _ = loss(params(), context, cached | {"class_id": jnp.zeros(3, jnp.int32)})
    assert abs(float(other - total)) > 1e-4


def test_images_in_chunks_are_the_same(monkeypatch):
    """Chunks of 130 tokens hold two images of 65 tokens."""
    whole = detector()._extract(IMAGES)
    monkeypatch.setattr(chunks, "chunk_tokens", lambda: 130)
    parts = dataclasses.replace(detector())._extract(IMAGES)
    for part, other in zip(parts, whole, strict=True):
        assert difference(part, other) <= 5e-6  # of numbers up to 10


def test_aligned_corners():
    """A bilinear function is exact everywhere between the corners."""
    rows, columns = np.mgrid[0:3, 0:4].astype(np.float32)
    found = upsample(jnp.asarray(2 * rows - 3 * columns)[None], (5, 13), align_corners=True)
    rows, columns = np.meshgrid(np.linspace(0, 2, 5), np.linspace(0, 3, 13), indexing="ij")
    np.testing.assert_allclose(found[0], 2 * rows - 3 * columns, atol=2e-6)
    one = upsample(jnp.full((1, 1, 1), 7.0), (3, 3), align_corners=True)
    np.testing.assert_array_equal(one, np.full((1, 3, 3), 7.0))


def test_the_authors_file(monkeypatch, tmp_path):
    content = {"trainable_linearlayer": authors_layers()}
    monkeypatch.setattr(aprilgan, "read_torch_file", lambda path: content)
    loaded = detector().load_params(tmp_path / "epoch_15.pth")
    for name, expected in params().items():
        np.testing.assert_array_equal(loaded[name], expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"prompt_learner": {}},
            r"expected an entry trainable_linearlayer of fc\.0\.weight, .*found prompt_le",
        ),
        (
            {"trainable_linearlayer": {"fc.0.weight": 0}},
            r"fc\.3\.bias, found fc\.0\.weight; give a checkpoint",
        ),
        ({"fc.2.weight": np.zeros((48, 7))}, r"expected layers of one shape, found .*fc.2.weight \(48, 7\)"),
        (
            {"all": np.zeros((5, 7))},
            r"expected kernel \(4, 64, 48\), bias \(4, 48\), found kernel \(4, 7, 5\)",
        ),
    ],
)
def test_files_of_another_kind_are_refused(content, message, monkeypatch, tmp_path):
    layers = dict(authors_layers())
    if "all" in content:
        wide = {f"fc.{n}.weight": content["all"] for n in range(4)}
        layers |= wide | {f"fc.{n}.bias": np.zeros(5) for n in range(4)}
    elif set(content) <= set(layers):
        layers |= content
    told = content if set(content) & {"prompt_learner", "trainable_linearlayer"} else None
    monkeypatch.setattr(aprilgan, "read_torch_file", lambda path: told or {"trainable_linearlayer": layers})
    with pytest.raises(InputError, match=message) as raised:
        detector().load_params(tmp_path / "a.pth")
    assert str(raised.value).startswith(str(tmp_path / "a.pth"))


def test_missing_input_raises():
    with pytest.raises(InputError, match="aprilgan needs learned projections; give those of experiments"):
        detector().prepare("nut")
    with pytest.raises(InputError, match="image_size 7 does not fit"):
        dataclasses.replace(detector(), image_size=7)
    with pytest.raises(InputError, match="feature layer 13 does not fit"):
        dataclasses.replace(detector(), feature_layers=(13,))


def test_settings():
    shape = vit(336, 14, (64, 24, 2), (64, 12, 2), 32, "quick_gelu")
    for made in (AprilGAN.paper, AprilGAN.for_backbone):
        setting = made(CLIP(shape, {}, None)).setting
        assert setting == {"image_size": 518, "feature_layers": [6, 12, 18, 24]}
    assert AprilGAN.for_backbone(golden_clip("april_gan")).setting == detector().setting


def test_fresh_projections_are_torchs():
    """Uniform between plus and minus 1 / sqrt(64)."""
    fresh = detector().init(jax.random.key(0))
    assert {name: x.shape for name, x in fresh.items()} == detector().shapes
    for x in fresh.values():
        assert 0.95 / 8 < np.abs(x).max() <= 1 / 8
        assert abs(float(x.mean())) < 0.02
