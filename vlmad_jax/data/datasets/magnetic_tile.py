"""Magnetic tiles: 1,344 images of the surfaces of tiles, with masks (Huang et al., The Visual Computer 2020).

MT_Free/Imgs/<name>.jpg
MT_Blowhole/Imgs/<name>.jpg and <name>.png             also MT_Break, MT_Crack, MT_Fray and MT_Uneven

The images of MT_Free are normal. There is no official split: here the training split is the half of them with
the smallest SHA-256 of the file name, and all other images are for testing.
"""

import functools
from pathlib import Path

from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source
from vlmad_jax.data.splits import training_images
from vlmad_jax.errors import InputError

CATEGORY = "magnetic_tile"
DEFECTS = {
    "MT_Free": GOOD,
    "MT_Blowhole": "blowhole",
    "MT_Break": "break",
    "MT_Crack": "crack",
    "MT_Fray": "fray",
    "MT_Uneven": "uneven",
}
TRAIN_SHARE = 0.5


def _scan(root: Path) -> list[Sample]:
    for name in DEFECTS:
        if not (root / name / "Imgs").is_dir():
            raise InputError(f"{root / name}/Imgs is missing; download the folder again")
    normal = [str(path) for path in _images(root / "MT_Free")]
    train = training_images(normal, TRAIN_SHARE)
    samples = [Sample(path, CATEGORY, "train" if path in train else "test", GOOD) for path in normal]
    for folder, defect in DEFECTS.items():
        for path in _images(root / folder) if defect != GOOD else ():
            mask = path.with_suffix(".png")
            if not mask.is_file():
                raise InputError(f"{path}: its mask {mask.name} is missing; download the folder again")
            samples.append(Sample(str(path), CATEGORY, "test", defect, (str(mask),)))
    return sorted(samples, key=lambda s: (s.split == "test", s.label, s.defect, s.path))


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "Imgs").iterdir() if path.suffix.lower() == ".jpg")


MAGNETIC_TILE = Source(
    name="magnetic_tile",
    homepage="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    citation=(
        "Y. Huang, C. Qiu, K. Yuan: Surface defect saliency of magnetic tile. The Visual Computer 36, 2020."
    ),
    locate=functools.partial(locate, "magnetic_tile"),
    scan=_scan,
)
