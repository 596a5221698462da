"""Tests of the views of stored pairs."""

import itertools

import jax
import numpy as np
import pytest
from PIL import Image

from vlmad_jax.backbones.plan import Plan, using
from vlmad_jax.pretraining.views import (
    CELLS,
    SMALLEST_CROP,
    View,
    cell_means,
    draw_crop,
    draw_tones,
    draw_view,
    show,
    show_share,
)

SIDE = 64
SAME_TONES = np.arange(256, dtype=np.uint8)
SAME_CHANNELS = np.arange(3, dtype=np.int32)


def view(crop=(0, 0, CELLS), mirror=False, quarters=0, channels=SAME_CHANNELS, tones=SAME_TONES) -> View:
    return View(np.array(crop, np.int32), np.bool_(mirror), np.int32(quarters), np.array(channels), tones)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def share() -> np.ndarray:
    found = np.zeros((CELLS, CELLS), np.float32)
    found[20:25, 3:9] = np.random.default_rng(1).random((5, 6))
    return found


def batch(views: list[View]) -> View:
    return jax.tree.map(lambda *x: np.stack(x), *views)


def test_images_and_masks_are_mirrored_turned_and_recoloured(images, share):
    ways = itertools.product((False, True), range(4), ([0, 1, 2], [2, 0, 1]))
    tones = draw_tones(np.random.default_rng(2))
    views = [view(mirror=m, quarters=k, channels=c, tones=tones) for m, k, c in ways]
    for image, one, shown in zip(images, views, show(images, batch(views)), strict=True):
        step = -1 if one.mirror else 1
        expected = tones[np.rot90(image[:, ::step], one.quarters)][..., one.channels]
        np.testing.assert_array_equal(shown, expected, strict=True)
        np.testing.assert_array_equal(
            show_share(share, one, 8), np.rot90(cell_means(share, 8)[:, ::step], one.quarters)
        )


def test_a_crop_is_enlarged_as_by_pillow(images, share):
    """Near its border the crop uses pixels beside it, which Pillow does not see.

    Pillow rounds and clips after each axis, so that levels near 0 and 255 would differ more.
    """
    images = images // 4 + 96
    views = [view((2, 4, 28)), view((9, 0, 20))]
    for image, one, shown in zip(images[:2], views, show(images[:2], batch(views)), strict=True):
        top, left, size = one.crop
        pixels = image[2 * top : 2 * (top + size), 2 * left : 2 * (left + size)]
        expected = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        inside = slice(8, SIDE - 8)
        difference = shown[inside, inside].astype(int) - expected[inside, inside]
        assert np.abs(difference).max() <= 1
    means = share[2:30, 4:32].reshape(4, 7, 4, 7).mean(axis=(1, 3))
    np.testing.assert_allclose(show_share(share, views[0], 4), means, atol=1e-6)


def test_an_image_and_its_mask_are_shown_alike(share):
    """An image of the shares has, in any view, about the shares of that view."""
    pixels = np.kron(share, np.full((2, 2), 255)).astype(np.uint8)[..., None].repeat(3, axis=-1)
    views = [draw_view(np.random.default_rng(seed), share)._replace(tones=SAME_TONES) for seed in range(80)]
    cropped = [one for one in views if one.crop[2] < CELLS]
    assert len({(bool(one.mirror), int(one.quarters)) for one in cropped}) == 8
    for one, shown in zip(views, show(np.stack([pixels] * 80), batch(views)), strict=True):
        means = np.asarray(shown[..., 0], np.float32).reshape(8, 8, 8, 8).mean(axis=(1, 3)) / 255
        np.testing.assert_allclose(means, show_share(share, one, 8), atol=0.3)  # blurred by enlarging
        assert means.max() > 0.3


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
def test_a_plan_changes_no_pixel(platform, images, share):
    views = batch([draw_view(np.random.default_rng(seed), share) for seed in range(16)])
    with using(Plan(platform, 1024, 1024)):
        shown = jax.jit(show.__wrapped__)(images, views)
    np.testing.assert_array_equal(shown, show(images, views))


def test_a_view_is_a_function_of_the_random_numbers(share):
    views = [draw_view(np.random.default_rng(seed), share) for seed in (1, 1, *range(2, 200))]
    for a, b in zip(views[0], views[1], strict=True):
        np.testing.assert_array_equal(a, b)
    for name in View._fields:
        different = {np.asarray(getattr(x, name)).tobytes() for x in views}
        assert len(different) >= {"mirror": 2, "quarters": 4, "channels": 6}.get(name, 50)


def test_crops_keep_most_of_the_defect(share):
    sizes = set()
    for seed in range(100):
        top, left, size = draw_crop(np.random.default_rng(seed), share)
        assert min(top, left) >= 0
        assert max(top, left) + size <= CELLS
        assert share[top : top + size, left : left + size].sum() > share.sum() / 2
        sizes.add(size)
    assert min(sizes) >= SMALLEST_CROP
    assert len(sizes) > 5
    assert max(sizes) == CELLS


def test_tones_keep_their_order():
    for seed in range(20):
        tones = draw_tones(np.random.default_rng(seed))
        assert (tones.shape, tones.dtype) == ((256,), np.uint8)
        assert (np.diff(tones.astype(int)) >= 0).all()
        assert tones[0] == 0
        assert 40 < tones[128] < 220
