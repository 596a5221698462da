"""Every method scores images that are not square, and its numbers are those of its equations."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.golden import difference, golden_clip, shallow_clip
from vlmad_jax import CLIP, InputError, WinCLIP
from vlmad_jax.methods import (
    METHODS,
    MRAD,
    SPADE,
    AnomalyCLIP,
    Autoencoder,
    Detector,
    Hybrid,
    draem,
    ganomaly,
)

SIZE = (48, 80)  # 6 x 10 patches
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (2, *SIZE, 3), np.uint8)
REFERENCES = RNG.integers(0, 256, (2, *SIZE, 3), np.uint8)
QUICK = {
    "winclip": {"window_sizes": (2,)},
    "hybrid": {"window_sizes": (3,)},
    "cutpaste": {"pasted": 4, "steps": 2},
    "autoencoder": {"steps": 2},
    "ganomaly": {"steps": 2, "network_width": 2, "resolution": 32},
    "draem": {"steps": 2, "network_width": 2},
}


@functools.cache
def clip() -> CLIP:
    return shallow_clip("winclip")


def detector(name: str) -> Detector:
    return dataclasses.replace(METHODS[name].for_backbone(clip()).at_size(SIZE), **QUICK.get(name, {}))


@pytest.mark.parametrize("name", METHODS)
def test_maps_and_settings_have_the_shape(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Training steps take up to a minute to compile; the methods' own tests run them.
    monkeypatch.setattr(draem, "_step", lambda networks, steps, carry, batch: (carry, np.float32(0)))
    monkeypatch.setattr(ganomaly, "_step", lambda generator, carry, batch, fresh: (carry, np.float32(0)))
    made = detector(name)
    assert (made.size, made.setting["image_size"]) == (SIZE, [48, 80])
    again = METHODS[name].with_setting(clip(), json.loads(json.dumps(made.setting)))
    assert (again.size, again.setting) == (SIZE, made.setting)
    params = made.init(jax.random.key(0))
    if isinstance(made, MRAD):
        batch = {"image": IMAGES, "mask": np.ones((2, *SIZE), np.uint8), "label": np.array([0, 1])}
        params["memory"] = made.memory(batch)
    references = REFERENCES if made.references == "always" else None
    scores = made.score(made.prepare("nut", references, params), IMAGES)
    assert scores.map.shape == (2, *SIZE)
    assert np.isfinite(scores.map).all()
    with pytest.raises(InputError, match="give uint8 images of 48 x 80 pixels"):
        made.score({}, np.zeros((1, 80, 48, 3), np.uint8))


def test_the_winclip_of_other_proportions_encodes_the_whole_image() -> None:
    made = WinCLIP(clip(), (2,), SIZE, multi_scale_sizes=(24,))
    assert made.grid == (6, 10)
    assert len(made.windows[0]) == 5 * 9
    assert made.multi_scale_shapes == ((24, 40),)
    plain = WinCLIP(clip(), (2,), SIZE)
    state = plain.prepare("nut")
    embeddings, text = np.asarray(clip().encode_image(IMAGES)), np.asarray(state.text)
    embeddings, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (embeddings, text))
    normal, anomalous = np.exp(embeddings @ text.T / 0.07).T
    assert difference(plain.score(state, IMAGES).image, anomalous / (normal + anomalous)) <= 1e-6


def test_spade_of_other_proportions_equals_numpy() -> None:
    made = SPADE(clip(), SIZE, (1,))
    state = made.prepare("nut", REFERENCES)
    tokens = {
        name: np.asarray(clip().features(x, (1,))["patches"], np.float64)[:, 0]  # (2, P, D)
        for name, x in (("known", REFERENCES), ("new", IMAGES))
    }
    known, new = tokens["known"].reshape(2 * 60, -1), tokens["new"]
    nearest = np.sqrt(((new[:, :, None] - known) ** 2).sum(axis=-1)).min(axis=2).reshape(-1, 6, 10)
    upsampled = jax.image.resize(nearest, (2, *SIZE), "linear", antialias=False)
    expected = [gaussian_filter(np.asarray(x, np.float64), 4 * 48 / 224) for x in upsampled]
    np.testing.assert_allclose(made.score(state, IMAGES).map, expected, rtol=2e-5, atol=2e-5)


def test_the_autoencoder_keeps_multiples_of_its_stride() -> None:
    made = Autoencoder(clip(), (96, 240))
    assert made.reconstructed == (48, 128)
    assert Autoencoder(clip(), (16, 400)).reconstructed == (16, 128)
    assert Autoencoder(clip(), 64).reconstructed == (64, 64)


def test_a_square_is_a_square_however_it_is_given() -> None:
    given = WinCLIP(clip(), image_size=(64, 64))
    assert given.setting == WinCLIP(clip()).setting
    assert given.setting["image_size"] == 64
    learned = AnomalyCLIP.for_backbone(golden_clip("anomalyclip"))
    assert Hybrid(learned.clip, learned).at_size(SIZE).anomalyclip.size == SIZE


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (60, "image_size 60 is not divisible by the patch size of 8 pixels; give 56 or 64 in place of 60"),
        ((48, 81), r"image_size \[48, 81\] is not divisible by .* give 80 or 88 in place of 81"),
        ((4, 80), r"image_size \[4, 80\] does not fit this backbone; give 8 or more"),
    ],
)
@pytest.mark.parametrize("name", ["winclip", "coop", "patchcore"])
def test_sizes_that_are_not_whole_patches_are_refused(name: str, size: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        METHODS[name].for_backbone(clip()).at_size(size)


def test_the_size_that_a_backbone_was_trained_with_is_accepted() -> None:
    """Published backbones have such sizes: 384 pixels in patches of 14."""
    vision = dataclasses.replace(clip().config.vision, image_size=68)
    odd = dataclasses.replace(clip(), config=dataclasses.replace(clip().config, vision=vision))
    assert METHODS["patchcore"].for_backbone(odd).grid == (8, 8)
