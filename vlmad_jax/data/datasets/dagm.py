"""DAGM 2007: 16,100 images of 10 rendered textures with rough masks (Wieler and Hahn, 2007).

Class1/Train/0001.PNG, Class1/Train/Label/0001_label.PNG, Class1/Test/..., up to Class10

An image is anomalous if it has a label file, which is its mask: an ellipse around the defect. Some training
images are anomalous; they are listed, but never used as references.
"""

import functools
import os
from pathlib import Path

from vlmad_jax.data.images import is_image_name
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError

SPLITS = {"Train": "train", "Test": "test"}


def _scan(root: Path) -> list[Sample]:
    folders = sorted((path for path in root.glob("Class*") if path.is_dir()), key=lambda path: path.name)
    samples = [
        sample for folder in folders for split in SPLITS for sample in _scan_split(folder / split, split)
    ]
    return sorted(samples, key=lambda s: (s.category, s.split == "test", s.label, s.path))


def _scan_split(folder: Path, split: str) -> list[Sample]:
    if not folder.is_dir():
        raise InputError(f"{folder} is missing; extract {folder.parent.name} of DAGM 2007 again")
    labels = folder / "Label"
    masks = {name[: name.index("_label")]: str(labels / name) for name in _images(labels) if "_label" in name}
    samples = []
    for name in _images(folder):
        mask = masks.pop(os.path.splitext(name)[0], None)
        defect, found = (GOOD, ()) if mask is None else ("defect", (mask,))
        samples.append(Sample(str(folder / name), folder.parent.name, SPLITS[split], defect, found))
    if masks:
        raise InputError(f"{min(masks.values())}: its image is missing; extract {folder.parent.name} again")
    return samples


def _images(folder: Path) -> list[str]:
    return sorted(filter(is_image_name, os.listdir(folder))) if folder.is_dir() else []


DAGM = Source(
    name="dagm",
    homepage="https://hci.iwr.uni-heidelberg.de/content/weakly-supervised-learning-industrial-optical-inspection",
    citation="M. Wieler, T. Hahn: Weakly Supervised Learning for Industrial Optical Inspection. DAGM 2007.",
    locate=functools.partial(locate, "dagm"),
    scan=_scan,
    object_names=OBJECT_NAMES["dagm"],
)
