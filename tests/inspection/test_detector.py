"""A loaded detector takes images of any kind and size, from any thread, and compiles once; its boxes."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from tests.inspection.brightness import detector as brightness
from tests.inspection.conftest import part
from vlmad_jax import InputError, load_detector
from vlmad_jax.inspection import Box, FittedDetector, boxes_of

TRACED = "/jax/core/compile/jaxpr_trace_duration"  # comes before compiling, or finding it compiled


@pytest.fixture(scope="module")
def detector(saved: Path) -> FittedDetector:
    return load_detector(saved, batch_size=2)


def test_a_spot_is_bad_and_a_plate_is_good(detector: FittedDetector):
    fine, spotted = detector([part(20), part(21, spot=True)])
    assert (fine.bad, spotted.bad) == (False, True)
    assert fine.probability < 0.5 < spotted.probability
    assert fine.image < detector.threshold < spotted.image
    assert spotted.boxes


def test_images_of_every_kind_say_the_same(detector: FittedDetector, tmp_path: Path):
    image = part(3, size=(90, 30))
    image.save(tmp_path / "a.png")
    pixels = np.asarray(image)
    results = detector(
        [image, pixels, str(tmp_path / "a.png"), tmp_path / "a.png", pixels[..., 0], pixels[..., :1]]
    )
    for result in results:
        assert result.image == pytest.approx(results[0].image, abs=1e-6)
        assert (result.map.shape, result.map.dtype) == ((30, 90), np.float32)
        np.testing.assert_allclose(result.map, results[0].map, atol=1e-6)
    assert detector(image).image == pytest.approx(results[0].image, abs=1e-6)
    assert detector([]) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.zeros((5, 5, 3)), r"the image is float64 \[5, 5, 3\]; give uint8 \[height, width, 3\]"),
        (np.zeros((2, 5, 5, 3), np.uint8), "give several images as a list"),
        (np.zeros((5, 5, 4), np.uint8), r"uint8 \[5, 5, 4\]"),
        (np.zeros((0, 5), np.uint8), "the image is empty"),
        ("no/image.png", r"no/image\.png: no such image"),
    ],
)
def test_what_is_no_image_is_refused(detector: FittedDetector, given: object, told: str):
    with pytest.raises(InputError, match=told):
        detector(given)  # type: ignore[call-overload]


def test_another_threshold(detector: FittedDetector):
    image = part(20)
    result = detector(image)
    strict = detector.with_threshold(result.image - 0.001, pixel_threshold=-1)
    assert strict.threshold == result.image - 0.001
    assert strict(image).bad
    assert [tuple(box[:4]) for box in strict(image).boxes] == [(0, 0, 70, 50)]
    assert detector.with_threshold(result.image)(image).probability == 0.5
    assert detector.threshold != strict.threshold
    with pytest.raises(InputError, match="give finite numbers"):
        detector.with_threshold(float("nan"))
    with pytest.raises(InputError, match="batch_size 0 is less than 1"):
        load_detector("anything", batch_size=0)


def test_it_compiles_once_whatever_it_is_given(saved: Path):
    traced: list[str] = []
    counting = threading.Event()

    def count(name: str, seconds: float, **about: object) -> None:
        if counting.is_set() and name == TRACED:
            traced.append(name)

    jax.monitoring.register_event_duration_secs_listener(count)
    detector = load_detector(saved, batch_size=3)
    counting.set()
    try:
        detector(part(0))
        assert traced
        traced.clear()
        detector([part(seed, size=(40 + seed, 30)) for seed in range(7)])
        detector(np.zeros((300, 20), np.uint8))
        detector.with_threshold(0.1)([part(1), part(2)])
    finally:
        counting.clear()
    assert traced == []


def test_threads_get_their_own_answers():
    detector = brightness(batch_size=2)
    levels = np.random.default_rng(0).integers(0, 256, 60)

    def ask(level: int) -> float:
        sides = 10 + level % 7, 12 + level % 5
        results = detector([np.full(sides, level, np.uint8), np.full(sides, 255 - level, np.uint8)])
        assert [result.map.shape for result in results] == [sides, sides]
        assert results[1].image == pytest.approx(1 - level / 255, abs=1e-6)
        return results[0].image

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, levels.tolist()))
    np.testing.assert_allclose(found, levels / 255, atol=1e-6)


def test_maps_are_as_large_as_the_image_and_interpolated_between_pixel_centres():
    ramp = np.repeat(np.arange(16, dtype=np.uint8)[None] * 16, 16, axis=0)
    enlarged = Image.fromarray(ramp).resize((64, 16), Image.Resampling.NEAREST)
    result = brightness()(enlarged)
    assert result.map.shape == (16, 64)
    expected = np.clip((np.arange(64) + 0.5) / 4 - 0.5, 0, 15) * 16 / 255
    np.testing.assert_allclose(result.map[8], expected, atol=2e-2)


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
    result = brightness()(image)
    (box,) = result.boxes
    assert (box.x, box.y, box.width, box.height) == (200, 40, 40, 40)
    assert result.map[60, 220] > 0.9
    assert result.map[100, 60] < 0.1
