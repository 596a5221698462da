"""The MVTec layout, by which MVTec AD, MVTec LOCO, anybody's own images and the synthetic set are read.

<category>/train/good/<name>.png
<category>/test/good/<name>.png
<category>/test/<defect>/<name>.png
<category>/ground_truth/<defect>/<name>_mask.png     or <name>.png; may be absent
<category>/ground_truth/<defect>/<name>/<any>.png    several masks of one image, of which the union counts

Images may lie in folders below these, and their masks then in folders of the same names. `mask_names` says
which mask belongs to which image, `left_out` what is not read.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from vlmad_jax.data.images import image_suffixes, is_image
from vlmad_jax.data.masks import match
from vlmad_jax.data.samples import GOOD, LeftOut, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import leads_up, walk
from vlmad_jax.runtime.names import named

LAYOUT = "<category>/train/good, <category>/test/<defect>, <category>/ground_truth/<defect>"
_ORDINARY = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".gitkeep", ".gitignore", ".directory"}
_FOLDERS_LOOKED_AT = 200  # of one that is no category, for images


def is_category(folder: Path) -> bool:
    """Whether a folder looks like one category: it holds `train/good` or `test`."""
    return (folder / "train" / GOOD).is_dir() or (folder / "test").is_dir()


def category_folders(root: Path) -> list[Path]:
    """The categories below `root`, or `root` itself where that is one; sorted; empty where there is none."""
    if is_category(root):
        return [root]
    return [folder for folder in subfolders(root) if is_category(folder)]


def scan_layout(root: Path) -> list[Sample]:
    """All samples below `root`, in the order category, train before test, defect, name.

    Raises InputError when there is no category, a category holds no images, or a mask has no image, or
    may be that of several.
    """
    folders = category_folders(root)
    if not folders:
        raise InputError(f"--data_dir: {root} holds no category; expected {LAYOUT}")
    return [sample for folder in folders for sample in _scan_category(folder)]


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, sorted; none where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _scan_category(folder: Path) -> list[Sample]:
    closed = _own_folders(folder)
    train = [
        Sample(str(path), folder.name, "train", GOOD)
        for path in _images_below(folder / "train" / GOOD, closed).values()
    ]
    test = [
        sample
        for defect in subfolders(folder / "test")
        for sample in _scan_defect(folder, defect.name, closed)
    ]
    if not train and not test:
        raise InputError(f"--data_dir: category {folder} holds no images; expected {LAYOUT}")
    return train + test


def _scan_defect(folder: Path, defect: str, closed: Callable[[str], bool]) -> list[Sample]:
    there = {path.name: path for path in subfolders(folder / "ground_truth")}
    drawn = named(defect, there) or folder / "ground_truth" / defect
    images = _images_below(folder / "test" / defect, closed)
    masks = _images_below(drawn, closed)
    try:
        matched = match(list(images), list(masks))
    except InputError as error:
        raise InputError(f"{drawn}: {error}") from None
    for mask in matched.left if defect != GOOD else ():
        missing = folder / "test" / defect / Path(mask).with_suffix("").as_posix().removesuffix("_mask")
        raise InputError(
            f"{masks[mask]}: the image of this mask is missing; add {missing}.* or remove the mask"
        )
    return [
        Sample(
            str(path),
            folder.name,
            "test",
            defect,
            tuple(str(masks[mask]) for mask in matched.masks.get(name, ())),
        )
        for name, path in images.items()
    ]


def _images_below(folder: Path, closed: Callable[[str], bool]) -> dict[str, Path]:
    """The images in a folder and below it by their path from there, sorted folder by folder."""
    if not folder.is_dir():
        return {}
    up = leads_up(folder)
    found = [
        Path(place, name)
        for place, names in walk(folder, closed=lambda real: up(real) or closed(real))
        for name in names or ()
    ]
    return {path.relative_to(folder).as_posix(): path for path in sorted(filter(is_image, found))}


def _own_folders(category: Path) -> Callable[[str], bool]:
    """Whether a real path is that of a folder of the layout, whose images have a meaning of their own."""
    parts = [category / name for name in ("train", "test", "ground_truth")]
    own = {os.path.realpath(path) for part in parts for path in (part, *subfolders(part))}
    return own.__contains__


def find_left_out(root: Path, samples: Sequence[Sample]) -> list[LeftOut]:
    """What is not read below `root`, of which `samples` are read, in the order of the folders."""
    used = _Used(samples)
    found = [] if is_category(root) else list(_beside_categories(root))
    for category in category_folders(root):
        found += _of_category(category, used)
    return found


class _Used:
    """The files that are read."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.paths = {path for sample in samples for path in (sample.path, *sample.masks)}

    @cached_property
    def real(self) -> set[str]:
        """Their real paths: a link may lead to them by another one."""
        return set(map(os.path.realpath, self.paths))

    def __contains__(self, path: str) -> bool:
        return path in self.paths or os.path.realpath(path) in self.real


def _beside_categories(root: Path) -> Iterator[LeftOut]:
    for path in sorted(root.iterdir()):
        if path.is_dir():
            continue
        if is_image(path):
            yield LeftOut(str(path), "", "image beside the folders of categories")
    for folder in subfolders(root):
        if not is_category(folder) and _holds_images(folder):
            reason = f"folder that holds images, but neither train/{GOOD} nor test"
            yield LeftOut(str(folder), "", reason)


def _holds_images(folder: Path) -> bool:
    looked_at = itertools.islice(walk(folder, closed=leads_up(folder)), _FOLDERS_LOOKED_AT)
    return any(is_image(Path(name)) for _, names in looked_at for name in names or ())


def _of_category(category: Path, used: _Used) -> Iterator[LeftOut]:
    for folder, names in walk(category, closed=leads_up(category)):
        for name in () if names is None else names:
            path = Path(folder, name)
            if str(path) in used.paths:
                continue
            reason = _reason(path.relative_to(category).parts)
            if reason and str(path) not in used:
                yield LeftOut(str(path), category.name, reason)
        if names is not None:
            yield from _in_hidden_folders(folder, category.name)


def _in_hidden_folders(folder: str, category: str) -> Iterator[LeftOut]:
    with os.scandir(folder) as entries:
        hidden = sorted(entry.path for entry in entries if entry.name.startswith(".") and entry.is_dir())
    for path in hidden:
        for below, _, names in os.walk(path):
            for name in sorted(names):
                if is_image(Path(name)):
                    yield LeftOut(os.path.join(below, name), category, "image in a hidden folder")


def _reason(parts: tuple[str, ...]) -> str:
    """Why the file at this path in its category is not read; "" if nobody would expect that it is."""
    *folders, name = parts
    suffix = Path(name).suffix
    if name.lower() in _ORDINARY or name.startswith("._"):  # the latter are of macOS, beside every file
        return ""
    known = suffix.lower() in image_suffixes()
    if not folders and not known:
        return ""
    if name.startswith("."):
        return "file with a hidden name"
    if not known:
        return f"file with the suffix {suffix}, which is not read" if suffix else "file without a suffix"
    return _place(folders)


def _place(folders: Sequence[str]) -> str:
    """What an image in these folders of a category is, and what is read instead."""
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
    return "image that a link leads to once more"
