"""Masks: which image a mask belongs to, which of its pixels are marked, and resizing.

Names. A mask is named after its image, with or without "_mask": `000_mask.png` or `000.png` for `000.jpg`. If
several images are named 000, the mask has the whole name of its image: `000.jpg_mask.png` or `000.jpg.png`;
or there is one mask per image, each with the suffix of its image: `000_mask.jpg` and `000_mask.png`. A folder
named after the image, `000/`, holds several masks of it. Names may differ in their Unicode spelling; an exact
match takes precedence.

Values. A pixel is marked if its value is above 0, as far as the format stores values exactly:

- The value of a colour or grey pixel of any depth is its largest channel. NaN is not marked.
- The value of a palette pixel is its index, so masks with class indices may have any colours.
- If these values mark no pixel or every pixel, and the opacity varies, an opacity above 0 is marked instead.
- Lossy compression spreads small values around edges. In a lossy file, values above half of the largest value
  are marked.
- If the largest value of a lossy file is below `FAINT` (for class indices 0 and 2, for example), the errors
  of compression are as large as the values. Then the values are split into two classes by Otsu's method, and
  the squares of 3 x 3 pixels that lie in the upper class are marked. More than `MOST_SPOTS` marked regions
  are noise on black, and nothing is marked.
- A lossy file with a single value marks every pixel if the value is above half of the range, otherwise none.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps

from vlmad_jax.data.images import opened_file, page_numbers
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import nfc
from vlmad_jax.runtime.sizes import ImageSize, height_and_width

# In a lossy file, a largest value below this may be noise.
FAINT = 16
# In a faint lossy mask, more regions than this are noise.
MOST_SPOTS = 100
_LOSSY = {"JPEG", "MPO", "AVIF"}
_LOSSY_TIFF = {"jpeg", "tiff_jpeg", "webp"}
# Modes in which black is not zero.
_CONVERTED = {"CMYK", "YCbCr", "LAB", "HSV"}
SUFFIX = "_mask"


@dataclass(frozen=True)
class Matched:
    """The masks of each image, and the masks that belong to no image; paths as given."""

    masks: dict[str, tuple[str, ...]]
    unmatched: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Group:
    """A mask, or the masks of one folder, with the images that it may belong to."""

    name: str  # the path of the mask without its suffix, or the path of the folder
    masks: tuple[str, ...]
    images: tuple[str, ...]
    is_folder: bool = False


def match_masks(images: Sequence[str], masks: Sequence[str]) -> Matched:
    """Find the image of each mask. All paths are relative with forward slashes.

    Raises:
      InputError: A mask may belong to several images, or an image has several masks that are not in one
        folder.
    """
    groups, unmatched = _groups(images, masks) if masks else ([], [])
    found: dict[str, list[str]] = {}
    for is_folder in (False, True):
        of_kind = [group for group in groups if group.is_folder == is_folder]
        taken: dict[str, _Group] = {}
        for group, image in _chosen(of_kind):
            if image in taken:
                both = f"{taken[image].masks[0]} and {group.masks[0]}"
                raise InputError(f"{both} are both the mask of {image}; keep one, or put both into a folder")
            taken[image] = group
            found.setdefault(image, []).extend(group.masks)
    return Matched({image: tuple(sorted(of_image)) for image, of_image in found.items()}, tuple(unmatched))


def _groups(images: Sequence[str], masks: Sequence[str]) -> tuple[list[_Group], list[str]]:
    """Return the masks that may belong to an image in groups, and the masks that belong to none."""
    index_by = functools.cache(functools.partial(_index, images))

    def images_of(name: str) -> tuple[str, ...]:
        names = dict.fromkeys((name, name.removesuffix(SUFFIX)))
        for key in (str, nfc):
            if found := {image: None for x in names for image in index_by(key).get(key(x), ())}:
                return tuple(found)
        return ()

    groups: list[_Group] = []
    folders: dict[str, list[str]] = {}
    unmatched = []
    for mask in masks:
        name = stem(mask)
        if candidates := images_of(name):
            groups.append(_Group(name, (mask,), candidates))
        elif above := next((x for x in _folders(mask) if images_of(x)), None):
            folders.setdefault(above, []).append(mask)
        else:
            unmatched.append(mask)
    groups += [_Group(name, tuple(paths), images_of(name), True) for name, paths in folders.items()]
    return groups, unmatched


def _index(images: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    """Return the images by their names with and without suffix."""
    index: dict[str, list[str]] = {}
    for image in images:
        for name in (image, stem(image)):
            index.setdefault(key(name), []).append(image)
    return index


def _folders(mask: str) -> Iterator[str]:
    """Return the folders that a mask is in, innermost first."""
    return (str(folder) for folder in PurePosixPath(mask).parents if folder.name)


def stem(path: str) -> str:
    """Return a relative path without its suffix."""
    return os.path.splitext(path)[0]


def _chosen(groups: Sequence[_Group]) -> list[tuple[_Group, str]]:
    """Return the image of each group; an image that is already chosen is no longer a candidate of others."""
    chosen: dict[_Group, str] = {}

    def waiting() -> list[_Group]:
        return [group for group in groups if group not in chosen]

    for choose in (_only, _by_whole_name):
        chosen |= {group: image for group in waiting() if (image := choose(group))}
    while True:
        taken = set(chosen.values())
        rest = {group: [x for x in group.images if x not in taken] for group in waiting()}
        more = {group: images[0] for group, images in rest.items() if len(images) == 1}
        more = more or _by_suffix(rest)
        if not more:
            break
        chosen |= more
    for group in waiting():
        both = " and ".join(group.images[:2])
        remedy = f"{group.images[0]}{SUFFIX}{PurePosixPath(group.masks[0]).suffix}"
        raise InputError(
            f"{group.masks[0]}: may be the mask of {both}; name it after its image, for example {remedy}"
        )
    return [(group, chosen[group]) for group in groups]


def _only(group: _Group) -> str | None:
    return group.images[0] if len(group.images) == 1 else None


def _by_whole_name(group: _Group) -> str | None:
    """Return the only image whose name, suffix included, is in the name of the mask, or None."""
    names = {nfc(group.name), nfc(group.name.removesuffix(SUFFIX))}
    whole = [image for image in group.images if nfc(image) in names]
    return whole[0] if len(whole) == 1 else None


def _by_suffix(groups: dict[_Group, list[str]]) -> dict[_Group, str]:
    """Match several masks that may belong to the same images by their suffixes."""
    found: dict[_Group, str] = {}
    for images in {tuple(images) for images in groups.values()}:
        rivals = [group for group, left in groups.items() if tuple(left) == images and not group.is_folder]
        own = {}
        for group in rivals:
            suffix = PurePosixPath(group.masks[0]).suffix
            own[group] = [image for image in images if PurePosixPath(image).suffix == suffix]
        alone = [x[0] for x in own.values() if len(x) == 1]
        if len(rivals) > 1 and len(alone) == len(rivals) == len(set(alone)):
            found |= {group: x[0] for group, x in own.items()}
    return found


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as uint8 (height, width): 1 where it is marked, else 0, see the module's docstring.

    If the file has several pages, their union is returned.

    Raises:
      InputError: The file is missing or does not decode, or its pages differ in size.
    """
    with opened_file(path, "mask") as file:
        lossy, first, *others = is_lossy(file), *page_numbers(file)
        file.seek(first)
        if not others:
            ImageOps.exif_transpose(file, in_place=True)  # needs no copy
            return marked_pixels(file, lossy).astype(np.uint8)
        mask = marked_pixels(ImageOps.exif_transpose(file), lossy)
        for number in others:
            file.seek(number)
            page = marked_pixels(ImageOps.exif_transpose(file), lossy)
            if page.shape != mask.shape:
                raise InputError(f"{path}: the pages of this mask differ in size; save one mask per file")
            mask = mask | page
    return mask.astype(np.uint8)


