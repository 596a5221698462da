"""AnomalyDINO against the authors' code: every setting, through images and through features."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from tests.golden import case, difference
from vlmad_jax import AnomalyDINO, InputError, Scores, load_backbone, load_clip
from vlmad_jax.backbones.backbone import Backbone
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.data.rotation import rotate_mirrored
from vlmad_jax.methods import MethodOptions
from vlmad_jax.methods.anomalydino import EIGHT
from vlmad_jax.methods.detector import Features

ARRAYS = case("anomalydino").arrays
IMAGES, REFERENCES = ARRAYS["images_uint8"], ARRAYS["reference_uint8"]
RULES = {"hub": "hub bicubic", "transformers": None}
SETTINGS = {
    "plain": {},
    "rotation": {"rotations": EIGHT},
    "mask": {"mask_foreground": True},
    "mask_references": {"rotations": EIGHT, "mask_foreground": True, "mask_references": True},
}


@functools.cache
def backbone() -> Backbone:
    return load_backbone(case("anomalydino").directory)


@functools.cache
def detector(rule: str, size: object = 98) -> AnomalyDINO:
    """The detector whose program that encodes images the settings share."""
    return AnomalyDINO(backbone(), size, position_resize=RULES[rule])


def in_setting(rule: str, size: object = 98, **setting: object) -> AnomalyDINO:
    shared = detector(rule, size)
    made = dataclasses.replace(shared, **setting)
    object.__setattr__(made, "_extract", shared._extract)
    return made


def steps(made: AnomalyDINO) -> Callable[[Any, Any], tuple[Scores, jax.Array, jax.Array]]:
    """Scores, distances and masks by a state and patches, compiled once."""

    def all_steps(state: Any, patches: jax.Array) -> tuple[Scores, jax.Array, jax.Array]:
        scores = made.score_features(state, Features(patches[:, 0], patches))
        shape = (-1, *made.grid)
        return scores, made.distances(state, patches).reshape(shape), made.foreground(patches).reshape(shape)

    return jax.jit(all_steps)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("rule", RULES)
def test_scores_and_maps_are_the_authors(name: str, rule: str) -> None:
    made, prefix = in_setting(rule, **SETTINGS[name]), f"{name}_{rule}"
    state, run = made.prepare("", REFERENCES), steps(made)
    for patches in (made.encode(IMAGES).patches, ARRAYS[f"plain_{rule}_features"]):
        scores, distances, kept = run(state, patches)
        assert difference(scores.image, ARRAYS[f"{prefix}_image_scores"]) <= 1e-5
        assert difference(scores.map, ARRAYS[f"{prefix}_anomaly_maps"]) <= 1e-5
        assert difference(distances, ARRAYS[f"{prefix}_distances"]) <= 1e-5
        if made.mask_foreground:
            np.testing.assert_array_equal(kept, ARRAYS[f"{prefix}_foreground"])
    if made.mask_references:
        assert len(np.unique(state.memory, axis=0)) == ARRAYS[f"{prefix}_memory_size"]
        assert len(state.memory) == 16 * 49  # whatever the masks


def test_score_is_both_steps_in_one_program() -> None:
    made = in_setting("hub", mask_foreground=True)
    scores = made.score(made.prepare("", REFERENCES), IMAGES)
    assert difference(scores.image, ARRAYS["mask_hub_image_scores"]) <= 1e-5
    assert difference(scores.map, ARRAYS["mask_hub_anomaly_maps"]) <= 1e-5


def test_the_memory_is_the_authors() -> None:
    state = detector("hub").prepare("", REFERENCES)
    assert difference(state.memory, ARRAYS["plain_hub_memory"]) <= 1e-5
    features = jax.numpy.asarray(ARRAYS["plain_hub_reference_features"])
    assert difference(detector("hub").encode(REFERENCES).patches, features) <= 2e-5


@pytest.mark.parametrize("rule", RULES)
def test_images_of_another_size(rule: str) -> None:
    """The shorter edge is resized, the rest cut off, and the map stretched over the whole image."""
    resizing = Resizing.shorter(224, 14, (310, 240))

    def resized(images: np.ndarray) -> np.ndarray:
        return np.stack([resizing.image(Image.fromarray(image)) for image in images])

    images = resized(ARRAYS["original_images_uint8"])
    np.testing.assert_array_equal(images, ARRAYS["original_network_images_uint8"])
    whole = ARRAYS["original_reference_uint8"]
    np.testing.assert_array_equal(resized(whole), ARRAYS["original_network_reference_uint8"])

    masked, prefix = in_setting(rule, resizing.cut, mask_foreground=True), f"original_{rule}"
    seen = masked.encode(images).patches
    scores, distances, kept = steps(masked)(masked.prepare("", resized(whole)), seen)
    assert difference(scores.image, ARRAYS[f"{prefix}_image_scores"]) <= 1e-5
    assert difference(distances, ARRAYS[f"{prefix}_distances"]) <= 1e-5
    np.testing.assert_array_equal(kept, ARRAYS[f"{prefix}_foreground"])
    assert difference(masked.pixel_map(distances, (310, 240)), ARRAYS[f"{prefix}_anomaly_maps"]) <= 1e-5
    assert scores.map.shape == (2, 280, 224)

    plain, prefix = detector(rule, resizing.cut), f"original_rotation_{rule}"
    rotated = np.concatenate([whole, *(rotate_mirrored(whole, angle) for angle in EIGHT)])
    scores, distances, _ = steps(plain)(plain.prepare("", resized(rotated)), seen)
    assert difference(scores.image, ARRAYS[f"{prefix}_image_scores"]) <= 1e-5
    assert difference(distances, ARRAYS[f"{prefix}_distances"]) <= 1e-5


def test_every_option_changes_scores() -> None:
    patches = detector("hub").encode(IMAGES).patches

    def distances(**options: Any) -> np.ndarray:
        chosen, _ = AnomalyDINO.from_options(backbone(), MethodOptions(**options))
        made = in_setting("hub", **{name: getattr(chosen, name) for name in options})
        return np.asarray(made.distances(made.prepare("", REFERENCES), patches))

    plain, masked = distances(), distances(mask_foreground=True)
    assert difference(plain, distances(rotations=(90,))) > 1e-3
    assert difference(plain, distances(mask_references=True)) > 1e-3
    assert ((masked == plain) | (masked == 0)).all()
    by_grid = distances(mask_foreground=True, mask_filter="grid")
    assert (masked == 0).sum() > (by_grid == 0).sum()  # a patch has more neighbours


def test_no_rotation_is_repeated() -> None:
    plain, same = detector("hub"), in_setting("hub", rotations=(0, 360))
    assert len(same.prepare("", REFERENCES).memory) == len(plain.prepare("", REFERENCES).memory)


def test_published_settings() -> None:
    assert AnomalyDINO(backbone()).image_size == 70
    assert AnomalyDINO.for_backbone(backbone()).setting == AnomalyDINO(backbone()).setting
    trained = dataclasses.replace(backbone(), config=dataclasses.replace(backbone().config, image_size=518))
    published = AnomalyDINO.for_backbone(trained)
    expected = {"image_size": 448, "rotations": list(EIGHT), "position_resize": "hub bicubic"}
    expected |= {"mask_foreground": False, "mask_references": False, "mask_filter": "flat", "blur_sigma": 4.0}
    assert published.setting == AnomalyDINO.paper(trained).setting == expected
    assert AnomalyDINO.with_setting(trained, expected).network.config.position_resize == "hub bicubic"
    assert published.score_bounds(True) == (2.0, 2.0)


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="mask_filter 'round' is not one of flat, grid; give one of these"):
        AnomalyDINO(backbone(), mask_filter="round")
    with pytest.raises(InputError, match="position_resize 'hub' is not one of bicubic"):
        AnomalyDINO(backbone(), position_resize="hub")
    with pytest.raises(InputError, match=r"position_resize 'hub bicubic' is for DINOv2 .* not for clip; rem"):
        AnomalyDINO(load_clip(case("winclip").directory), position_resize="hub bicubic")
    with pytest.raises(InputError, match=r"blur_sigma -1 is below 0; give 0 for no blur"):
        AnomalyDINO(backbone(), blur_sigma=-1)
    with pytest.raises(InputError, match="image_size 80 is not divisible by the patch size of 14"):
        AnomalyDINO(backbone(), 80)
    with pytest.raises(InputError, match="anomalydino needs reference images"):
        detector("hub").prepare("")


def test_references_that_are_all_background() -> None:
    made = in_setting("hub", mask_references=True)
    object.__setattr__(made, "_foreground", lambda patches: np.zeros(patches.shape[:2], bool))
    with pytest.raises(InputError, match="every patch of the references is background; remove --mask_ref"):
        made.prepare("", REFERENCES)


@pytest.mark.parametrize("mask", [False, True])
def test_a_whole_set_is_scored_by_its_other_images(mask: bool) -> None:
    made = in_setting("hub", mask_foreground=mask)
    features = Features(np.zeros((3, 1), np.float32), ARRAYS["plain_hub_features"])
    scores = made.score_set(features)
    unit = features.patches.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    others = np.stack([np.concatenate(np.delete(unit, n, axis=0)) for n in range(3)])
    distances = 1 - np.einsum("npd,nqd->npq", unit, others).max(axis=-1)  # 0.1% of 98 patches is one
    if mask:
        distances *= ARRAYS["mask_hub_foreground"].reshape(distances.shape)
    assert difference(scores.image, distances.max(axis=1)) <= 1e-6  # 1% of 49 patches is one
    assert difference(scores.map, made.pixel_map(distances.astype(np.float32))) <= 1e-6
    again = made.score_set(IMAGES)
    assert difference(again.image, scores.image) <= 2e-5
    with pytest.raises(InputError, match=r"anomalydino scores .* a set of 1 is too small; give 2 or more"):
        made.score_set(IMAGES[:1])
