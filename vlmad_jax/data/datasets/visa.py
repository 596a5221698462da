"""VisA: 10,821 images of 12 categories, with class-indexed masks (Zou et al., ECCV 2022).

The images are in the official layout, with the split of `split_csv/1cls.csv` (columns object, split, label,
image, mask). That file does not name defects, so each defect is called "anomaly".
"""

import csv
import functools
import os
from pathlib import Path

from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.names import find_path

TABLE = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
DEFECTS = {"normal": GOOD, "anomaly": "anomaly"}


def _scan(root: Path) -> list[Sample]:
    listings: dict[str, dict[str, str]] = {}
    with (root / TABLE).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = csv.DictReader(file)
        if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
            raise InputError(f"{root / TABLE}: lacks the column {missing[0]}; restore the official file")
        samples = [_sample(root, row, rows.line_num, listings) for row in rows]
    return sorted(samples, key=lambda s: (s.category, s.split == "test", s.label, s.path))


def _sample(root: Path, row: dict[str, str], line: int, listings: dict[str, dict[str, str]]) -> Sample:
    where = f"{root / TABLE}, line {line}"
    if row["label"] not in DEFECTS or row["split"] not in ("train", "test") or not row["image"]:
        raise InputError(f"{where}: label, split or image is not one of VisA's; restore the official file")
    paths: list[str] = []
    for name in filter(None, (row["image"], row["mask"])):
        path = find_path(root, name, listings)
        if path is None or not os.path.isfile(path):
            of_mask = f" (the image of {row['mask']})" if not paths and row["mask"] else ""
            raise InputError(f"{root / name}{of_mask} is missing, but {where} names it; extract VisA again")
        paths.append(path)
    image, *masks = paths
    return Sample(image, row["object"], row["split"], DEFECTS[row["label"]], tuple(masks))


VISA = Source(
    name="visa",
    homepage="https://github.com/amazon-science/spot-diff",
    citation=(
        "Y. Zou, J. Jeong, L. Pemula, D. Zhang, O. Dabeer: SPot-the-Difference Self-Supervised "
        "Pre-training for Anomaly Detection and Segmentation. ECCV 2022."
    ),
    locate=functools.partial(locate, "visa"),
    scan=_scan,
)
