"""Real-IAD: 151,050 images of 30 categories, five views of each thing, with masks (Wang et al., CVPR 2024).

realiad_1024/<category>/OK/S0001/<name>.jpg
realiad_1024/<category>/NG/<defect>/S0001/<name>.jpg
realiad_jsons/<category>.json                          or realiad_jsons/realiad_jsons/<category>.json

The largest of realiad_1024, realiad_512 and realiad_256 is read.
A JSON file lists {"train" | "test": [{"image_path", "mask_path", "anomaly_class"}]}, with paths below the
folder of the category. Images of the class "OK" are normal, also the views of a defective thing that do not
show the defect. The image metrics are also reported for things: the score of a thing is the largest of its
views, and it is anomalous if a view is. Categories without images are skipped.
"""

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlmad_jax.data.object_names import OBJECT_NAMES
from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.signs import locate
from vlmad_jax.data.source import Source
from vlmad_jax.errors import InputError

SIZES = ("realiad_1024", "realiad_512", "realiad_256")
NORMAL = "OK"


def _scan(root: Path) -> list[Sample]:
    images = next((root / name for name in SIZES if (root / name).is_dir()), None)
    if images is None:
        raise InputError(f"{root / SIZES[0]} is missing; extract the images of Real-IAD beside realiad_jsons")
    tables = root / "realiad_jsons"
    tables = tables / "realiad_jsons" if (tables / "realiad_jsons").is_dir() else tables
    samples = [
        sample
        for table in sorted(tables.glob("*.json"))
        if (images / table.stem).is_dir()
        for sample in _read(table, images)
    ]
    if not samples:
        raise InputError(f"{images}: holds no category of {tables}; extract the images of a category there")
    return sorted(samples, key=lambda s: (s.category, s.split == "test", s.label, s.path))


def _read(table: Path, images: Path) -> Iterator[Sample]:
    """Yield the samples of the JSON file of a category."""
    try:
        listed = json.loads(table.read_text(encoding="utf-8"))
        for split in ("train", "test"):
            for entry in listed[split]:
                yield _sample(table, images, split, entry, listed.get("meta", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{table}: is not a table of Real-IAD ({error!r}); extract it again") from None


def _sample(table: Path, images: Path, split: str, entry: dict[str, Any], meta: dict[str, Any]) -> Sample:
    folder = os.path.join(images, meta.get("prefix", table.stem))
    names = filter(None, (entry["image_path"], entry.get("mask_path")))
    paths = [os.path.normpath(os.path.join(folder, name)) for name in names]
    for path in paths:
        if not os.path.isfile(path):
            raise InputError(f"{path} is missing, but {table} names it; extract {table.stem} again")
    kind = entry["anomaly_class"]
    return Sample(paths[0], table.stem, split, GOOD if kind == NORMAL else kind, tuple(paths[1:]))


REAL_IAD = Source(
    name="real_iad",
    homepage="https://realiad4ad.github.io/Real-IAD/",
    citation=(
        "C. Wang, W. Zhu, B.-B. Gao, Z. Gan, J. Zhang, Z. Gu, S. Qian, M. Chen, L. Ma: Real-IAD: A "
        "Real-World Multi-View Dataset for Benchmarking Versatile Industrial Anomaly Detection. CVPR 2024."
    ),
    locate=functools.partial(locate, "real_iad"),
    scan=_scan,
    object_names=OBJECT_NAMES["real_iad"],
    by_folder=True,
)
