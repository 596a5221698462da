"""The MVTec layout of MVTec AD and the data sets that follow it, the synthetic sets and users' own images.

<category>/train/good/<name>.png
<category>/test/good/<name>.png
<category>/test/<defect>/<name>.png
<category>/ground_truth/<defect>/<name>_mask.png     or <name>.png; optional
<category>/ground_truth/<defect>/<name>/<any>.png    several masks of one image, whose union counts

A data set with other names for these folders, such as BTAD, has its own `Names`.

Images may be in subfolders of these folders, and their masks in subfolders with the same names. `masks` finds
the image of each mask.

Files that look like images but are not read are listed with the reason. Some files are not mentioned: texts
and the like beside the folders of images (a license, a readme), and files that systems create in every folder
(Thumbs.db, .DS_Store).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vlmad_jax.data.images import image_suffixes, is_image, is_image_name
from vlmad_jax.data.masks import match_masks
from vlmad_jax.data.samples import GOOD, Sample, Skipped
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import ancestors_of, walk
from vlmad_jax.runtime.names import lookup_name

LAYOUT = "<category>/train/good, <category>/test/<defect>, <category>/ground_truth/<defect>"
_ORDINARY = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".gitkeep", ".gitignore", ".directory"}
_MOST_FOLDERS = 200  # folders searched for images below a folder that is not a category


@dataclass(frozen=True)
class Names:
    """The names of the folders in a category: of the normal images, of the test images, and of the masks."""

    normal: str = GOOD
    test: str = "test"
    masks: str = "ground_truth"


MVTEC = Names()


def is_category(folder: Path, names: Names = MVTEC) -> bool:
    """Return whether a folder is a category: it holds `train/good` or `test`, or what `names` calls them."""
    return (folder / "train" / names.normal).is_dir() or (folder / names.test).is_dir()


def category_folders(root: Path, names: Names = MVTEC) -> list[Path]:
    """Return the sorted categories below `root`, or `root` itself if it is a category."""
    if is_category(root, names):
        return [root]
    return [folder for folder in subfolders(root) if is_category(folder, names)]


def scan_layout(root: Path, names: Names = MVTEC) -> list[Sample]:
    """Return all samples below `root`, sorted by category, train before test, defect and name.

    The images of `names.normal` have the defect "good".

    Raises:
      InputError: There is no category, a category holds no images, or the image of a mask is missing or
        ambiguous.
    """
    folders = category_folders(root, names)
    if not folders:
        raise InputError(f"--data_dir: {root} holds no category; expected {LAYOUT}")
    return [sample for folder in folders for sample in _scan_category(folder, names)]


def subfolders(folder: Path) -> list[Path]:
    """Return the sorted visible subfolders of a folder; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _scan_category(folder: Path, names: Names) -> list[Sample]:
    is_own = _own_folders(folder, names)
    train = [
        Sample(path, folder.name, "train", GOOD)
        for path in _images_below(folder / "train" / names.normal, is_own).values()
    ]
    defects = [path.name for path in subfolders(folder / names.test) if path != folder / names.masks]
    test = [
        sample
        for defect in sorted(defects, key=lambda name: GOOD if name == names.normal else name)
        for sample in _scan_defect(folder, defect, names, is_own)
    ]
    if not train and not test:
        raise InputError(f"--data_dir: category {folder} holds no images; expected {LAYOUT}")
    return train + test


def _scan_defect(folder: Path, defect: str, names: Names, is_own: Callable[[str], bool]) -> list[Sample]:
    mask_folders = {path.name: path for path in subfolders(folder / names.masks)}
    mask_folder = lookup_name(defect, mask_folders) or folder / names.masks / defect
    images = _images_below(folder / names.test / defect, is_own)
    masks = _images_below(mask_folder, is_own)
    try:
        matched = match_masks(list(images), list(masks))
    except InputError as error:
        raise InputError(f"{mask_folder}: {error}") from None
    for mask in matched.unmatched if defect != names.normal else ():
        missing = folder / names.test / defect / Path(mask).with_suffix("").as_posix().removesuffix("_mask")
        raise InputError(
            f"{masks[mask]}: the image of this mask is missing; add {missing}.* or remove the mask"
        )
    return [
        Sample(
            path,
            folder.name,
            "test",
            GOOD if defect == names.normal else defect,
            tuple(masks[mask] for mask in matched.masks.get(name, ())),
        )
        for name, path in images.items()
    ]


