"""Reading pictures as a person would see them, and masks as 0 and 1."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vlmad_jax.errors import InputError

# Formats that Pillow lists but that are no pictures of pixels, or that it only opens with outside help.
_NOT_RASTER = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}
_ORIENTATION = 0x0112  # the EXIF tag; 5 to 8 swap width and height
_DEPTHS = (255, 4095, 65535)  # the largest value of 8, 12 and 16 bits


@cache
def picture_suffixes() -> frozenset[str]:
    """The lower-case suffixes, with their dot, of the raster formats that Pillow opens."""
    suffixes = Image.registered_extensions().items()
    return frozenset(suffix for suffix, kind in suffixes if kind in Image.OPEN and kind not in _NOT_RASTER)


def is_picture(path: Path) -> bool:
    """Whether the name is that of a picture; hidden files are none."""
    return path.suffix.lower() in picture_suffixes() and not path.name.startswith(".")


def read_picture(path: str | Path) -> Image.Image:
    """Read a picture, of any mode that Pillow decodes, as RGB with 8 bits.

    Its EXIF rotation is applied; what is transparent lies over white; grey, palette and CMYK pictures are
    converted; the first frame is taken of several. More than 8 bits are scaled by the range of 8, 12 or
    16 bits, whichever is the smallest to hold the largest value (cameras of 12 bits write files of 16);
    floats within 0..1 by that range; everything else from its smallest to its largest value.

    Raises InputError when the file is missing or does not decode.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith(("I", "F")):
                picture = Image.fromarray(_to_8_bits(np.asarray(picture)))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture)
            return picture.convert("RGB")
    except FileNotFoundError:
        raise InputError(f"{path}: no such picture") from None
    except Exception as error:  # decoders raise whatever a broken file makes them stumble over
        raise _undecodable(path, error) from None


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as uint8 (height, width): 1 where any channel is above 0, else 0.

    A palette counts by its index, so that class-indexed masks need no particular colours. In a JPEG, whose
    compression scatters small values around edges, 1 is what is brighter than half.

    Raises InputError when the file is missing or does not decode.
    """
    try:
        with Image.open(path) as file:
            threshold = 127 if file.format == "JPEG" else 0
            mask = ImageOps.exif_transpose(file)
            if mask.mode in ("LA", "PA", "RGBA"):
                mask = mask.convert("RGB" if mask.mode == "RGBA" else mask.mode[0])  # opacity says nothing
            values = np.asarray(mask)
    except FileNotFoundError:
        raise InputError(f"{path}: no such mask") from None
    except Exception as error:
        raise _undecodable(path, error) from None
    brightest = values.max(axis=-1) if values.ndim == 3 else values
    return (brightest > threshold).astype(np.uint8)


def shown_size(path: str | Path) -> tuple[int, int]:
    """Width and height as a person sees the picture (EXIF rotation applied), from its header alone.

    Raises InputError when the file is missing or its header does not decode.
    """
    try:
        with Image.open(path) as file:
            width, height = file.size
            turned = file.getexif().get(_ORIENTATION, 1) >= 5
    except FileNotFoundError:
        raise InputError(f"{path}: no such picture") from None
    except Exception as error:
        raise _undecodable(path, error) from None
    return (height, width) if turned else (width, height)


def resize_picture(picture: Image.Image, size: int) -> np.ndarray:
    """Bicubic, antialiased, straight to the square: uint8 (S, S, 3).

    The same as torchvision's `Resize((S, S), BICUBIC)` on a PIL picture, which calls this PIL function.
    """
    return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Nearest-neighbour resizing of a mask of 0 and 1 to uint8 (S, S); a defect never vanishes."""
    small = np.array(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))
    if mask.any() and not small.any():
        # A defect thinner than the sampling step can fall between the samples. An empty mask would turn a
        # defective picture into a good one for the pixel metrics, so the pixel nearest to its centre stays.
        rows, columns = np.nonzero(mask)
        row = int((rows.mean() + 0.5) * size / mask.shape[0])
        column = int((columns.mean() + 0.5) * size / mask.shape[1])
        small[row, column] = 1
    return small


def _to_8_bits(values: np.ndarray) -> np.ndarray:
    """Scale integers of more than 8 bits, or floats, to uint8 of the same shape; see `read_picture`."""
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


def _undecodable(path: str | Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split()).replace(str(path), "the file") or type(error).__name__
    return InputError(f"{path}: does not decode ({reason}); replace the file or remove it")
