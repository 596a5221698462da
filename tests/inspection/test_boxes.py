"""Boxes around the regions of known maps."""

import numpy as np

from tests.inspection.brightness import detector
from vlmad_jax.inspection import Box, boxes_of


def test_regions_of_a_known_map():
    known = np.zeros((8, 10), np.float32)
    known[1, 1], known[2, 2] = 0.7, 0.9  # touch by a corner: one region
    known[5:7, 6:9] = 0.8
    known[0, 9] = 0.5  # at the threshold, not above
    assert boxes_of(known, 0.5, (8, 10)) == (
        Box(1, 1, 2, 2, float(np.float32(0.9))),
        Box(6, 5, 3, 2, float(np.float32(0.8))),
    )
    assert boxes_of(known, 0.9, (8, 10)) == ()


def test_boxes_are_in_pixels_of_the_image_rounded_outwards():
    known = np.zeros((8, 8), np.float32)
    known[3, 5] = 1
    assert boxes_of(known, 0.5, (80, 800)) == (Box(500, 30, 100, 10, 1.0),)
    assert boxes_of(known, 0.5, (3, 5)) == (Box(3, 1, 1, 1, 1.0),)  # columns 3.125 to 3.75, rows 1.125 to 1.5


def test_the_whole_image_is_a_region_too():
    assert boxes_of(np.ones((4, 4)), 0.5, (40, 30)) == (Box(0, 0, 30, 40, 1.0),)


def test_a_detector_finds_a_spot_where_it_is():
    image = np.zeros((160, 320), np.uint8)
    image[40:80, 200:240] = 255
    result = detector()(image)
    (box,) = result.boxes
    assert (box.x, box.y, box.width, box.height) == (200, 40, 40, 40)
    assert result.map[60, 220] > 0.9
    assert result.map[100, 60] < 0.1
