"""Tests that rendering is pure and the same at every size, and that masks cover each family's defects."""

import subprocess
import sys
import zlib

import numpy as np
import pytest

from vlmad_jax import synthetic as rendering
from vlmad_jax.errors import InputError
from vlmad_jax.synthetic import pairs

ALL = rendering.TRAIN_FAMILIES + rendering.TEST_FAMILIES


def pair(family: str, defect: str, size: int = 64, product: int = 0, image: int = 0):
    return rendering.render_pair(rendering.make_product(family, product), defect, image, size)


def without_noise(image, camera, rng):
    return np.rint(image * 255).astype(np.uint8).transpose(1, 2, 0)


def test_the_families_and_defects_and_their_split():
    assert len(rendering.TRAIN_TEXTURES) == 22
    assert len(rendering.TRAIN_INVENTIONS) == 4
    assert len(rendering.TRAIN_FAMILIES) == 62 + 22 + 4
    assert len(rendering.TEST_FAMILIES) == 8
    assert not set(rendering.TRAIN_FAMILIES) & set(rendering.TEST_FAMILIES)
    assert len(rendering.DEFECTS) == 23
    used = {defect for family in ALL for defect in rendering.defects_of(family)}
    assert used == set(rendering.DEFECTS)
    trained = {defect for family in rendering.TRAIN_FAMILIES for defect in rendering.defects_of(family)}
    assert {
        defect for family in rendering.TEST_FAMILIES for defect in rendering.defects_of(family)
    } <= trained


def numbered_defects(family):
    return list(enumerate(rendering.defects_of(family)))


def some_defects(family):
    """Every fourth, beginning elsewhere in each family."""
    return numbered_defects(family)[ALL.index(family) % 4 :: 4]


def test_some_defects_are_all_defects_in_some_family():
    assert {defect for family in ALL for _, defect in some_defects(family)} == set(rendering.DEFECTS)
    assert all(map(some_defects, ALL))


@pytest.mark.parametrize("family", ALL)
def test_some_defects_are_visible_under_their_masks_alone(family, monkeypatch):
    check_visible(family, some_defects(family), monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("family", ALL)
def test_each_defect_is_visible_under_its_mask_alone(family, monkeypatch):
    check_visible(family, numbered_defects(family), monkeypatch)


def check_visible(family, defects, monkeypatch):
    monkeypatch.setattr(pairs, "record", without_noise)
    for number, defect in defects:
        normal, anomalous, mask = pair(family, defect, product=number, image=number)
        assert normal.shape == anomalous.shape == (64, 64, 3)
        assert normal.dtype == anomalous.dtype == mask.dtype == np.uint8
        assert mask.shape == (64, 64)
        assert set(np.unique(mask)) == {0, 1}
        assert 0.001 < mask.mean() < 0.35, (defect, mask.mean())
        change = np.abs(normal.astype(float) - anomalous).mean(-1)
        assert change[mask == 1].mean() > 10, (defect, change[mask == 1].mean())
        assert np.median(change[mask == 0]) == 0, defect
        assert change[mask == 0].max() < 0.5 * change[mask == 1].max(), defect


def test_noise_of_the_two_images_of_a_pair_is_independent():
    normal, anomalous, mask = (array.astype(float) for array in pair("painted panel", "crack", 128))
    change = (normal - anomalous)[:, :, 1][mask == 0]
    assert 1 < change.std() < 0.018 * 255 * np.sqrt(2) * 1.2  # two draws of at most 0.018 of full range


def test_the_images_of_a_pair_alone():
    for family, defect in (("gear", "broken part"), ("carpet", "stain")):
        product = rendering.make_product(family, (3, 4))
        normal, *anomalous = rendering.render_pair(product, defect, [7, 8], 64)
        np.testing.assert_array_equal(rendering.render_good(product, [7, 8], 64), normal)
        for alone, of_pair in zip(
            rendering.render_anomalous(product, defect, [7, 8], 64), anomalous, strict=True
        ):
            np.testing.assert_array_equal(alone, of_pair)


def test_pure_function_of_its_arguments_in_any_process():
    def checksum() -> int:
        digest = 0
        for family, defect in (("hex nut", "scratch"), ("label", "smear"), ("cable", "missing part")):
            for array in pair(family, defect, 48):
                digest = zlib.crc32(array.tobytes(), digest)
        return digest

    script = (
        "import zlib\nfrom vlmad_jax import synthetic as rendering\ndigest = 0\n"
        "for family, defect in (('hex nut', 'scratch'), ('label', 'smear'), ('cable', 'missing part')):\n"
        "    for array in rendering.render_pair(rendering.make_product(family, 0), defect, 0, 48):\n"
        "        digest = zlib.crc32(array.tobytes(), digest)\n"
        "print(digest)"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert checksum() == checksum() == int(other.stdout)


def test_seeds_change_the_product_and_the_image():
    for family in ("bolt", "metal plate"):
        product = rendering.make_product(family, 0)
        first = rendering.render_good(product, 0, 64).astype(float)
        assert np.abs(first - rendering.render_good(product, 1, 64)).mean() > 2
        assert np.abs(first - rendering.render_good(rendering.make_product(family, 1), 0, 64)).mean() > 5
    assert rendering.make_product("bolt", (1, 23)) != rendering.make_product("bolt", (12, 3))


@pytest.mark.parametrize("family", ["gear", "leather", "circuit board", "wooden board", "solar cell"])
def test_same_image_at_two_sizes(family):
    defect = rendering.defects_of(family)[0]
    small, large = pair(family, defect, 64), pair(family, defect, 192)
    shrunk = large[1].reshape(64, 3, 64, 3, 3).mean((1, 3))
    correlation = np.corrcoef(small[1].ravel(), shrunk.ravel())[0, 1]
    assert correlation > 0.93
    mask = large[2].reshape(64, 3, 64, 3).mean((1, 3)) > 0.5
    overlap = (mask & (small[2] > 0)).sum() / (mask | (small[2] > 0)).sum()
    assert overlap > 0.4  # a thin line is relatively wider at 64 pixels


def test_masks_keep_their_share_of_the_image_at_every_size():
    shares = [pair("painted panel", "stain", size)[2].mean() for size in (64, 128, 256)]
    np.testing.assert_allclose(shares, shares[0], rtol=0.15)


def test_unknown_names_list_the_choices():
    with pytest.raises(InputError, match=r"unknown family 'spoon': choose one of metal plate, "):
        rendering.make_product("spoon", 0)
    with pytest.raises(InputError, match=r"unknown family 'spoon'"):
        rendering.defects_of("spoon")
    with pytest.raises(InputError, match=r"unknown defect 'fold' of 'gear': choose one of scratch, .*crack"):
        pair("gear", "fold")


def test_a_broken_piece_is_missing_and_the_rest_is_unchanged():
    normal, anomalous, mask = (
        array.astype(float) for array in pair("biscuit", "broken part", 128, product=3)
    )
    corner = mask[:16, :16]
    assert corner.sum() == 0
    assert np.abs(normal - anomalous)[:16, :16].mean() < 6
    assert np.abs(normal - anomalous).mean(-1)[mask == 1].mean() > 20
