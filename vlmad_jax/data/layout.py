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

import os
from collections.abc import Callable
from pathlib import Path

from vlmad_jax.data.images import is_image
from vlmad_jax.data.mask_names import match
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import leads_up, walk
from vlmad_jax.runtime.names import named

LAYOUT = "<category>/train/good, <category>/test/<defect>, <category>/ground_truth/<defect>"


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
