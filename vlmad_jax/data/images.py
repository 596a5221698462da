"""Reading images of any raster format as RGB."""

import contextlib
import io
import os
import stat
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vlmad_jax.data.png_header import png_size
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.sizes import ImageSize, height_and_width

# Formats that Pillow lists but that are not raster images, or that need external programs.
_NOT_RASTER = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
# Formats that are tried first, because they are common.
_COMMON = {"BMP", "JPEG", "PNG", "TIFF"}
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap width and height
# Formats whose files may hold several independent images. Files of other formats hold several sizes or layers
# of one image, or small copies of it, as in the JPEG files of telephones.
_PAGED = {"AVIF", "DCX", "FLI", "GIF", "PNG", "TIFF", "WEBP"}
_KIND_OF_PAGE = 254  # the TIFF tag NewSubfileType: bit 0 marks a smaller copy, bit 2 a mask of another page
_DEPTHS = (255, 4095, 65535)  # the largest values of 8, 12 and 16 bits
# An image with more pixels is refused before it is decoded, because it would take about 1 GB of memory.
LARGEST_IMAGE = 200_000_000
# The filters of resizing by the names that backbones give them, all antialiased.
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_OPENING = threading.Lock()


@cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes of the raster formats that Pillow opens, in lower case with their dot."""
    suffixes = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in suffixes if kind in Image.OPEN and kind not in _NOT_RASTER)


@cache
def _formats() -> tuple[str, ...]:
    """Return Pillow's names of the raster formats, in the order in which Pillow tries them.

    Other formats are refused, whatever a file is called.
    """
    Image.init()
    return tuple(
        sorted(set(Image.ID) - _NOT_RASTER, key=lambda kind: (kind not in _COMMON, Image.ID.index(kind)))
    )


def is_image(path: Path) -> bool:
    """Return whether a file has the suffix of an image and is not hidden."""
    return is_image_name(path.name)


def is_image_name(name: str) -> bool:
    """Return whether the name of a file has the suffix of an image and is not hidden."""
    return name[name.rfind(".") :].lower() in image_suffixes() and not name.startswith(".")


class SeveralImages(InputError):
    """A file holds several images, but one was expected."""


def open_image(path: str | Path) -> Image.Image:
    """Read an image of any mode that Pillow decodes as RGB with 8 bits.

    The EXIF rotation is applied, transparent pixels are blended with white, and grey, palette and CMYK images
    are converted. Integers of more than 8 bits are scaled from the smallest range of 8, 12 or 16 bits that
    holds the largest value, because 12-bit cameras write 16-bit files. Floats in 0..1 are scaled from 0..1,
    and other values from their smallest and largest value.

    Raises:
      SeveralImages: The file holds several images, see `read_pages`.
      InputError: The file is missing, does not decode, or has more than `LARGEST_IMAGE` pixels.
    """
    with opened_file(path, "image") as file:
        return _only(file, path)


def decode_image(content: bytes, name: str) -> Image.Image:
    """Decode the bytes of a file as `open_image` does. Error messages contain `name`."""
    with _explained(name, "image"), _header(io.BytesIO(content), name) as file:
        return _only(file, name)


def read_pages(path: str | Path) -> Iterator[Image.Image]:
    """Yield every image in a file, each as `open_image` reads one.

    Pages of a TIFF that are smaller copies or masks of other pages are skipped.

    Raises:
      InputError: The file is missing, does not decode, or a page has more than `LARGEST_IMAGE` pixels.
    """
    with opened_file(path, "image") as file:
        for number in page_numbers(file):
            file.seek(number)
            _check_size(path, file)
            yield _as_rgb(ImageOps.exif_transpose(file))


def page_sizes(path: str | Path) -> list[tuple[int, int]]:
    """Return the displayed (width, height) of every image in a file, see `read_pages`, from the headers.

    Raises:
      InputError: The file is missing, or a header does not decode.
    """
    sizes = []
    with opened_file(path, "image") as file:
        for number in page_numbers(file):
            file.seek(number)
            sizes.append(_displayed_size(file))
    return sizes


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an open image as `open_image` does.

    Raises:
      InputError: The image does not decode, or has more than `LARGEST_IMAGE` pixels.
    """
    with _explained("the image", "image"):
        _check_size("the image", image)
        return _as_rgb(ImageOps.exif_transpose(image))


