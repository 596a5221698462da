"""Masks of any format are read as they were meant, and resized without losing a defect."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.conftest import save
from vlmad_jax.data.masks import read_mask, read_masks, resize_mask
from vlmad_jax.errors import InputError

SHAPE = (96, 128)
DEFECT = np.zeros(SHAPE, bool)
DEFECT[16:40, 24:72] = True
DEFECT[60:80, 100:112] = True


def grey(value: int = 255, dtype: type = np.uint8) -> Image.Image:
    return Image.fromarray(DEFECT.astype(dtype) * dtype(value))


def rgba(colour: tuple[int, int, int], defect: tuple[int, ...], background: tuple[int, ...]) -> Image.Image:
    """Return one colour everywhere, unless `defect` or `background` is a colour with opacity."""
    pixels = np.zeros((*SHAPE, 4), np.uint8)
    pixels[DEFECT] = (*colour, *defect)[-4:]
    pixels[~DEFECT] = (*colour, *background)[-4:]
    return Image.fromarray(pixels)


def palette(colours: list[int], transparency: bytes | int | None = None) -> Image.Image:
    image = Image.fromarray(DEFECT.astype(np.uint8) * np.uint8(1)).convert("P")
    image.putpalette(colours)
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


LOSSLESS: dict[str, Callable[[], Image.Image]] = {
    "grey.png": grey,
    "class.png": lambda: grey(2),
    "one bit.png": lambda: Image.fromarray(DEFECT),
    "16 bits.png": lambda: grey(1, np.uint16),
    "16 bits.tif": lambda: grey(300, np.uint16),
    "32 bits.tif": lambda: grey(70_000, np.int32),
    "float.tif": lambda: Image.fromarray(np.where(DEFECT, np.float32(0.25), np.float32(0))),
    "not a number.tif": lambda: Image.fromarray(np.where(DEFECT, np.float32(1), np.float32("nan"))),
    "red.png": lambda: Image.merge("RGB", [grey(), grey(0), grey(0)]),
    "opaque.png": lambda: rgba((0, 0, 0), (255, 255, 255, 255), (0, 0, 0, 255)),
    "dark blue, opaque.png": lambda: rgba((0, 0, 0), (0, 0, 9, 255), (0, 0, 0, 255)),
    "white, in opacity.png": lambda: rgba((255, 255, 255), (255,), (0,)),
    "black, in opacity.png": lambda: rgba((0, 0, 0), (200,), (0,)),
    "red on clear white.png": lambda: rgba((0, 0, 0), (255, 0, 0, 255), (255, 255, 255, 0)),
    "on clear black.png": lambda: rgba((0, 0, 0), (255, 255, 255, 255), (0, 0, 0, 0)),
    "la.png": lambda: Image.merge("LA", [Image.new("L", SHAPE[::-1], 255), grey()]),
    "la of grey.png": lambda: Image.merge("LA", [grey(), Image.new("L", SHAPE[::-1], 255)]),
    "indexed.png": lambda: palette([255, 255, 255, 255, 255, 255]),
    "indexed, clear background.png": lambda: palette([0, 0, 0, 255, 0, 0], 0),
    "indexed, white in opacity.png": lambda: palette([255] * 6, bytes([0, 255])),
    "ink.tif": lambda: Image.merge("RGB", [grey()] * 3).convert("CMYK"),
    "lossless.webp": lambda: Image.merge("RGB", [grey(2)] * 3),
    "bitmap.bmp": lambda: grey(1),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_values_above_0_are_marked(tmp_path: Path, name: str) -> None:
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    values = read_mask(save(LOSSLESS[name](), tmp_path / name, **options))
    assert values.dtype == np.uint8
    assert np.array_equal(values, DEFECT)


# The value of a defect, and the agreement that its mask must reach.
JPEG_AGREEMENT = [(255, 1.0), (128, 0.99), (3, 0.93), (2, 0.83), (1, 0.75)]


def agreement(values: np.ndarray) -> float:
    """Return the intersection over union with the defect."""
    return float((values & DEFECT).sum() / (values | DEFECT).sum())


@pytest.mark.parametrize(
    ("quality", "value", "least"),
    [
        (60, 255, 1.0),
        *((75, value, least) for value, least in JPEG_AGREEMENT),
        *((95, value, least) for value, least in JPEG_AGREEMENT),
    ],
)
def test_lossy_compression(tmp_path: Path, quality: int, value: int, least: float) -> None:
    path = save(grey(value), tmp_path / "a.jpg", quality=quality)
    found = read_mask(path)
    assert agreement(found) >= least
    if value == 255:
        assert np.array_equal(found, DEFECT)
        webp = read_mask(save(Image.merge("RGB", [grey()] * 3), tmp_path / "a.webp", quality=80))
        assert np.array_equal(webp, DEFECT)


def test_noise_on_black_marks_nothing(tmp_path: Path) -> None:
    black = save(grey(0), tmp_path / "black.jpg", quality=15)
    assert read_mask(black).sum() == 0
    generator = np.random.default_rng(0)
    for density in (0.5, 0.1):
        noise = (generator.random((512, 512)) < density) * generator.integers(0, 4, (512, 512))
        path = save(Image.fromarray(noise.astype(np.uint8)), tmp_path / "noise.jpg", quality=95)
        assert np.asarray(Image.open(path)).max() >= 3
        assert read_mask(path).sum() == 0
    white = save(Image.new("L", (64, 64), 255), tmp_path / "white.jpg")
    assert read_mask(white).all()


def test_several_masks_are_united(tmp_path: Path) -> None:
    halves = [np.zeros(SHAPE, np.uint8) for _ in range(2)]
    halves[0][:50], halves[1][50:] = DEFECT[:50] * np.uint8(7), DEFECT[50:] * np.uint8(253)
    images = [Image.fromarray(half) for half in halves]
    paths = [save(image, tmp_path / f"{n}.png") for n, image in enumerate(images)]
    assert np.array_equal(read_masks(paths), DEFECT)
    assert read_masks(paths[:1]).sum() == DEFECT[:50].sum()
    first, *others = (*(Image.fromarray(half) for half in halves), Image.new("L", (8, 8), 255))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=others[:1])
    assert np.array_equal(read_mask(tmp_path / "pages.tif"), DEFECT)
    first.save(tmp_path / "sizes.tif", save_all=True, append_images=others)
    with pytest.raises(InputError, match=r"sizes\.tif: the pages of this mask differ in size"):
        read_mask(tmp_path / "sizes.tif")
    other = save(Image.new("L", (8, 8)), tmp_path / "2.png")
    with pytest.raises(InputError, match=r"2\.png: this mask and .*0\.png are 128 x 96 and 8 x 8; draw both"):
        read_masks([*paths, other])


def test_masks_are_resized_to_the_nearest() -> None:
    values = np.zeros((100, 200), np.uint8)
    values[50:, 100:] = 1
    expected = np.zeros((10, 10), np.uint8)
    expected[5:, 5:] = 1
    assert np.array_equal(resize_mask(values, 10), expected)
    assert resize_mask(np.zeros((100, 200), np.uint8), 10).sum() == 0


@pytest.mark.parametrize(("row", "column"), [(0, 0), (31, 47), (99, 199), (50, 101)])
def test_a_thin_defect_does_not_vanish(row: int, column: int) -> None:
    values = np.zeros((100, 200), np.uint8)
    values[row, column] = 1
    small = resize_mask(values, 10)
    assert small.sum() == 1
    assert small[row // 10, column // 20] == 1