def _images_below(folder: Path, is_own: Callable[[str], bool]) -> dict[str, str]:
    """Return the images in and below a folder by their relative path, sorted by folder."""
    if not folder.is_dir():
        return {}
    is_ancestor = ancestors_of(folder)
    found = [
        before + name
        for place, names in walk(folder, skip=lambda real: is_ancestor(real) or is_own(real))
        for before in [os.path.join(place, "")]
        for name in names or ()
        if is_image_name(name)
    ]
    start = len(os.path.join(folder, ""))
    found.sort(key=lambda path: path.split(os.sep))
    return {path[start:].replace(os.sep, "/"): path for path in found}


def _own_folders(category: Path, names: Names) -> Callable[[str], bool]:
    """Return a test whether a real path is a folder of the layout, which links must not lead into."""
    parts = [category / name for name in ("train", names.test, names.masks)]
    own = {os.path.realpath(path) for part in parts for path in (part, *subfolders(part))}
    return own.__contains__


def find_skipped(root: Path, samples: Sequence[Sample]) -> list[Skipped]:
    """Return the skipped files and folders below `root`, from which `samples` are read, by folder."""
    used = _Used(samples)
    found = [] if is_category(root) else list(_beside_categories(root))
    for category in category_folders(root):
        found += _of_category(category, used)
    return found


class _Used:
    """The set of files that are read."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.paths = {path for sample in samples for path in (sample.path, *sample.masks)}

    @cached_property
    def real(self) -> set[str]:
        """The real paths, because a link may lead to a file by another path."""
        return set(map(os.path.realpath, self.paths))

    def __contains__(self, path: str) -> bool:
        return path in self.paths or os.path.realpath(path) in self.real


def _beside_categories(root: Path) -> Iterator[Skipped]:
    for path in sorted(root.iterdir()):
        if path.is_dir():
            continue
        if is_image(path):
            yield Skipped(str(path), "", "image beside the folders of categories")
    for folder in subfolders(root):
        if not is_category(folder) and _holds_images(folder):
            reason = f"folder that holds images, but neither train/{GOOD} nor test"
            yield Skipped(str(folder), "", reason)


def _holds_images(folder: Path) -> bool:
    searched = itertools.islice(walk(folder, skip=ancestors_of(folder)), _MOST_FOLDERS)
    return any(is_image(Path(name)) for _, names in searched for name in names or ())


def _of_category(category: Path, used: _Used) -> Iterator[Skipped]:
    for folder, names in walk(category, skip=ancestors_of(category)):
        for name in () if names is None else names:
            path = os.path.join(folder, name)
            if path in used.paths:
                continue
            reason = _reason(Path(path).relative_to(category).parts)
            if reason and path not in used:
                yield Skipped(path, category.name, reason)
        if names is not None:
            yield from _in_hidden_folders(folder, category.name)


def _in_hidden_folders(folder: str, category: str) -> Iterator[Skipped]:
    with os.scandir(folder) as entries:
        hidden = sorted(entry.path for entry in entries if entry.name.startswith(".") and entry.is_dir())
    for path in hidden:
        for below, _, names in os.walk(path):
            for name in sorted(names):
                if is_image(Path(name)):
                    yield Skipped(os.path.join(below, name), category, "image in a hidden folder")


def _reason(parts: tuple[str, ...]) -> str:
    """Return why a file, given by its path in the category, is skipped; "" if it needs no mention."""
    *folders, name = parts
    suffix = Path(name).suffix
    if name.lower() in _ORDINARY or name.startswith("._"):  # macOS creates the latter beside every file
        return ""
    known = suffix.lower() in image_suffixes()
    if not folders and not known:
        return ""
    if name.startswith("."):
        return "file with a hidden name"
    if not known:
        return f"file with the suffix {suffix}, which is not read" if suffix else "file without a suffix"
    return _reason_of_image(folders)


def _reason_of_image(folders: Sequence[str]) -> str:
    """Return why an image in these folders of a category is skipped."""
    if not folders or folders[0] not in ("train", "test", "ground_truth"):
        where = f"{folders[0]}/" if folders else "the folder of a category itself"
        return f"image in {where}: train/{GOOD} and test/<defect> are read"
    if len(folders) == 1:
        inside = GOOD if folders[0] == "train" else "<defect>"
        return f"image in {folders[0]}/ itself: {folders[0]}/{inside} is read"
    if folders[0] == "train":
        return f"image in train/{folders[1]}/: train/{GOOD} is read"
    if folders[0] == "ground_truth":
        return "mask without its image"
    return "image that is read by another path"
