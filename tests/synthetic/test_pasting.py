"""Pasted defects have exact masks and the published sizes."""

import numpy as np
import pytest
from scipy.ndimage import label, maximum_filter

from vlmad_jax.errors import InputError
from vlmad_jax.synthetic import make_product, render_good
from vlmad_jax.synthetic.pasting import KINDS, VISIBLE, is_grey, paste

SIZE = 96


def noise(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def gears() -> tuple[np.ndarray, np.ndarray]:
    product = make_product("gear", 0)
    return render_good(product, 1, SIZE), render_good(product, 2, SIZE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_where_the_images_differ(kind: str, gears: tuple[np.ndarray, np.ndarray]) -> None:
    for seed in range(12):
        image, mask = paste(np.random.default_rng(seed), *gears, kind)
        assert (image.dtype, mask.dtype, mask.shape) == (np.uint8, np.uint8, (SIZE, SIZE))
        change = np.abs(image.astype(int) - gears[0]).max(axis=-1)
        assert set(np.unique(mask)) == {0, 1}
        assert not change[mask == 0].any()
        visible = change >= VISIBLE
        assert visible.sum() >= 0.5 * mask.sum()
        # The rest of the mask is in gaps of 96 / 64 pixels, so a visible pixel is at most 2 pixels away.
        assert (maximum_filter(visible, 5) >= mask).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_defect(kind: str, gears: tuple[np.ndarray, np.ndarray]) -> None:
    before = gears[0].copy()
    drawn = [paste(np.random.default_rng(seed), *gears, kind) for seed in (3, 3, 4)]
    for a, b in zip(drawn[0], drawn[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert (drawn[0][0] != drawn[2][0]).any()
    np.testing.assert_array_equal(gears[0], before)
    other = paste(np.random.default_rng(3), gears[0], noise(1), kind)
    assert (drawn[0][0] != other[0]).any()


def regions(kind: str, size: int) -> list[np.ndarray]:
    a, b = noise(0, size), noise(1, size)
    return [KINDS[kind](np.random.default_rng(seed), a, b, 1.0)[1] for seed in range(200)]


def test_patches_have_the_published_sizes() -> None:
    found = regions("patch", 256)
    shares = np.array([region.mean() for region in found])
    sides = np.array([(region.any(axis=1).sum(), region.any(axis=0).sum()) for region in found])
    np.testing.assert_array_equal(sides.prod(axis=1), shares * 256**2)  # whole rectangles
    # Half a pixel of rounding on sides of at least 19.
    assert 0.0195 <= shares.min() < 0.025
    assert 0.14 < shares.max() <= 0.1525
    aspects = sides[:, 0] / sides[:, 1]
    assert 0.29 <= aspects.min() < 0.35
    assert 2.9 < aspects.max() <= 3.4


def test_scars_have_the_published_sizes_in_proportion() -> None:
    for size in (256, 512):
        found = regions("scar", size)
        areas = np.array([region.sum() for region in found]) * (256 / size) ** 2
        assert areas.min() >= 2 * 10 * 0.8
        assert areas.max() <= 16 * 25 * 1.1
        assert 120 < areas.mean() < 190  # 9 x 17.5
        assert all(label(region, np.ones((3, 3)))[1] == 1 for region in found)
        # Turned by at most 45 degrees: none is longer than its diagonal, and many are not upright.
        heights = np.array([np.ptp(np.nonzero(region)[0]) for region in found]) * 256 / size
        assert heights.max() <= np.hypot(16, 25) + 1


def test_blots_have_the_drawn_share_of_the_area() -> None:
    shares = np.array([region.mean() for region in regions("blend", 64)])
    assert 0.0095 <= shares.min() < 0.02
    assert 0.1 < shares.max() <= 0.151


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_defect_is_visible_on_a_blank_image(kind: str, value: int) -> None:
    blank = np.full((48, 48, 3), value, np.uint8)
    image, mask = paste(np.random.default_rng(0), blank, blank, kind)
    assert mask.any()
    assert (np.abs(image.astype(int) - value).max(axis=-1) >= VISIBLE)[mask > 0].mean() >= 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_a_grey_image_stays_grey(kind: str) -> None:
    grey = noise(0)[..., :1].repeat(3, axis=-1)
    for seed in range(5):
        assert is_grey(paste(np.random.default_rng(seed), grey, grey[::-1], kind)[0])


def test_bad_input() -> None:
    with pytest.raises(InputError, match="kind of defect 'burn' is not one of patch, scar, blend"):
        paste(np.random.default_rng(0), noise(0), noise(1), "burn")
    with pytest.raises(InputError, match=r"image \(96, 96, 3\) and source \(48, 48, 3\) differ"):
        paste(np.random.default_rng(0), noise(0), noise(1, 48), "patch")
