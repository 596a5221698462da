"""Rotated images against those that OpenCV and Pillow made."""

import numpy as np
from PIL import Image

from tests.golden import case
from vlmad_jax.data.rotation import rotate_mirrored, rotate_on_black

ANGLES = (0, 45, 90, 135, 180, 225, 270, 315)


def test_opencvs_rotation_to_the_bit() -> None:
    arrays = case("anomalydino").arrays
    stored = arrays["rotated_reference_uint8"].reshape(2, 8, 98, 98, 3)
    for number, angle in enumerate(ANGLES):
        found = rotate_mirrored(arrays["reference_uint8"], angle)
        np.testing.assert_array_equal(found, stored[:, number])


def test_a_half_turn_shifts_by_a_pixel_and_mirrors() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(1, 4, 6, 3)
    turned = rotate_mirrored(image, 180)
    np.testing.assert_array_equal(turned[0, 1:, 1:], image[0, :0:-1, :0:-1])
    np.testing.assert_array_equal(turned[0, 0, 1:], image[0, 2, :0:-1])  # row 4 is mirrored to row 2
    assert rotate_mirrored(image, 30).shape == image.shape


def test_pillows_rotation_to_the_bit() -> None:
    arrays, setting = case("subspacead").arrays, case("subspacead").setting
    for image, copies, angles in zip(
        arrays["reference_uint8"],
        arrays["augmented_reference_uint8"],
        setting["augmentation_angles"],
        strict=True,
    ):
        for copy, angle in zip(copies, angles, strict=True):
            np.testing.assert_array_equal(rotate_on_black(image[None], angle)[0], copy)
    white = np.full((1, 20, 20, 3), 255, np.uint8)
    assert (rotate_on_black(white, 45)[0, [0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    np.testing.assert_array_equal(rotate_on_black(image[None], 90)[0], Image.fromarray(image).rotate(90))
