"""Each mask is matched with one image; an ambiguous mask is refused."""

import unicodedata

import pytest

from vlmad_jax.data.masks import match_masks
from vlmad_jax.errors import InputError

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("images", "masks", "expected"),
    [
        (["000.png"], ["000_mask.png"], {"000.png": ["000_mask.png"]}),
        (["000.jpg"], ["000.png"], {"000.jpg": ["000.png"]}),
        (["000.png"], ["000/000.png", "000/001.png"], {"000.png": ["000/000.png", "000/001.png"]}),
        (["000.png"], ["000_mask.png", "000/1.png"], {"000.png": ["000/1.png", "000_mask.png"]}),
        (["lot2/000.png"], ["lot2/000_mask.png"], {"lot2/000.png": ["lot2/000_mask.png"]}),
        (["lot2/000.png"], ["lot2/000/0.png"], {"lot2/000.png": ["lot2/000/0.png"]}),
        (
            ["lot1/000.png", "lot2/000.png"],
            ["lot1/000_mask.png", "lot2/000_mask.png"],
            {"lot1/000.png": ["lot1/000_mask.png"], "lot2/000.png": ["lot2/000_mask.png"]},
        ),
        # An image in a folder takes precedence over a folder of masks named after another image.
        (["000.png", "000/000.png"], ["000/000.png"], {"000/000.png": ["000/000.png"]}),
        ([f"{NFC}.png"], [f"{NFD}_mask.png"], {f"{NFC}.png": [f"{NFD}_mask.png"]}),
        ([f"{NFD}/0.png"], [f"{NFC}/0.png"], {f"{NFD}/0.png": [f"{NFC}/0.png"]}),
        ([f"{NFD}.png"], [f"{NFC}/0.png"], {f"{NFD}.png": [f"{NFC}/0.png"]}),
        (
            [f"{NFC}.png", f"{NFD}.png"],
            [f"{NFD}_mask.png"],
            {f"{NFD}.png": [f"{NFD}_mask.png"]},
        ),
        (["000.jpg", "000.png"], ["000.jpg.png"], {"000.jpg": ["000.jpg.png"]}),
        (["000.jpg", "000.png"], ["000.jpg_mask.png"], {"000.jpg": ["000.jpg_mask.png"]}),
        (["000.jpg", "000.png"], ["000.jpg/0.png"], {"000.jpg": ["000.jpg/0.png"]}),
        (
            ["000.jpg", "000.png"],
            ["000_mask.jpg", "000_mask.png"],
            {"000.jpg": ["000_mask.jpg"], "000.png": ["000_mask.png"]},
        ),
        (
            ["000.jpg", "000.png"],
            ["000.jpg_mask.png", "000_mask.png"],
            {"000.jpg": ["000.jpg_mask.png"], "000.png": ["000_mask.png"]},
        ),
        (["A.png", "a.PNG"], ["A_mask.png"], {"A.png": ["A_mask.png"]}),
        (["000_mask.png"], ["000_mask.png"], {"000_mask.png": ["000_mask.png"]}),
        (["000_mask.png"], ["000_mask_mask.png"], {"000_mask.png": ["000_mask_mask.png"]}),
        (
            ["foo.png", "foo_mask.png"],
            ["foo_mask.png", "foo_mask_mask.png"],
            {"foo.png": ["foo_mask.png"], "foo_mask.png": ["foo_mask_mask.png"]},
        ),
        (
            ["foo.png", "foo_mask.png"],
            ["foo.png", "foo_mask.png"],
            {"foo.png": ["foo.png"], "foo_mask.png": ["foo_mask.png"]},
        ),
    ],
)
def test_each_mask_finds_its_image(
    images: list[str], masks: list[str], expected: dict[str, list[str]]
) -> None:
    for order in (1, -1):
        found = match_masks(images[::order], masks[::order])
        assert {image: list(paths) for image, paths in found.masks.items()} == expected
        assert found.unmatched == ()


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (
            ["000.jpg", "000.png"],
            ["000_mask.png"],
            "000_mask.png: may be the mask of 000.jpg and 000.png; name it .*000.jpg_mask.png",
        ),
        (["000.jpg", "000.png"], ["000.png"], "000.png: may be the mask of 000.jpg and 000.png"),
        (["000.jpg", "000.png"], ["000/0.png"], "000/0.png: may be the mask of 000.jpg and 000.png"),
        (
            ["foo.png", "foo_mask.png"],
            ["foo_mask.png"],
            "may be the mask of foo.png and foo_mask.png|foo_mask",
        ),
        (["000.png"], ["000.png", "000_mask.png"], "000.png and 000_mask.png are both the mask of 000.png"),
        (
            ["000.jpg", "000.png"],
            ["000.png", "000_mask.png"],
            "000.png: may be the mask of 000.jpg and 000.png",
        ),
    ],
)
def test_an_ambiguous_mask_is_refused(images: list[str], masks: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        match_masks(images, masks)
    assert "\n" not in str(raised.value)


def test_masks_of_no_image_are_unmatched() -> None:
    found = match_masks(["000.png"], ["001_mask.png", "002/0.png", "lot2/000_mask.png", "000_mask.png"])
    assert found.unmatched == ("001_mask.png", "002/0.png", "lot2/000_mask.png")
    assert found.masks == {"000.png": ("000_mask.png",)}
