"""The contrast of a defect: its colours equal scikit-image's, its figures those worked out by hand."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from vlmad_jax.studies.definitions import RING, contrast, to_lab


def test_colours_equal_scikit_image():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    pixels[0, :3] = [[0, 0, 0], [255, 255, 255], [10, 10, 10]]
    np.testing.assert_allclose(to_lab(pixels), rgb2lab(pixels), atol=1e-3)


def square(inside: int, around: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A grey square on a chequered ground of two greys, and its mask."""
    rows, columns = np.indices((64, 64))
    image = np.where((rows + columns) % 2, around[0], around[1])
    mask = np.zeros((64, 64), np.uint8)
    mask[24:40, 24:40] = 1
    image[mask == 1] = inside
    return np.repeat(image[..., None], 3, axis=-1).astype(np.uint8), mask


def lightness(grey: int) -> float:
    return float(rgb2lab(np.full((1, 1, 3), grey, np.uint8))[0, 0, 0])


def test_contrast_is_the_difference_for_the_spread_of_the_ring():
    ground = lightness(100), lightness(140)
    spread = abs(ground[0] - ground[1]) / 2
    expected = abs(lightness(200) - np.mean(ground)) / spread
    assert contrast(*square(200, (100, 140))) == pytest.approx(expected, abs=1e-3)
    # Nothing further away than the ring counts.
    image, mask = square(200, (100, 140))
    far = np.ones((64, 64), bool)
    far[24 - RING : 40 + RING, 24 - RING : 40 + RING] = False
    image[far] = 255
    assert contrast(image, mask) == pytest.approx(expected, abs=1e-3)


def test_an_even_ground_counts_as_varying_a_little():
    expected = abs(lightness(101) - lightness(100))
    assert contrast(*square(101, (100, 100))) == pytest.approx(expected, abs=1e-3)
    assert contrast(*square(100, (100, 100))) == pytest.approx(0, abs=1e-9)


def test_undefined():
    image, mask = square(200, (100, 140))
    assert contrast(image, np.zeros_like(mask)) is None
    assert contrast(image, np.ones_like(mask)) is None
