"""Drawings of anomaly maps: panels, colour scale, outline and caption."""

import numpy as np
import pytest
from PIL import Image

from vlmad_jax.errors import InputError
from vlmad_jax.report import add_caption, draw_map, enlarge, heat_colours, restore_proportions

SIDE = 24


def drawn(image=None, anomaly_map=None, mask=None, vmin=0.0, vmax=1.0):
    image = np.full((SIDE, SIDE, 3), 100, np.uint8) if image is None else image
    anomaly_map = np.zeros(image.shape[:2], np.float32) if anomaly_map is None else anomaly_map
    drawing = draw_map(image, anomaly_map, mask, vmin, vmax)
    assert drawing.mode == "RGB"
    pixels = np.asarray(drawing)
    return [pixels[:, start : start + SIDE] for start in range(0, pixels.shape[1], SIDE)]


def square():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:16, 8:16] = 255
    return mask


def test_three_panels_or_two_without_a_mask():
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    first, _, third = drawn(image, mask=np.zeros((SIDE, SIDE), bool))
    np.testing.assert_array_equal(first, image)
    np.testing.assert_array_equal(third, image)  # a good image has no outline
    assert [panel.shape for panel in drawn(image)] == [(SIDE, SIDE, 3)] * 2


@pytest.mark.parametrize("background", [0, 255])
def test_the_outline_shows_on_light_and_dark(background):
    image = np.full((SIDE, SIDE, 3), background, np.uint8)
    outline = drawn(image, mask=square())[2]
    changed = (outline != image).any(axis=2)
    ring_inside, ring_outside = 8 * 4 - 4, 10 * 4 - 4  # pixels round a square of 8 and round one of 10
    assert changed.sum() == (ring_inside if background == 0 else ring_outside)
    assert (outline[8, 8:16] == 255).all()
    assert (outline[7, 7:17] == 0).all()
    np.testing.assert_array_equal(outline[9:15, 9:15], image[9:15, 9:15])  # the defect stays visible


def test_one_pixel_and_the_whole_image_have_outlines():
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[5, 5] = 1
    outline = drawn(mask=mask)[2]
    assert (outline[5, 5] == 255).all()
    assert (outline == 0).all(axis=2).sum() == 8
    outline = drawn(mask=np.ones((SIDE, SIDE), np.uint8))[2]
    assert (outline == 255).all(axis=2).sum() == 4 * SIDE - 4


def test_heat_grows_lighter_with_the_score_and_ends_at_the_range():
    ramp = np.tile(np.linspace(-1, 2, SIDE), (SIDE, 1))  # the range 0..1 is its middle third
    lightness = drawn(anomaly_map=ramp)[1].astype(int).sum(axis=2)
    assert (lightness == lightness[0]).all()
    assert (lightness[0, :8] == lightness[0, 0]).all()
    assert (lightness[0, 16:] == lightness[0, -1]).all()
    assert (np.diff(lightness[0, 8:16]) > 0).all()


def test_equal_scores_have_equal_colours_in_images_with_equal_ranges():
    low, high = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    low[0, 0] = high[0, 0] = 0.4
    high[5, 5] = 0.9
    panels = [drawn(anomaly_map=m, vmax=0.9)[1] for m in (low, high)]
    np.testing.assert_array_equal(panels[0][0, 0], panels[1][0, 0])
    assert not np.array_equal(panels[0][5, 5], panels[1][5, 5])


def test_a_range_of_one_value_is_drawn_as_the_low_end():
    constant = drawn(
        anomaly_map=np.full((SIDE, SIDE), 0.3, np.float32), vmin=np.float32(0.3), vmax=np.float32(0.3)
    )
    np.testing.assert_array_equal(constant[1], drawn()[1])


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"image": np.zeros((SIDE, SIDE, 3), np.float32)}, "image: float32"),
        ({"image": np.zeros((SIDE, SIDE), np.uint8)}, "image: uint8 (24, 24)"),
        ({"anomaly_map": np.zeros((SIDE, SIDE + 1))}, "anomaly_map: shape (24, 25)"),
        ({"anomaly_map": np.full((SIDE, SIDE), np.nan)}, "anomaly_map: holds NaN"),
        ({"mask": np.zeros((2, 2))}, "mask: shape (2, 2)"),
        ({"vmin": 2.0}, "vmin, vmax: 2.0, 1.0; give finite numbers, the smaller first"),
        ({"vmax": np.inf}, "vmin, vmax: 0.0, inf"),
    ],
)
def test_bad_input_is_named(change, culprit):
    with pytest.raises(InputError) as caught:
        drawn(**change)
    assert str(caught.value).startswith(culprit)


