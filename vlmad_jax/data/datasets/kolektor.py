"""KolektorSDD and KolektorSDD2, whose masks lie beside their images and are black for normal images.

- KolektorSDD: 399 images of the surfaces of 50 commutators, 52 of them with a crack (Tabernik et al., JIM
  2019): kos01/Part0.jpg, kos01/Part0_label.bmp, ... The published splits are for supervised methods. Here the
  normal images of the items with odd numbers (kos01, kos03, ...) are for training, and all other images are
  for testing.
- KolektorSDD2: 3,335 images of a surface, 356 of them defective (Bozic et al., Computers in Industry 2021):
  train/10000.png, train/10000_GT.png, test/20000.png, ... Some training images are anomalous; they are
  listed, but never used as references.
"""

import functools
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vlmad_jax.data.images import is_image_name
from vlmad_jax.data.masks import read_mask
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError


def _pairs(folder: Path, suffix: str) -> Iterator[tuple[str, str]]:
    """Yield the paths of each image in a folder and of its mask, whose name ends in `suffix`.

    Raises:
      InputError: A mask or its image is missing.
    """
    names = sorted(filter(is_image_name, os.listdir(folder))) if folder.is_dir() else []
    masks = {
        name[: -len(end)]: name for name in names if name.endswith(end := suffix + os.path.splitext(name)[1])
    }
    images = [name for name in names if name not in masks.values()]
    for name in images:
        mask = masks.pop(os.path.splitext(name)[0], None)
        if mask is None:
            raise InputError(f"{folder / name}: its mask ({suffix}) is missing; extract the archive again")
        yield str(folder / name), str(folder / mask)
    if masks:
        raise InputError(f"{folder / min(masks.values())}: its image is missing; extract the archive again")


def _labelled(pairs: list[tuple[str, str]], category: str) -> Iterator[Sample]:
    """Yield test samples, which are anomalous if their mask marks anything."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        marked = threads.map(lambda pair: bool(read_mask(pair[1]).any()), pairs)
        for (image, mask), anomalous in zip(pairs, marked, strict=True):
            yield Sample(image, category, "test", *(("defect", (mask,)) if anomalous else (GOOD, ())))


def _is_odd(path: str) -> bool:
    digits = re.sub(r"\D", "", Path(path).parent.name)
    return bool(digits) and int(digits) % 2 == 1


def _scan_ksdd(root: Path) -> list[Sample]:
    folders = sorted(path for path in root.glob("kos*") if path.is_dir())
    pairs = [pair for folder in folders for pair in _pairs(folder, "_label")]
    samples = [
        Sample(s.path, s.category, "train" if not s.label and _is_odd(s.path) else "test", s.defect, s.masks)
        for s in _labelled(pairs, "commutator")
    ]
    return sorted(samples, key=lambda s: (s.split == "test", s.label, s.path))


def _scan_ksdd2(root: Path) -> list[Sample]:
    samples = []
    for split in ("train", "test"):
        found = _labelled(list(_pairs(root / split, "_GT")), "surface")
        samples += [Sample(s.path, s.category, split, s.defect, s.masks) for s in found]
    return sorted(samples, key=lambda s: (s.split == "test", s.label, s.path))


KSDD = Source(
    name="ksdd",
    homepage="https://www.vicos.si/resources/kolektorsdd/",
    citation=(
        "D. Tabernik, S. Sela, J. Skvarc, D. Skocaj: Segmentation-Based Deep-Learning Approach for "
        "Surface-Defect Detection. Journal of Intelligent Manufacturing 31, 2020."
    ),
    locate=functools.partial(locate, "ksdd"),
    scan=_scan_ksdd,
    object_names=OBJECT_NAMES["ksdd"],
)

KSDD2 = Source(
    name="ksdd2",
    homepage="https://www.vicos.si/resources/kolektorsdd2/",
    citation=(
        "J. Bozic, D. Tabernik, D. Skocaj: Mixed supervision for surface-defect detection: from weakly to "
        "fully supervised learning. Computers in Industry 129, 2021."
    ),
    locate=functools.partial(locate, "ksdd2"),
    scan=_scan_ksdd2,
    object_names=OBJECT_NAMES["ksdd2"],
)