def page_numbers(file: Image.Image) -> list[int]:
    """Return the numbers of the independent images in an open file."""
    count = getattr(file, "n_frames", 1) if file.format in _PAGED else 1
    if count == 1 or file.format != "TIFF":
        return list(range(count))
    found = []
    for number in range(count):
        file.seek(number)
        if not file.tag_v2.get(_KIND_OF_PAGE, 0) & 0b101:  # type: ignore[attr-defined]
            found.append(number)
    return found or [0]


def _only(file: Image.Image, name: str | Path) -> Image.Image:
    pages = page_numbers(file)
    if len(pages) > 1:
        raise SeveralImages(
            f"{name}: holds {len(pages)} images, but one is read; save each image in its own file"
        )
    if pages != [file.tell()]:
        file.seek(pages[0])
    ImageOps.exif_transpose(file, in_place=True)
    file.load()
    return _as_rgb(file)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def read_image(path: str | Path, size: ImageSize | None = None, resample: str = "bicubic") -> np.ndarray:
    """Read an image as uint8 (height, width, 3), resized for a detector if a size is given.

    Args:
      path: The file; `~` is the home folder.
      size: The side of the resized image in pixels, or its (height, width), such as `detector.size`; None
        keeps the original size.
      resample: The filter, a name in `FILTERS`, such as `detector.backbone.resample`.

    Raises:
      InputError: From `open_image`, or if a side is below 1.
    """
    if size is not None and min(height_and_width(size)) < 1:
        raise InputError(f"size {size}: give a side of 1 pixel or more")
    image = open_image(Path(path).expanduser())
    return np.array(image) if size is None else np.array(resize_image(image, size, resample))


def displayed_size(path: str | Path) -> tuple[int, int]:
    """Return the (width, height) of an image after its EXIF rotation, from its header.

    Raises:
      InputError: The file is missing, or its header does not decode.
    """
    size = png_size(path)
    if size is not None and size[0] * size[1] <= LARGEST_IMAGE:
        return size
    with opened_file(path, "image") as file:
        return _displayed_size(file)


def _displayed_size(file: Image.Image) -> tuple[int, int]:
    width, height = file.size
    if width == height:  # a rotation changes nothing, and Pillow decodes a whole PNG to look for one
        return width, height
    return (height, width) if file.getexif().get(_ORIENTATION, 1) >= 5 else (width, height)


def resize_image(image: Image.Image, size: ImageSize, resample: str = "bicubic") -> np.ndarray:
    """Resize an image to uint8 (height, width, 3) by antialiased sampling.

    This equals torchvision's `Resize(size, BICUBIC)` on a PIL image, which calls the same function.

    Args:
      image: The image.
      size: The side of a square, or (height, width).
      resample: The filter, a name in `FILTERS`.
    """
    height, width = height_and_width(size)
    return np.asarray(image.resize((width, height), FILTERS[resample]))


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale integers of more than 8 bits, or floats, to uint8 of the same shape, see `open_image`."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(values.shape, np.uint8)
    low, high = float(values[known].min()), float(values[known].max())
    depths = (1, *_DEPTHS) if values.dtype.kind == "f" else _DEPTHS
    start, end = 0.0, next((float(depth) for depth in depths if high <= depth), None)
    if low < 0 or end is None:
        start, end = low, high
    scaled = (np.where(known, values, low).astype(np.float64) - start) * (255 / max(end - start, 1e-30))
    return np.rint(scaled).astype(np.uint8)


@contextlib.contextmanager
def opened_file(path: str | Path, what: str) -> Iterator[Image.Image]:
    """Open a file and read its header. Errors here and inside the block become an InputError."""
    with _explained(path, what):
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading from a pipe would block forever
            raise InputError(f"{path}: is no file; give the {what} as a file")
        with _header(path, path) as file:
            yield file


@contextlib.contextmanager
def _header(source: str | Path | io.BytesIO, name: str | Path) -> Iterator[Image.Image]:
    with _OPENING:
        # Pillow's own limit first warns; it is turned off, and our limit is checked below.
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            file = Image.open(source, formats=_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with file:
        _check_size(name, file)
        yield file


@contextlib.contextmanager
def _explained(path: str | Path, what: str) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such {what}") from None
    except Exception as error:  # decoders raise errors of any type for damaged files
        reason = " ".join(str(error).split()).replace(str(path), "the file") or type(error).__name__
        raise InputError(f"{path}: does not decode ({reason}); replace the file or remove it") from None


def _check_size(path: str | Path, image: Image.Image) -> None:
    if image.width * image.height > LARGEST_IMAGE:
        raise InputError(
            f"{path}: has {image.width:,} x {image.height:,} pixels, more than "
            f"{LARGEST_IMAGE // 10**6} million; cut it into parts"
        )
