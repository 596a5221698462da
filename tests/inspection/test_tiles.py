"""Tiles cover the canvas, and their scores and maps are joined to those of the image."""

import numpy as np
import pytest

from tests.inspection.brightness import SIDE, detector
from vlmad_jax import InputError
from vlmad_jax.inspection.tiles import Tiling
from vlmad_jax.methods import Scores

TILING = Tiling(rows=2, columns=3, size=16, overlap=4)


def test_tiles_are_cut_row_by_row():
    assert TILING.canvas == (28, 40)
    canvases = np.random.default_rng(0).integers(0, 256, (2, *TILING.canvas, 3), np.uint8)
    tiles = TILING.cut(canvases)
    assert tiles.shape == (12, 16, 16, 3)
    assert np.array_equal(tiles[6 + 4], canvases[1, 12:28, 12:28])


def test_a_known_map_is_stitched_from_its_tiles():
    rng = np.random.default_rng(1)
    known = rng.random((2, *TILING.canvas, 1)).astype(np.float32)
    joined = TILING.join(Scores(rng.random(12), TILING.cut(known)[..., 0]))
    np.testing.assert_allclose(joined.map, known[..., 0], atol=1e-6)


def test_weights_go_over_smoothly_and_add_up_to_one():
    steps = np.zeros((6, 16, 16), np.float32)
    steps[[1, 4]] = 1  # the tiles in the middle column
    (row,) = np.asarray(TILING.stitch(steps))[:, 14]
    expected = np.sin(np.pi / 2 * (np.arange(4) + 0.5) / 4) ** 2
    np.testing.assert_allclose(row[12:16], expected, atol=1e-6)
    np.testing.assert_allclose(row[24:28], expected[::-1], atol=1e-6)
    assert row[:12].max() == 0
    np.testing.assert_allclose(row[16:24], 1, atol=1e-6)


def test_a_image_is_as_bad_as_its_worst_tile():
    scores = np.arange(12.0)
    joined = TILING.join(Scores(scores, np.zeros((12, 16, 16), np.float32)))
    assert joined.image.tolist() == [5, 11]


def test_a_small_defect_survives_in_tiles():
    image = np.zeros((160, 160), np.uint8)
    image[41:45, 101:105] = 255
    whole, tiled = detector(), detector(Tiling.of(8, 8, SIDE))
    assert not whole(image).bad  # shrunk tenfold, 16 pixels are a sixth of one
    found = tiled(image)
    assert found.bad
    (box,) = found.boxes
    assert (box.x <= 101, box.y <= 41, box.x + box.width >= 105, box.y + box.height >= 45) == (True,) * 4
    assert max(box.width, box.height) <= 8


def test_what_a_user_may_ask_for():
    assert Tiling.choose("2x5", 16, []) == Tiling.of(2, 5, 16)
    assert Tiling.choose("3", 16, []).count == 9
    assert Tiling.choose("auto", 128, [(500, 512)] * 3) == Tiling.of(1, 1, 128)
    assert Tiling.choose("auto", 128, [(2048, 1000), (2048, 1000), (100, 100)]) == Tiling.of(2, 4, 128)
    assert Tiling.choose("auto", 128, [(99_999, 1)]) == Tiling.of(1, 8, 128)
    for wanted in ("", "x", "0", "2x", "-1", "1.5", "many"):
        with pytest.raises(InputError, match=f"--tiles={wanted}: give "):
            Tiling.choose(wanted, 16, [])
    with pytest.raises(InputError, match="give 1 to 8 a side"):
        Tiling.choose("9", 16, [])