def test_small_images_are_enlarged_by_a_whole_number() -> None:
    image = Image.fromarray(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3).repeat(50, axis=0))
    larger = enlarge(image)
    assert larger.size == (9, 300)
    assert np.array_equal(np.asarray(larger)[::3, ::3], np.asarray(image))
    assert enlarge(larger).size == larger.size


@pytest.mark.parametrize(
    ("size", "shape"),
    [((240, 240), (240, 240)), ((480, 240), (240, 120)), ((50, 100), (120, 240)), ((40, 4000), (10, 1024))],
)
def test_an_image_gets_its_aspect_ratio_back(size: tuple[int, int], shape: tuple[int, int]) -> None:
    """The lower right quarter stays bright in the image, the map and the mask."""
    quarter = np.zeros((240, 240), bool)
    quarter[120:, 120:] = True
    image, anomaly_map, mask = restore_proportions(
        np.repeat(quarter[..., None] * np.uint8(200), 3, axis=2), quarter * np.float32(3), quarter, size
    )
    assert image.shape == (*shape, 3)
    assert anomaly_map.shape == mask.shape == shape
    expected = np.zeros(shape)
    expected[shape[0] // 2 :, shape[1] // 2 :] = 1
    np.testing.assert_array_equal(mask, expected)
    assert abs(anomaly_map / 3 - expected).mean() < 0.06  # interpolated at the edge
    assert abs(image.mean(axis=2) / 200 - expected).mean() < 0.06
    assert restore_proportions(np.zeros((9, 9, 3), np.uint8), anomaly_map, None, size)[2] is None


def caption(name: str, said: str = "bad", ends=(0.0, 2.0), marks=None) -> np.ndarray:
    return np.asarray(add_caption(Image.new("RGB", (600, 50), (9, 9, 9)), name, said, ends, marks))[50:]


def test_a_caption_depends_on_all_its_contents() -> None:
    first = caption("a.png", "bad: score 1", (0.0, 2.0), {"threshold": 1.0})
    others = [
        caption("b.png", "bad: score 1", (0.0, 2.0), {"threshold": 1.0}),
        caption("a.png", "good: score 1", (0.0, 2.0), {"threshold": 1.0}),
        caption("a.png", "bad: score 1", (0.0, 3.0), {"threshold": 1.0}),
        caption("a.png", "bad: score 1", (0.0, 2.0), {"threshold": 1.5}),
        caption("a.png", "bad: score 1", (0.0, 2.0)),
    ]
    assert all(other.shape == first.shape and (other != first).any() for other in others)
    # A value beyond the scale, and a scale of one value, have no mark.
    assert np.array_equal(caption("a", marks={"threshold": 2.5}), caption("a"))
    caption("a", ends=(1.0, 1.0), marks={"threshold": 1.0})


def test_the_scale_has_the_colours_of_the_map() -> None:
    scale = caption("a.png").reshape(-1, 3)
    wanted = np.rint(heat_colours(np.linspace(0, 2, 256), 0.0, 2.0))
    found = {tuple(colour) for colour in scale.tolist()}
    assert sum(tuple(colour) in found for colour in wanted.astype(int).tolist()) > 250


def test_a_long_name_loses_its_beginning() -> None:
    first, longer, other = (
        caption("x" * n + end) for n, end in ((400, "1.png"), (500, "1.png"), (500, "2.png"))
    )
    assert np.array_equal(first, longer)
    assert not np.array_equal(longer, other)
    caption("new\nline \udcff 日本.png", "x" * 500)
