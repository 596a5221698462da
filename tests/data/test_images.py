"""Images of every mode are read as a viewer shows them."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.data.conftest import made_image, save
from vlmad_jax.data.images import displayed_size, image_suffixes, open_image, resize_image
from vlmad_jax.data.masks import read_mask
from vlmad_jax.data.png_header import png_size
from vlmad_jax.errors import InputError


def read(path: Path) -> np.ndarray:
    image = open_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


GREY = np.arange(240, dtype=np.uint8).reshape(12, 20)


def test_rgb_is_unchanged(tmp_path: Path) -> None:
    original = made_image(0)
    assert np.array_equal(read(save(original, tmp_path / "a.png")), np.asarray(original))


def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    grey = Image.fromarray(GREY)
    assert np.array_equal(read(save(grey, tmp_path / "a.png")), np.stack([GREY] * 3, -1))
    colours = Image.fromarray(GREY % 3).convert("P")
    colours.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    expected = np.eye(3, dtype=np.uint8)[GREY % 3] * 255
    assert np.array_equal(read(save(colours, tmp_path / "b.png")), expected)
    bilevel = save(Image.fromarray(GREY > 100), tmp_path / "c.png")
    assert np.array_equal(read(bilevel)[..., 1], (GREY > 100) * np.uint8(255))


def test_transparency_is_blended_with_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = 200, [[0, 51, 255]] * 2
    expected = [[255, 255, 255], [244, 204, 204], [200, 0, 0]]  # 0.2 x (200, 0, 0) + 0.8 x 255 in the middle
    assert np.array_equal(read(save(Image.fromarray(pixels), tmp_path / "a.png"))[1], expected)
    grey = Image.merge("LA", [Image.fromarray(pixels[..., channel]) for channel in (0, 3)])
    assert read(save(grey, tmp_path / "b.png"))[0, :, 0].tolist() == [255, 244, 200]
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.putpixel((1, 0), 1)
    path = save(indexed, tmp_path / "c.png", transparency=0)
    assert read(path).tolist() == [[[255, 255, 255], [40, 50, 60]]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_by_their_range(tmp_path: Path, suffix: str) -> None:
    full = save(Image.fromarray(GREY.astype(np.uint16) * 257), tmp_path / f"a.{suffix}")
    assert np.array_equal(read(full)[..., 0], GREY)
    of_12_bits = np.linspace(0, 4095, 240).reshape(12, 20).astype(np.uint16)
    scaled = read(save(Image.fromarray(of_12_bits), tmp_path / f"b.{suffix}"))[..., 0]
    assert np.array_equal(scaled, np.rint(of_12_bits / 4095 * 255))


def test_floats_and_wide_integers(tmp_path: Path) -> None:
    unit = (GREY / 255).astype(np.float32)
    assert np.array_equal(read(save(Image.fromarray(unit), tmp_path / "a.tif"))[..., 2], GREY)
    as_bytes = save(Image.fromarray(GREY.astype(np.float32)), tmp_path / "b.tif")
    assert np.array_equal(read(as_bytes)[..., 0], GREY)
    signed = np.array([[-100.0, 0.0, 155.0, np.nan]], np.float32)
    assert read(save(Image.fromarray(signed), tmp_path / "c.tif"))[0, :, 0].tolist() == [0, 100, 255, 0]
    wide = np.array([[0, 100_000, 200_000]], np.int32)
    assert read(save(Image.fromarray(wide), tmp_path / "d.tif"))[0, :, 0].tolist() == [0, 128, 255]
    nothing = save(Image.fromarray(np.full((2, 2), np.nan, np.float32)), tmp_path / "e.tif")
    assert read(nothing).max() == 0


def test_cmyk(tmp_path: Path) -> None:
    ink = Image.new("CMYK", (4, 4), (0, 255, 255, 0))  # magenta and yellow make red
    assert read(save(ink, tmp_path / "a.tif"))[0, 0].tolist() == [255, 0, 0]
    assert np.abs(read(save(ink, tmp_path / "b.jpg"))[0, 0] - np.array([255.0, 0, 0])).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path: Path, orientation: int) -> None:
    original = np.asarray(made_image(1))
    turned = {
        1: original,
        2: original[:, ::-1],
        3: original[::-1, ::-1],
        4: original[::-1],
        5: original.transpose(1, 0, 2),
        6: np.rot90(original, -1),
        7: original[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(original),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(original), tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(path), turned)
    assert displayed_size(path) == (turned.shape[1], turned.shape[0])


@pytest.mark.parametrize("size", [(5, 5), (40, 9)])
def test_the_size_of_a_png_image_needs_no_decoding(size: tuple[int, int], tmp_path: Path) -> None:
    """The sizes are those of `displayed_size`; what may be rotated or damaged is left to Pillow."""
    image, text = made_image(1, size), PngInfo()
    text.add_text("Author", "somebody")
    whole = save(image, tmp_path / "a.png")
    assert png_size(whole) == png_size(str(whole)) == size
    data = bytearray(whole.read_bytes())
    data[-20] ^= 1  # in the pixels, or in their checksum
    whole.write_bytes(data)
    assert png_size(whole) == size
    noted = save(image, tmp_path / "b.png", pnginfo=text)
    assert png_size(noted) == (size if size == (5, 5) else None)
    assert displayed_size(noted) == size
    for name, content in {
        "cut.png": data[:40],
        "head.png": data[:20] + b"9" + data[21:],
        "no.png": b"",
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert png_size(path) is None
        with pytest.raises(InputError, match=rf"{name}: does not decode"):
            displayed_size(path)
    assert png_size(save(image, tmp_path / "c.jpg")) is png_size(tmp_path) is png_size(tmp_path / "d") is None


def test_undecodable_images(tmp_path: Path) -> None:
    whole = io.BytesIO()
    made_image(2, (64, 64)).save(whole, "png")
    broken = {"cut.png": whole.getvalue()[:3000], "empty.png": b"", "text.jpg": b"no image at all"}
    for name, content in broken.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"{name}: does not decode \(.*replace"):
            open_image(path)
    with pytest.raises(InputError, match=r"none\.png: no such image"):
        open_image(tmp_path / "none.png")
    with pytest.raises(InputError, match=r"none\.png: no such mask"):
        read_mask(tmp_path / "none.png")


def test_resizing_is_pil_bicubic_to_the_square() -> None:
    original = made_image(3, (37, 23))
    small = resize_image(original, 16)
    assert small.shape == (16, 16, 3)
    # torchvision's Resize((16, 16), BICUBIC) calls exactly this on a PIL image.
    assert np.array_equal(small, np.asarray(original.resize((16, 16), Image.Resampling.BICUBIC)))
    # A ramp stays a ramp: half-pixel centres, so sample i lies at (i + 0.5) x 256 / 16 - 0.5.
    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None], 256, 0)).convert("RGB")
    row = resize_image(ramp, 16)[8, 2:-2, 0].astype(float)
    assert np.abs(row - ((np.arange(2, 14) + 0.5) * 16 - 0.5)).max() <= 0.5


def test_suffixes() -> None:
    assert {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm"} <= image_suffixes()
    assert not {".pdf", ".eps", ".csv", ".txt", ".db", ".xml"} & image_suffixes()
