"""Reading images as a person would see them, and masks as 0 and 1."""

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

from vlmad_jax.errors import InputError

# Formats that Pillow lists but that are no images of pixels, or that it only opens with outside help.
_NOT_RASTER = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap width and height
# Formats whose files may hold several images of equal rank. Others hold one in several sizes, its layers, or,
# as telephones write into a JPEG, small copies of it.
_PAGED = {"AVIF", "DCX", "FLI", "GIF", "PNG", "TIFF", "WEBP"}
_KIND_OF_PAGE = 254  # the TIFF tag NewSubfileType: bit 0 is a smaller copy, bit 2 a mask of another page
_DEPTHS = (255, 4095, 65535)  # the largest value of 8, 12 and 16 bits
# An image of more pixels is refused by its header: decoded it would take more than 0.8 GB, 1 GB for some.
LARGEST_IMAGE = 200_000_000
_OPENING = threading.Lock()


@cache
def image_suffixes() -> frozenset[str]:
    """The lower-case suffixes, with their dot, of the raster formats that Pillow opens."""
    suffixes = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in suffixes if kind in Image.OPEN and kind not in _NOT_RASTER)


@cache
def _formats() -> tuple[str, ...]:
    """Pillow's names of the raster formats, so that no other is opened, whatever a file is called."""
    Image.init()
    return tuple(kind for kind in Image.ID if kind not in _NOT_RASTER)


def is_image(path: Path) -> bool:
    """Whether the name is that of an image; hidden files are none."""
    return path.suffix.lower() in image_suffixes() and not path.name.startswith(".")


class SeveralImages(InputError):
    """A file holds several images where one was asked for."""


def open_image(path: str | Path) -> Image.Image:
    """Read an image, of any mode that Pillow decodes, as RGB with 8 bits.

    Its EXIF rotation is applied; what is transparent lies over white; grey, palette and CMYK images are
    converted. More than 8 bits are scaled by the range of 8, 12 or 16 bits, whichever is the smallest to
    hold the largest value (cameras of 12 bits write files of 16); floats within 0..1 by that range;
    everything else from its smallest to its largest value.

    Raises:
      SeveralImages: the file holds more than one, see `read_pages`.
      InputError: the file is missing, does not decode, or has more than `LARGEST_IMAGE` pixels.
    """
    with opened_file(path, "image") as file:
        return _only(file, path)


def decode_image(content: bytes, name: str) -> Image.Image:
    """The bytes of a file as `open_image` reads it; errors call it by `name`."""
    with _explained(name, "image"), _header(io.BytesIO(content), name) as file:
        return _only(file, name)


def read_pages(path: str | Path) -> Iterator[Image.Image]:
    """Every image in a file, each as `open_image` reads one.

    Pages of a TIFF that are smaller copies or masks of others are passed over. Raises InputError as
    `open_image` does, but for files of several images.
    """
    with opened_file(path, "image") as file:
        for number in page_numbers(file):
            file.seek(number)
            _check_size(path, file)
            yield _as_rgb(ImageOps.exif_transpose(file))


def page_sizes(path: str | Path) -> list[tuple[int, int]]:
    """Width and height of every image in a file, see `read_pages`, as a person sees it, from headers alone.

    Raises InputError when the file is missing or a header does not decode.
    """
    sizes = []
    with opened_file(path, "image") as file:
        for number in page_numbers(file):
            file.seek(number)
            sizes.append(_size_as_shown(file))
    return sizes


def to_rgb(image: Image.Image) -> Image.Image:
    """An image that is open already, as `open_image` reads it from a file.

    Raises InputError when it does not decode, or has too many pixels.
    """
    with _explained("the image", "image"):
        _check_size("the image", image)
        return _as_rgb(ImageOps.exif_transpose(image))


def page_numbers(file: Image.Image) -> list[int]:
    """The numbers of the images of equal rank in a file that is open."""
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
            f"{name}: holds {len(pages)} images where one is read; save each as a file of its own"
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


def read_image(path: str | Path, size: int | None = None) -> np.ndarray:
    """Read an image as uint8 (height, width, 3), or resized to (size, size, 3) as detectors take it.

    `~` is the home folder. Raises InputError for what `open_image` raises, and a size below 1.
    """
    if size is not None and size < 1:
        raise InputError(f"size {size}: give a side of 1 pixel or more")
    image = open_image(Path(path).expanduser())
    return np.array(image) if size is None else np.array(resize_image(image, size))


def shown_size(path: str | Path) -> tuple[int, int]:
    """Width and height as a person sees the image (EXIF rotation applied), from its header alone.

    Raises InputError when the file is missing or its header does not decode.
    """
    with opened_file(path, "image") as file:
        return _size_as_shown(file)


def _size_as_shown(file: Image.Image) -> tuple[int, int]:
    width, height = file.size
    return (height, width) if file.getexif().get(_ORIENTATION, 1) >= 5 else (width, height)


def resize_image(image: Image.Image, size: int | tuple[int, int]) -> np.ndarray:
    """Bicubic, antialiased, straight to the square, uint8 (S, S, 3), or to so many (rows, columns).

    The same as torchvision's `Resize((S, S), BICUBIC)` on a PIL image, which calls this PIL function.
    """
    rows, columns = (size, size) if isinstance(size, int) else size
    return np.asarray(image.resize((columns, rows), Image.Resampling.BICUBIC))


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale integers of more than 8 bits, or floats, to uint8 of the same shape; see `open_image`."""
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
    """The file with its header read; what goes wrong then or in the block is told as an InputError."""
    with _explained(path, what):
        if not stat.S_ISREG(os.stat(path).st_mode):  # reading from a pipe would wait for ever
            raise InputError(f"{path}: is no file; give a {what}")
        with _header(path, path) as file:
            yield file


@contextlib.contextmanager
def _header(source: str | Path | io.BytesIO, name: str | Path) -> Iterator[Image.Image]:
    with _OPENING:
        # Pillow's own limit has two stages, one of them a warning; ours is checked right below.
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
    except Exception as error:  # decoders raise whatever a broken file makes them stumble over
        reason = " ".join(str(error).split()).replace(str(path), "the file") or type(error).__name__
        raise InputError(f"{path}: does not decode ({reason}); replace the file or remove it") from None


def _check_size(path: str | Path, image: Image.Image) -> None:
    if image.width * image.height > LARGEST_IMAGE:
        raise InputError(
            f"{path}: has {image.width:,} x {image.height:,} pixels, more than "
            f"{LARGEST_IMAGE // 10**6} million; cut it into parts"
        )
