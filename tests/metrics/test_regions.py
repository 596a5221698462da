"""AUPRO against the curve drawn by its definition."""

import numpy as np
import pytest

from tests.metrics.brute_force import aupro as drawn_aupro
from tests.metrics.brute_force import regions_of
from vlmad_jax.metrics.ranking import rank
from vlmad_jax.metrics.regions import aupro, label_regions

EXACT = 1e-12


def computed_aupro(maps, masks, limit=0.3):
    return aupro(rank(maps.ravel(), label_regions(masks).ravel()), limit)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distinct", [2, 3, 20, 100_000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_agrees_with_the_drawn_curve(dtype, distinct, seed):
    random = np.random.default_rng(seed)
    masks = (random.random((4, 9, 9)) < 0.2).astype(np.uint8)
    masks[0] = 0  # a good image
    maps = (random.integers(0, distinct, masks.shape) * (1 + masks) / distinct).astype(dtype)
    assert computed_aupro(maps, masks) == pytest.approx(drawn_aupro(maps, masks), abs=EXACT)


@pytest.mark.parametrize("limit", [0.01, 0.25, 0.3, 1.0])
def test_limits_between_and_on_the_rates(limit):
    random = np.random.default_rng(3)
    masks = np.zeros((1, 4, 6), np.uint8)
    masks[0, :2, :2] = 1  # leaves 20 normal pixels, so that 0.25 and 0.3 are rates of the curve
    maps = random.permutation(24).reshape(masks.shape).astype(np.float32)
    assert computed_aupro(maps, masks, limit) == pytest.approx(drawn_aupro(maps, masks, limit), abs=EXACT)


def test_single_region_perfectly_found():
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[1, 2:4, 2:5] = 255
    assert computed_aupro(masks.astype(np.float32), masks) == pytest.approx(1.0, abs=EXACT)
    assert computed_aupro(-masks.astype(np.float32), masks) == 0.0


def test_region_of_one_pixel():
    masks = np.zeros((1, 5, 5), np.uint8)
    masks[0, 4, 4] = 1
    maps = np.arange(25, dtype=np.float32).reshape(1, 5, 5)
    maps[0, 4, 4] = 21.5  # two of 24 normal pixels score more
    assert computed_aupro(maps, masks) == pytest.approx((0.3 - 2 / 24) / 0.3, abs=EXACT)


def test_constant_map_is_the_diagonal():
    masks = np.zeros((3, 6, 6), np.uint8)
    masks[2, :3] = 1
    assert computed_aupro(np.zeros(masks.shape, np.float32), masks) == pytest.approx(0.15, abs=EXACT)


def test_regions_weigh_the_same_whatever_their_size():
    masks = np.zeros((1, 10, 10), np.uint8)
    masks[0, :5, :5] = masks[0, 9, 9] = 1
    maps = np.zeros(masks.shape, np.float32)
    maps[0, :5, :5] = 1  # the large one is found at once, the small one with everything else
    assert computed_aupro(maps, masks) == pytest.approx((1 + 0.15) / 2, abs=EXACT)


def test_corners_join_regions_and_images_do_not():
    masks = np.zeros((3, 4, 4), np.uint8)
    masks[0, 0, 0] = masks[0, 1, 1] = masks[0, 2, 0] = 1  # one region by its corners
    masks[0, 3, 3] = masks[1, 3, 3] = 1  # the same place in two images
    labels = label_regions(masks)
    assert labels.max() == sum(len(regions_of(mask)) for mask in masks) == 3
    assert labels[0, 0, 0] == labels[0, 1, 1] == labels[0, 2, 0]
    assert labels[0, 3, 3] != labels[1, 3, 3]


@pytest.mark.parametrize("value", [0, 1])
def test_undefined_without_regions_or_without_normal_pixels(value):
    masks = np.full((2, 4, 4), value, np.uint8)
    assert computed_aupro(np.zeros(masks.shape, np.float32), masks) is None
