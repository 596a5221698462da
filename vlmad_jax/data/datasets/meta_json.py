"""The exchange file of AnomalyCLIP and the methods that build on it: `meta.json`, one entry an image.

{"train": {class: [entry, ...]}, "test": {class: [entry, ...]}} with entries
{"img_path": ..., "mask_path": ..., "cls_name": ..., "specie_name": ..., "anomaly": 0 or 1}

Paths are relative to the folder of the file, or absolute. A mask path may be "", and so may the name of the
species, which is then "good" or "anomaly". "Train" and "Test" are read, too, and either may be absent.
`vlmad_jax.data.convert` writes such files.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlmad_jax.data.samples import GOOD, Sample
from vlmad_jax.data.source import Source, require_data_dir
from vlmad_jax.errors import InputError

TABLE = "meta.json"


def _locate(data_dir: Path | None) -> Path:
    path = require_data_dir("meta_json", data_dir, f"a folder with {TABLE}, or that file")
    folder = path.parent if path.name == TABLE else path
    if not (folder / TABLE).is_file():
        raise InputError(f"--data_dir: {path} holds no {TABLE}; give the folder of one")
    return folder


def _scan(root: Path) -> list[Sample]:
    table = root / TABLE
    try:
        listed = json.loads(table.read_text(encoding="utf-8", errors="surrogateescape"))
        entries = [
            (split.lower(), category, entry)
            for split, categories in listed.items()
            if split.lower() in ("train", "test")
            for category, images in categories.items()
            for entry in images
        ]
        samples = list(_samples(table, entries))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{table}: is not a table of images ({error!r}); see docs/datasets.md") from None
    if not samples:
        raise InputError(f"{table}: lists no images")
    return sorted(samples, key=lambda s: (s.category, s.split == "test", s.label, s.defect, s.path))


def _samples(table: Path, entries: list[tuple[str, str, dict[str, Any]]]) -> Iterator[Sample]:
    for split, category, entry in entries:
        names = filter(None, (entry["img_path"], entry.get("mask_path")))
        paths = [os.path.normpath(os.path.join(table.parent, name)) for name in names]
        for path in paths:
            if not os.path.isfile(path):
                raise InputError(f"{path} is missing, but {table} names it")
        anomalous = bool(int(entry["anomaly"]))
        kind = entry.get("specie_name") or "anomaly"
        masks = tuple(paths[1:]) if anomalous else ()
        yield Sample(
            paths[0], category, split, ("anomaly" if kind == GOOD else kind) if anomalous else GOOD, masks
        )


META_JSON = Source(
    name="meta_json",
    homepage="https://github.com/zqhang/AnomalyCLIP",
    citation="",
    locate=_locate,
    scan=_scan,
    one_class=True,
)
