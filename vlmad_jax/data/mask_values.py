"""Which pixels of a mask are marked: what is above 0, as far as its format keeps values.

- Colours and grey values of any depth count by their largest channel; above 0 is marked, NaN is not.
- A palette counts by its index, so that class-indexed masks need no particular colours; 0 is not marked.
- Where the colours so read mark nothing, or every pixel, and the opacity varies, the opacity counts: above 0
  is marked.
- Compression that loses scatters small values around edges: in such a file what is above half of its largest
  value is marked. Where that is below `FAINT`, of class numbers 0 and 2 say, overshoot is as large as the
  values: they are split into two classes where these differ most, and of the upper one what fills a square of
  3 x 3 is marked, unless that is more than `MOST_SPOTS` regions, which are noise on black. One single value
  marks every pixel if it is above half of the range, else none.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

# A largest value below this may be the noise of compression alone.
FAINT = 16
# More separate regions than this are noise, if they are faint.
MOST_SPOTS = 100
_LOSSY = {"JPEG", "MPO", "AVIF"}
_LOSSY_TIFF = {"jpeg", "tiff_jpeg", "webp"}
# Modes in which zeros are not black.
_CONVERTED = {"CMYK", "YCbCr", "LAB", "HSV"}


def is_lossy(file: Image.Image) -> bool:
    """Whether the format of an opened file changes values a little."""
    if file.format == "WEBP":
        return not _is_lossless_webp(file)
    return file.format in _LOSSY or (file.format == "TIFF" and file.info.get("compression") in _LOSSY_TIFF)


def _is_lossless_webp(file: Image.Image) -> bool:
    """A chunk "VP8L" holds an image without loss."""
    source = getattr(file, "fp", None)
    if source is None:  # it is read already, from wherever
        return False
    place = source.tell()
    source.seek(0)
    head = source.read(4096)
    source.seek(place)
    return b"VP8L" in head


def marked(mask: Image.Image, lossy: bool) -> np.ndarray:
    """The marked pixels of a mask, bool (height, width)."""
    colours, opacity = _parts(mask)
    found = _above(colours, lossy)
    if opacity is not None and found.all() == found.any() and opacity.min() != opacity.max():
        return opacity > 0
    return found


def _parts(mask: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Values (height, width) of the largest channel, and the opacity, if there is one."""
    if mask.mode in _CONVERTED:
        mask = mask.convert("RGB")
    opacity = None
    if mask.has_transparency_data:
        opacity = np.asarray(mask.convert("RGBA"))[..., 3]
    if mask.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        values = np.asarray(mask)[..., :-1]
    else:
        values = np.asarray(mask)
    return (values.max(axis=-1) if values.ndim == 3 else values), opacity


def _above(values: np.ndarray, lossy: bool) -> np.ndarray:
    if not lossy:
        return values > 0
    largest = int(values.max())
    if values.min() == largest:
        return np.full(values.shape, largest > np.iinfo(values.dtype).max // 2)
    return _faint(values) if largest < FAINT else values > largest / 2


def _faint(values: np.ndarray) -> np.ndarray:
    """The upper of the two classes that values below `FAINT` fall into, without specks; nothing of noise."""
    from scipy import ndimage  # takes a quarter of a second to import

    found = values > _split(np.bincount(values.ravel()).astype(float))
    found = ndimage.binary_opening(np.pad(found, 1, mode="edge"), np.ones((3, 3), bool))[1:-1, 1:-1]
    _, spots = ndimage.label(found)
    return found if spots <= MOST_SPOTS else np.zeros_like(found)


def _split(counts: np.ndarray) -> int:
    """The value up to which a histogram's lower class goes: the variance between the classes is largest."""
    values = np.arange(len(counts))
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * values)[:-1]
    total, whole = counts.sum(), (counts * values).sum()
    between = (whole * below - total * sums) ** 2 / np.maximum(below * (total - below), 1)
    return int(between.argmax())
