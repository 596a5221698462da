"""HeadCT, BrainMRI and Br35H: slices of heads, normal or with a finding, without masks. All are for testing.

- HeadCT: 200 slices of computed tomography, 100 with a haemorrhage (Kitamura, Kaggle 2018): folders `normal`
  and `abnormal`, or as published `labels.csv` with the folder `head_ct`.
- BrainMRI: 253 slices of magnetic resonance, 155 with a tumour (Chakrabarty, Kaggle 2019): folders `no`,
  `yes`.
- Br35H: 3,000 slices, 1,500 with a tumour (Hamada, Kaggle 2020): folders `no`, `yes`. Its folder `pred` is
  not read.
"""

import csv
import functools
from pathlib import Path

from vlmad_jax.data.images import is_image
from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError

FOLDERS = {"no": 0, "normal": 0, "yes": 1, "abnormal": 1}
LABELS = "labels.csv"


def _scan(category: str, defect: str, root: Path) -> list[Sample]:
    if (root / LABELS).is_file():
        labels = _read_labels(root)
    else:
        labels = [
            (path, FOLDERS[folder.name])
            for folder in sorted(root.iterdir())
            if folder.name in FOLDERS and folder.is_dir()
            for path in sorted(filter(is_image, folder.iterdir()))
        ]
    samples = [Sample(str(path), category, "test", defect if label else GOOD) for path, label in labels]
    return sorted(samples, key=lambda s: (s.label, s.path))


def _read_labels(root: Path) -> list[tuple[Path, int]]:
    """Return the images of HeadCT with the labels of its table, whose rows are a number and 0 or 1."""
    labels = []
    with (root / LABELS).open(newline="", encoding="utf-8-sig") as file:
        for line, row in enumerate(csv.reader(file), start=1):
            if line == 1 or not row:
                continue
            try:
                path, label = root / "head_ct" / f"{int(row[0]):03}.png", int(row[1])
            except (ValueError, IndexError):
                raise InputError(f"{root / LABELS}, line {line}: not a number and a label") from None
            if not path.is_file():
                raise InputError(f"{path} is missing, but {LABELS} names it; extract HeadCT again")
            labels.append((path, label))
    return labels


def _source(name: str, category: str, defect: str, homepage: str, citation: str) -> Source:
    return Source(
        name=name,
        homepage=homepage,
        citation=citation,
        locate=functools.partial(locate, name),
        scan=functools.partial(_scan, category, defect),
        object_names=OBJECT_NAMES.get(name, {}),
    )


HEADCT = _source(
    "headct",
    "head",
    "hemorrhage",
    "https://www.kaggle.com/datasets/felipekitamura/head-ct-hemorrhage",
    "F. C. Kitamura: Head CT - hemorrhage. Kaggle, 2018.",
)
BRAINMRI = _source(
    "brainmri",
    "brain",
    "tumor",
    "https://www.kaggle.com/datasets/navoneel/brain-mri-images-for-brain-tumor-detection",
    "N. Chakrabarty: Brain MRI Images for Brain Tumor Detection. Kaggle, 2019.",
)
BR35H = _source(
    "br35h",
    "brain",
    "tumor",
    "https://www.kaggle.com/datasets/ahmedhamada0/brain-tumor-detection",
    "A. Hamada: Br35H :: Brain Tumor Detection 2020. Kaggle, 2020.",
)
