"""Which mask belongs to which image, by their names below `ground_truth/<defect>` and `test/<defect>`.

A mask is called like its image, with or without "_mask": `000_mask.png` or `000.png` for `000.jpg`. Where
several images are called 000, their whole names tell: `000.jpg_mask.png`, `000.jpg.png`, or `000_mask.jpg`
beside `000_mask.png`. A folder called like the image, `000/`, holds several masks of it. Names agree in
either spelling of Unicode, an exact one first.

Which pixels of a mask are marked: what is above 0, as far as its format keeps values.

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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps

from vlmad_jax.data.images import opened_file, page_numbers
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import composed

# A largest value below this may be the noise of compression alone.
FAINT = 16
# More separate regions than this are noise, if they are faint.
MOST_SPOTS = 100
_LOSSY = {"JPEG", "MPO", "AVIF"}
_LOSSY_TIFF = {"jpeg", "tiff_jpeg", "webp"}
# Modes in which zeros are not black.
_CONVERTED = {"CMYK", "YCbCr", "LAB", "HSV"}
SUFFIX = "_mask"


@dataclass(frozen=True)
class Matched:
    """Masks by the image they belong to, and those that belong to none; paths as they were given."""

    masks: dict[str, tuple[str, ...]]
    left: tuple[str, ...]


@dataclass(frozen=True)
class _Group:
    """A mask, or the masks of one folder, and the images that it may belong to."""

    name: str  # of the image, as the mask or the folder has it
    masks: tuple[str, ...]
    images: tuple[str, ...]
    is_folder: bool = False


def match(images: Sequence[str], masks: Sequence[str]) -> Matched:
    """Finds the image of each mask; all paths are relative, with forward slashes.

    Raises InputError, naming them, where a mask may belong to several images, or an image has several masks
    that are not in one folder.
    """
    groups, left = _groups(images, masks)
    chosen: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for is_folder in (False, True):
        of_kind = [group for group in groups if group.is_folder == is_folder]
        taken: dict[str, _Group] = {}
        for group, image in _chosen(of_kind):
            if image in taken:
                both = f"{taken[image].masks[0]} and {group.masks[0]}"
                raise InputError(f"{both} are both the mask of {image}; keep one, or put both in a folder")
            taken[image] = group
            found.setdefault(image, []).extend(group.masks)
            chosen |= dict.fromkeys(group.masks, image)
    return Matched({image: tuple(sorted(of_image)) for image, of_image in found.items()}, tuple(left))


def _groups(images: Sequence[str], masks: Sequence[str]) -> tuple[list[_Group], list[str]]:
    """The masks that may belong to an image, and those that cannot."""
    exact, alike = _index(images, str), _index(images, composed)

    def images_of(name: str) -> tuple[str, ...]:
        names = dict.fromkeys((name, name.removesuffix(SUFFIX)))
        for index, key in ((exact, str), (alike, composed)):
            if there := {image: None for x in names for image in index.get(key(x), ())}:
                return tuple(there)
        return ()

    groups: list[_Group] = []
    folders: dict[str, list[str]] = {}
    left = []
    for mask in masks:
        name = stem(mask)
        if candidates := images_of(name):
            groups.append(_Group(name, (mask,), candidates))
        elif above := next((x for x in _folders(mask) if images_of(x)), None):
            folders.setdefault(above, []).append(mask)
        else:
            left.append(mask)
    groups += [_Group(name, tuple(there), images_of(name), True) for name, there in folders.items()]
    return groups, left


def _index(images: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    """The images by their names, and by those without suffix."""
    index: dict[str, list[str]] = {}
    for image in images:
        for name in (image, stem(image)):
            index.setdefault(key(name), []).append(image)
    return index


def _folders(mask: str) -> Iterator[str]:
    """The folders that a mask is in, the innermost first."""
    return (str(folder) for folder in PurePosixPath(mask).parents if folder.name)


def stem(path: str) -> str:
    """A relative path without its suffix."""
    return str(PurePosixPath(path).with_suffix(""))


def _chosen(groups: Sequence[_Group]) -> list[tuple[_Group, str]]:
    """The one image of each group."""
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
            f"{group.masks[0]}: may be the mask of {both}; name it {remedy}, or so for the other"
        )
    return [(group, chosen[group]) for group in groups]


def _only(group: _Group) -> str | None:
    return group.images[0] if len(group.images) == 1 else None


def _by_whole_name(group: _Group) -> str | None:
    """The image whose name with its suffix the mask bears."""
    names = {composed(group.name), composed(group.name.removesuffix(SUFFIX))}
    whole = [image for image in group.images if composed(image) in names]
    return whole[0] if len(whole) == 1 else None


def _by_suffix(groups: dict[_Group, list[str]]) -> dict[_Group, str]:
    """Of several masks that may belong to the same images: each that of its own suffix."""
    found: dict[_Group, str] = {}
    for images in {tuple(images) for images in groups.values()}:
        rivals = [group for group, there in groups.items() if tuple(there) == images and not group.is_folder]
        own = {}
        for group in rivals:
            suffix = PurePosixPath(group.masks[0]).suffix
            own[group] = [image for image in images if PurePosixPath(image).suffix == suffix]
        alone = [x[0] for x in own.values() if len(x) == 1]
        if len(rivals) > 1 and len(alone) == len(rivals) == len(set(alone)):
            found |= {group: x[0] for group, x in own.items()}
    return found


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as uint8 (height, width): 1 where it is above 0, else 0; see `mask_values`.

    Several pages of a file are masks of one image, of which the union is taken.

    Raises InputError when the file is missing or does not decode, or its pages differ in size.
    """
    with opened_file(path, "mask") as file:
        lossy, first, *others = is_lossy(file), *page_numbers(file)
        file.seek(first)
        mask = marked(ImageOps.exif_transpose(file), lossy)
        for number in others:
            file.seek(number)
            page = marked(ImageOps.exif_transpose(file), lossy)
            if page.shape != mask.shape:
                raise InputError(f"{path}: the pages of this mask differ in size; save one mask a file")
            mask = mask | page
    return mask.astype(np.uint8)


def read_masks(paths: Sequence[str | Path]) -> np.ndarray:
    """The union of one or more masks of an image, uint8 (height, width), 0 or 1.

    Raises InputError for what `read_mask` raises, and for masks of different sizes.
    """
    union = read_mask(paths[0])
    for path in paths[1:]:
        mask = read_mask(path)
        if mask.shape != union.shape:
            sizes = " and ".join(f"{width} x {height}" for height, width in (union.shape, mask.shape))
            raise InputError(f"{path}: this mask and {paths[0]} are {sizes}; draw both at the image's size")
        union |= mask
    return union


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Nearest-neighbour resizing of a mask of 0 and 1 to uint8 (S, S); a defect never vanishes."""
    small = np.array(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST))
    if mask.any() and not small.any():
        # A defect thinner than the sampling step can fall between the samples. An empty mask would turn a
        # defective image into a good one for the pixel metrics, so the pixel nearest to its centre stays.
        rows, columns = np.nonzero(mask)
        row = int((rows.mean() + 0.5) * size / mask.shape[0])
        column = int((columns.mean() + 0.5) * size / mask.shape[1])
        small[row, column] = 1
    return small


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
