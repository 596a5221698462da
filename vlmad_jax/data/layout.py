"""The MVTec layout, by which MVTec AD, anybody's own pictures and the synthetic set are read.

<category>/train/good/<name>.png
<category>/test/good/<name>.png
<category>/test/<defect>/<name>.png
<category>/ground_truth/<defect>/<name>_mask.png     or <name>.png; may be absent
"""

from pathlib import Path

from vlmad_jax.data.images import is_picture
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.errors import InputError

LAYOUT = "<category>/train/good, <category>/test/<defect>, <category>/ground_truth/<defect>"


def is_category(folder: Path) -> bool:
    """Whether a folder looks like one category: it holds `train/good` or `test`."""
    return (folder / "train" / GOOD).is_dir() or (folder / "test").is_dir()


def category_folders(root: Path) -> list[Path]:
    """The categories below `root`, or `root` itself where that is one; sorted; empty where there is none."""
    if is_category(root):
        return [root]
    return [folder for folder in _subfolders(root) if is_category(folder)]


def scan_layout(root: Path) -> list[Sample]:
    """All samples below `root`, in the order category, train before test, defect, name.

    Raises InputError when there is no category, a category holds no pictures, or a mask has no picture.
    """
    folders = category_folders(root)
    if not folders:
        raise InputError(f"--data_dir: {root} holds no category; expected {LAYOUT}")
    return [sample for folder in folders for sample in _scan_category(folder)]


def _scan_category(folder: Path) -> list[Sample]:
    train = [Sample(str(path), folder.name, "train", GOOD) for path in _pictures(folder / "train" / GOOD)]
    test = [sample for defect in _subfolders(folder / "test") for sample in _scan_defect(folder, defect.name)]
    if not train and not test:
        raise InputError(f"--data_dir: category {folder} holds no pictures; expected {LAYOUT}")
    return train + test


def _scan_defect(folder: Path, defect: str) -> list[Sample]:
    pictures = _pictures(folder / "test" / defect)
    masks = (
        {} if defect == GOOD else {path.stem: path for path in _pictures(folder / "ground_truth" / defect)}
    )
    samples = []
    for path in pictures:
        mask = masks.get(f"{path.stem}_mask") or masks.get(path.stem)
        samples.append(Sample(str(path), folder.name, "test", defect, str(mask) if mask else None))
    known = {path.stem for path in pictures}
    for stem, mask in masks.items():
        if stem not in known and stem.removesuffix("_mask") not in known:
            missing = folder / "test" / defect / stem.removesuffix("_mask")
            raise InputError(
                f"{mask}: the picture of this mask is missing; add {missing}.* or remove the mask"
            )
    return samples


def _pictures(folder: Path) -> list[Path]:
    return sorted(filter(is_picture, folder.iterdir())) if folder.is_dir() else []


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