def read_masks(paths: Sequence[str | Path]) -> np.ndarray:
    """Return the union of one or more masks of an image, uint8 (height, width), 0 or 1.

    Raises:
      InputError: From `read_mask`, or if the masks differ in size.
    """
    union = read_mask(paths[0])
    for path in paths[1:]:
        mask = read_mask(path)
        if mask.shape != union.shape:
            sizes = " and ".join(f"{width} x {height}" for height, width in (union.shape, mask.shape))
            raise InputError(f"{path}: this mask and {paths[0]} are {sizes}; draw both at the image's size")
        union |= mask
    return union


def resize_mask(mask: np.ndarray, size: ImageSize) -> np.ndarray:
    """Resize a mask of 0 and 1 to a side or (height, width) by nearest-neighbour sampling, uint8.

    A defect never vanishes.
    """
    height, width = height_and_width(size)
    small = np.array(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
    if mask.any() and not small.any():
        # A defect thinner than the sampling step can fall between the samples. For pixel metrics, an empty
        # mask would turn an anomalous image into a normal one. Therefore the pixel nearest to the centre of
        # the defect stays marked.
        rows, columns = np.nonzero(mask)
        row = int((rows.mean() + 0.5) * height / mask.shape[0])
        column = int((columns.mean() + 0.5) * width / mask.shape[1])
        small[row, column] = 1
    return small


def is_lossy(file: Image.Image) -> bool:
    """Return whether the format of an open file changes values slightly."""
    if file.format == "WEBP":
        return not _is_lossless_webp(file)
    return file.format in _LOSSY or (file.format == "TIFF" and file.info.get("compression") in _LOSSY_TIFF)


def _is_lossless_webp(file: Image.Image) -> bool:
    """Return whether a WebP file is lossless: it has a chunk "VP8L"."""
    source = getattr(file, "fp", None)
    if source is None:  # the image is not read from a file any more
        return False
    place = source.tell()
    source.seek(0)
    head = source.read(4096)
    source.seek(place)
    return b"VP8L" in head


def marked_pixels(mask: Image.Image, lossy: bool) -> np.ndarray:
    """Return the marked pixels of a mask, bool (height, width)."""
    colours, opacity = _parts(mask)
    found = _above(colours, lossy)
    if opacity is not None and found.all() == found.any() and opacity.min() != opacity.max():
        return opacity > 0
    return found


def _parts(mask: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the largest channel (height, width) and the opacity, or None without opacity."""
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
    """Return the upper of two classes of values below `FAINT`, without specks; nothing if it is noise."""
    from scipy import ndimage  # takes a quarter of a second to import

    found = values > _split(np.bincount(values.ravel()).astype(float))
    found = ndimage.binary_opening(np.pad(found, 1, mode="edge"), np.ones((3, 3), bool))[1:-1, 1:-1]
    _, spots = ndimage.label(found)
    return found if spots <= MOST_SPOTS else np.zeros_like(found)


def _split(counts: np.ndarray) -> int:
    """Return Otsu's threshold of a histogram: the largest variance between the classes."""
    values = np.arange(len(counts))
    below, sums = np.cumsum(counts)[:-1], np.cumsum(counts * values)[:-1]
    total, whole = counts.sum(), (counts * values).sum()
    between = (whole * below - total * sums) ** 2 / np.maximum(below * (total - below), 1)
    return int(between.argmax())
