"""Tests of pairs that are cut from photographs."""

import numpy as np
import pytest
from PIL import Image

from vlmad_jax import synthetic as rendering
from vlmad_jax.pretraining import photographed_pairs as module
from vlmad_jax.pretraining.pairs import FAMILIES, CaptionedPairs, Pool
from vlmad_jax.pretraining.photographed_pairs import (
    PASTED,
    again,
    alike_elsewhere,
    draw_pair,
    with_defect,
)
from vlmad_jax.pretraining.photographs import Square, draw_square

SIZE = (400, 200)


def assert_equal(stored: dict, drawn: dict) -> None:
    for name, x in drawn.items():
        np.testing.assert_array_equal(stored[name], x, err_msg=name)


def random(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    """A photograph without black pixels, brighter from left to right."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    pixels = 90 + x / 4 + 40 * np.stack([np.sin(x / 9), np.sin(y / 7), np.cos(x / 5)])
    return Image.fromarray(pixels.transpose(1, 2, 0).astype(np.uint8))


@pytest.fixture(scope="module")
def groups(photograph, tmp_path_factory) -> list[list[str]]:
    path = str(tmp_path_factory.mktemp("photographs") / "waves.png")
    photograph.save(path)
    return [[path]]


def test_a_square_is_cut_where_it_says(photograph):
    pixels = np.asarray(photograph)
    square = Square(x=130, y=90, side=64, angle=0, mirrored=False)
    shown = np.asarray(square.cut(photograph, 64), float)
    assert np.abs(shown - pixels[58:122, 98:162]).mean() < 0.3
    for change, expected in (
        ({"mirrored": True}, shown[:, ::-1]),
        ({"angle": 90}, np.rot90(shown)),  # the photograph turns against the square
        ({"angle": 90, "mirrored": True}, np.rot90(shown)[:, ::-1]),
    ):
        changed = np.asarray(Square(**{**vars(square), **change}).cut(photograph, 64), float)
        np.testing.assert_allclose(changed, expected, atol=1)


@pytest.mark.parametrize("side", [250, 128, 64, 30])
def test_a_fine_pattern_does_not_alias(side):
    checks = np.indices((512, 512)).sum(0) % 2 * 255
    square = Square(x=256, y=256, side=500, angle=0, mirrored=False)
    shown = np.asarray(square.cut(Image.fromarray(checks.astype(np.uint8)), side), float)
    assert shown.std() < 20
    assert abs(shown.mean() - 127) < 3


def test_squares_hold_nothing_from_outside_the_photograph():
    """A pixel from outside would be black."""
    white = Image.new("L", SIZE, 255)
    for seed in range(150):
        rng = random(seed)
        square = draw_square(rng, SIZE)
        assert square.side >= 96
        near = again(rng, SIZE, square)
        for part in (square, near):
            assert np.asarray(part.cut(white, 32)).min() == 255
        assert abs(near.side / square.side - 1) <= module.LARGEST_ZOOM + 0.1
        assert np.hypot(near.x - square.x, near.y - square.y) < 0.25 * square.side
        assert near.mirrored == square.mirrored


def test_a_pair_is_a_function_of_the_random_numbers(groups):
    pairs = [draw_pair(random(seed), groups, 48) for seed in (1, 2, 1)]
    for name in ("normal", "anomalous", "reference", "mask"):
        first, other, repeated = (getattr(pair, name) for pair in pairs)
        np.testing.assert_array_equal(first, repeated)
        assert not np.array_equal(first, other)
        assert (first.shape[:2], first.dtype) == ((48, 48), np.uint8)
    assert pairs[0].defect == pairs[2].defect
    single = draw_pair(random(1), groups, 48, second_normal_image=False)
    assert single.reference is None
    np.testing.assert_array_equal(single.anomalous, pairs[0].anomalous)


def test_the_anomalous_image_differs_in_the_defect_alone(groups, monkeypatch):
    """Apart from sensor noise."""
    noisy = draw_pair(random(0), groups, 64)
    assert (noisy.normal != noisy.anomalous)[noisy.mask == 0].mean() > 0.5
    monkeypatch.setattr(module, "NOISE", 0.0)
    greys = []
    for seed in range(30):
        pair = draw_pair(random(seed), groups, 64)
        change = np.abs(pair.normal.astype(int) - pair.anomalous).max(-1)
        assert (change[pair.mask == 0] > 0).mean() < 0.15  # the faint borders of a defect are not in its mask
        assert change[pair.mask > 0].mean() > 8
        assert pair.defect in rendering.DEFECTS
        greys.append(
            all(np.ptp(x, axis=-1).max() == 0 for x in (pair.normal, pair.anomalous, pair.reference))
        )
    assert 0 < sum(greys) < 20


def test_every_kind_of_defect_is_drawn(photograph):
    normal = np.asarray(photograph)[:64, :64]
    names = {with_defect(random(seed), normal)[2] for seed in range(200)}
    assert names == {*rendering.SURFACE_DEFECTS, *PASTED.values()}


def test_the_second_normal_image_shows_another_place_only_where_that_looks_alike():
    y, x = np.mgrid[:300, :300]
    surface = 120 + 30 * np.sin(x / 3) * np.sin(y / 3)
    ramp = x * 0.8
    square = Square(x=100, y=100, side=96, angle=0, mirrored=False)
    for pixels, found in ((surface, True), (ramp, False)):
        image = Image.fromarray(pixels.astype(np.uint8)).convert("RGB")

        places = []

        def shown(square, image=image, places=places):
            places.append(square)
            return np.asarray(square.cut(image, 64))

        other = alike_elsewhere(random(0), (300, 300), square, shown(square), shown)
        assert (other is not None) == found
        first, *others = places
        assert all(max(abs(x.x - first.x), abs(x.y - first.y)) >= 48 for x in others)


def test_a_pool_of_rendered_and_photographed_pairs(groups, tokenizer, tmp_path):
    pool = Pool(
        tmp_path,
        24,
        32,
        5,
        second_normal_image=True,
        photographs=tuple(map(tuple, groups)),
        photographed_share=0.5,
    )
    pool.store.create()
    captioned = CaptionedPairs(pool, 4, tokenizer)
    items = [captioned(index) for index in range(pool.size)]
    photographed = [FAMILIES[item["group"]] == "sample" for item in items]
    assert 5 <= sum(photographed) <= 19
    rendered = Pool(tmp_path / "rendered", 24, 32, 5, second_normal_image=True)
    assert_equal(pool.store.read(photographed.index(False)), rendered.render(photographed.index(False)))
    row = photographed.index(True)
    pair = pool.store.read(row)
    assert {pair[kind].shape for kind in pool.kinds} == {(32, 32, 3)}
    assert pair["share"].max() > 0
    assert FAMILIES[:-1] == rendering.TRAIN_FAMILIES
