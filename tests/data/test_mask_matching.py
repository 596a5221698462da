"""A mask belongs to one image, or it is refused; never is one assigned that may belong to another."""

import unicodedata

import pytest

from vlmad_jax.data.masks import match
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
        # An image in a folder goes before a folder of masks that is called like another image.
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
def test_whose_mask_it_is(images: list[str], masks: list[str], expected: dict[str, list[str]]) -> None:
    for order in (1, -1):
        found = match(images[::order], masks[::order])
        assert {image: list(paths) for image, paths in found.masks.items()} == expected
        assert found.left == ()


@pytest.mark.parametrize(
    ("images", "masks", "message"),
    [
        (
            ["000.jpg", "000.png"],
            ["000_mask.png"],
            "000_mask.png: may be the mask of 000.jpg and 000.png; name it 000.jpg_mask.png, or",
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
def test_what_may_belong_to_several_is_refused(images: list[str], masks: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        match(images, masks)
    assert "\n" not in str(raised.value)


def test_masks_of_no_image_are_left() -> None:
    found = match(["000.png"], ["001_mask.png", "002/0.png", "lot2/000_mask.png", "000_mask.png"])
    assert found.left == ("001_mask.png", "002/0.png", "lot2/000_mask.png")
    assert found.masks == {"000.png": ("000_mask.png",)}
