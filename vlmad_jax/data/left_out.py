"""What lies in a data set of the MVTec layout and is not read, with the reason.

Not worth a word: texts and the like beside the folders of images (a license, a readme), and what systems
leave in every folder (Thumbs.db, .DS_Store).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from vlmad_jax.data.images import image_suffixes, is_image
from vlmad_jax.data.layout import category_folders, is_category, subfolders
from vlmad_jax.data.samples import GOOD, LeftOut, Sample
from vlmad_jax.runtime.files import leads_up, walk

_ORDINARY = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".gitkeep", ".gitignore", ".directory"}
_FOLDERS_LOOKED_AT = 200  # of one that is no category, for images


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
