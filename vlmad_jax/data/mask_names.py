"""Which mask belongs to which image, by their names below `ground_truth/<defect>` and `test/<defect>`.

A mask is called like its image, with or without "_mask": `000_mask.png` or `000.png` for `000.jpg`. Where
several images are called 000, their whole names tell: `000.jpg_mask.png`, `000.jpg.png`, or `000_mask.jpg`
beside `000_mask.png`. A folder called like the image, `000/`, holds several masks of it. Names agree in
either spelling of Unicode, an exact one first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import composed

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
