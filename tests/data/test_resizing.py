"""Images of any proportions, their masks and batches."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import made_image, mask, save
from vlmad_jax import InputError, load_dataset, read_image
from vlmad_jax.data.images import resize_image
from vlmad_jax.data.pipeline import ReadImage, batches
from vlmad_jax.data.resizing import Resizing, check_resize, common_size, sizes_of


def test_the_longer_edge_keeps_the_proportions_and_whole_patches_remain() -> None:
    wide = Resizing.shorter(448, 14, (900, 1600))
    assert (wide.whole, wide.cut) == ((448, 796), (448, 784))
    tall = Resizing.shorter(60, 8, (1600, 900))
    assert (tall.whole, tall.cut) == ((106, 60), (104, 56))
    assert Resizing.shorter(64, 8, (20, 20)) == Resizing.to(64)


def test_images_and_masks_are_resized_and_cut_alike() -> None:
    resizing = Resizing.shorter(16, 8, (10, 17))
    assert (resizing.whole, resizing.cut) == ((16, 27), (16, 24))
    image, drawn = made_image(0, (17, 10)), np.zeros((10, 17), np.uint8)
    drawn[:, :9] = 1
    by_hand = image.resize((27, 16), Image.Resampling.BICUBIC).crop((0, 0, 24, 16))
    np.testing.assert_array_equal(resizing.image(image), np.asarray(by_hand))
    small = Image.fromarray(drawn).resize((27, 16), Image.Resampling.NEAREST).crop((0, 0, 24, 16))
    np.testing.assert_array_equal(resizing.mask(drawn), np.asarray(small))
    in_the_border = np.zeros((10, 17), np.uint8)
    in_the_border[:, 16] = 1
    assert not resizing.mask(in_the_border).any()


def test_a_backbone_names_its_filter(tmp_path: Path) -> None:
    image = made_image(1, (40, 30))
    by_hand = np.asarray(image.resize((12, 10), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize_image(image, (10, 12), "bilinear"), by_hand)
    np.testing.assert_array_equal(Resizing.to((10, 12), "bilinear").image(image), by_hand)
    path = save(image, tmp_path / "a.png")
    np.testing.assert_array_equal(ReadImage((10, 12), "bilinear")(str(path))["image"], by_hand)
    np.testing.assert_array_equal(read_image(path, (10, 12), "bilinear"), by_hand)
    assert read_image(path, (10, 12)).shape == (10, 12, 3)
    assert (read_image(path, (10, 12)) != by_hand).any()


def test_each_group_has_its_own_shape(products: Path) -> None:
    groups = [load_dataset("folder", products).select(name, "test") for name in ("bottle", "metal_nut")]
    sizes = [Resizing.to((8, 16)), Resizing.shorter(10, 4, (10, 12))]
    found = list(batches(groups, sizes, 3, workers=0, with_masks=True))
    assert [batch.image.shape for batch in found] == [(3, 8, 16, 3)] * 2 + [(3, 8, 12, 3)] * 2
    assert [batch.mask.shape for batch in found] == [(3, 8, 16)] * 2 + [(3, 8, 12)] * 2
    last = groups[1][found[2].index[0]]
    with Image.open(last.path) as image:
        np.testing.assert_array_equal(found[2].image[0], sizes[1].image(image.convert("RGB")))
    marked = next(k for k, sample in enumerate(groups[1]) if sample.masks)
    np.testing.assert_array_equal(found[2 + marked // 3].mask[marked % 3], sizes[1].mask(np.asarray(mask(1))))


def test_the_median_proportions_are_taken_and_others_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert common_size([(10, 20), (100, 201), (30, 30)], "nut") == (10, 20)
    assert capsys.readouterr().err == (
        "nut: 1 of 3 images have other proportions than 20 x 10 pixels and are stretched to these\n"
    )
    assert common_size([(30, 30), (10, 20), (10, 20)]) == (10, 20)
    assert common_size([(10, 20), (20, 40)], "nut") == (10, 20)
    assert capsys.readouterr().err == ""
    path = save(made_image(0, (7, 5)), tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"?")
    assert sizes_of([str(path), str(tmp_path / "b.png")]) == [(5, 7)]


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(InputError, match="--resize=longer: give square or shorter"):
        check_resize("longer")
