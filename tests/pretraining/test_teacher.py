"""Tests of the teacher's features and of the loss of predicting them."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from PIL import Image

from tests.training.settings import small_config
from vlmad_jax import InputError
from vlmad_jax.backbones.clip import random_clip
from vlmad_jax.backbones.config import vit
from vlmad_jax.backbones.transformer import layer_name
from vlmad_jax.pretraining.photographs import photographs_in
from vlmad_jax.pretraining.teacher import (
    TERMS,
    Crops,
    Draw,
    feature_shapes,
    held_out_errors,
    teacher_errors,
    teacher_features,
    teacher_heads,
)
from vlmad_jax.training import array_store

LAYERS = 3
GRID = 4  # the student's patches of 8 pixels in images of 32


@pytest.fixture(scope="module")
def teacher():
    """A network with two layers of patches of 4 pixels."""
    return random_clip(vit(32, 4, (16, 2, 2), (16, 1, 2), 8, "quick_gelu"), 5)


@pytest.fixture(scope="module")
def crops(teacher, tmp_path_factory) -> Crops:
    folder = tmp_path_factory.mktemp("teacher")
    rng = np.random.default_rng(0)
    (folder / "photographs").mkdir()
    for number in range(3):
        pixels = np.kron(rng.integers(30, 220, (25, 25, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"photographs/{number}.png")
    draw = Draw(photographs_in([str(folder / "photographs")]), 0.25)
    found = Crops(folder / "crops", 20, 32, 7, draw, teacher, GRID)
    found.fill(0)
    return found


def test_features_are_means_over_each_patch(teacher):
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    features = jax.jit(functools.partial(teacher_features, teacher, grid=GRID))
    found = features({"params": teacher.params["vision"]}, images)
    tokens = teacher.features(images, teacher.middle_layers)["patches"]  # (2, L, 64, D)
    layers = [np.asarray(layer) for layer in np.moveaxis(np.asarray(tokens), 1, 0)]
    for row in range(GRID):
        for column in range(GRID):
            cells = [8 * (2 * row + i) + 2 * column + j for i in range(2) for j in range(2)]
            expected = np.concatenate([layer[:, cells].mean(axis=1) for layer in layers], axis=-1)
            np.testing.assert_allclose(found["patches"][:, GRID * row + column], expected, atol=1e-5)
    np.testing.assert_allclose(found["image"], teacher.encode_image(images), atol=1e-5)


def test_a_teacher_whose_patches_do_not_fit(teacher):
    with pytest.raises(InputError, match=r"--teacher=.*8 x 8 patches do not divide the model's 3 x 3"):
        feature_shapes(teacher, 32, 3)


def test_the_store_holds_crops_with_their_features(teacher, crops):
    assert crops.store.arrays["ready"].all()
    for number in (0, 19):
        item = crops.store.read(number)
        np.testing.assert_array_equal(item["crop"], crops.draw.image(7, number, 32))
        (image,) = np.asarray(teacher.encode_image(item["crop"][None]))
        np.testing.assert_allclose(item["image"], image, rtol=2e-3, atol=2e-3)  # stored as float16
    assert len({item.tobytes() for item in crops.store.arrays["crop"]}) == 20


def test_an_interrupted_store_is_resumed(crops, tmp_path):
    part = dataclasses.replace(crops, directory=tmp_path, size=3)
    part.fill(0)
    part.store.arrays["ready"][1] = 0
    part.store.arrays["image"][:] = 7
    again = dataclasses.replace(part)
    again.fill(0)
    assert (again.store.arrays["image"][[0, 2]] == 7).all()
    np.testing.assert_array_equal(again.store.arrays["image"][1], crops.store.arrays["image"][1])


def test_the_share_of_rendered_crops(crops):
    """A photograph here has squares of 8 pixels; with a share of 1 no photograph is read."""
    rendered = Draw((("missing.png",),), 1.0)
    assert rendered.image(0, 0, 32).shape == (32, 32, 3)
    with pytest.raises(InputError, match=r"missing\.png"):
        Draw((("missing.png",),), 0.0).image(0, 0, 32)


def test_moments(crops):
    for name, (mean, deviation) in crops.moments().items():
        rows = crops.store.arrays[name].astype(np.float64).reshape(-1, mean.size)
        np.testing.assert_allclose(mean, rows.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(deviation, np.maximum(rows.std(axis=0), 1e-3), rtol=1e-4)


@pytest.mark.parametrize("on_accelerator", [False, True])
def test_batches_go_on_from_the_first_crop_after_the_last(crops, on_accelerator, monkeypatch):
    monkeypatch.setattr(array_store, "free_device_memory", lambda: 10**9 * on_accelerator)
    batch = dataclasses.replace(crops).batch(58, 4)  # of 20 crops
    assert set(batch) == {"teacher_crop", *TERMS}
    assert isinstance(batch["teacher_crop"], jax.Array) == on_accelerator
    for row, number in enumerate((18, 19, 0, 1)):
        for name, value in crops.store.read(number).items():
            np.testing.assert_array_equal(batch[f"teacher_{name}"][row], value)


def test_the_terms_are_shares_of_the_variance(crops):
    """They are 1 for heads of zeros, and the error of the predictions for others."""
    shape = small_config(600)
    shape = dataclasses.replace(shape, vision=dataclasses.replace(shape.vision, layers=LAYERS))
    student = random_clip(shape, 3)
    params = student.params["vision"]
    heads, moments = teacher_heads(crops, LAYERS, 16), crops.moments()
    batch = crops.batch(0, crops.size)
    errors = jax.jit(
        lambda heads: teacher_errors(student.vision().bind({"params": params}), heads, batch, moments)
    )
    for term in TERMS:
        assert float(errors(heads)[term]) == pytest.approx(1, rel=0.02)
    vision = student.vision().bind({"params": params})
    _, layers = vision.transform(vision.embed(batch["teacher_crop"]))
    tokens = [np.asarray(vision.norm(layers[layer_name(n)]), np.float64) for n in (1, 2, 3)]
    patches = [fitted(x[:, 1:].reshape(-1, 16), wanted(crops, "patches")) for x in tokens]
    kernels, biases, patch_errors = zip(*patches, strict=True)
    heads["patches_head"] = {"kernel": np.stack(kernels), "bias": np.stack(biases)[:, None, None]}
    kernel, bias, image_error = fitted(tokens[-1][:, 0], wanted(crops, "image"))
    heads["image_head"] = {"kernel": kernel, "bias": bias}
    found = errors(heads)
    shares = held_out_errors(student.vision(), params, heads, crops, moments)
    for term, expected in zip(TERMS, (np.mean(patch_errors), image_error), strict=True):
        assert float(found[term]) == pytest.approx(expected, abs=1e-4)
        assert shares[term] == pytest.approx(expected, abs=1e-2)  # the same crops, whose variance is 1


def wanted(crops: Crops, name: str) -> np.ndarray:
    mean, deviation = crops.moments()[name]
    return (crops.store.arrays[name].astype(np.float64).reshape(-1, mean.size) - mean) / deviation


def fitted(inputs: np.ndarray, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the kernel and the bias of a head, and its error."""
    rows = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    best, *_ = np.linalg.lstsq(rows, outputs, rcond=1e-2)  # of small weights
    error = ((rows @ best - outputs) ** 2).mean()
    return best[:-1].astype(np.float32), best[-1].astype(np.float32), error
