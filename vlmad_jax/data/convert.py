"""Writing a data set as others' code reads it: in AnomalyCLIP's `meta.json`, or in MVTec's folders."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.data.masks import read_masks
from vlmad_jax.data.samples import GOOD, DataSet, Sample
from vlmad_jax.errors import InputError
from vlmad_jax.runtime.files import write_atomically

FORMATS = ("meta_json", "mvtec")


def convert(dataset: DataSet, to: str, out: Path) -> Path:
    """Write a data set in another layout.

    Args:
      dataset: The data set.
      to: "meta_json" writes `out`/meta.json, which refers to the images where they are; several masks of an
        image become one in `out`/masks. "mvtec" copies images to `out`, and writes masks as 0 and 255;
        training images that are anomalous are left out.
      out: The folder to write to, which may be the folder of the data set for "meta_json".

    Returns:
      The written file or folder.

    Raises:
      InputError: `to` is unknown, a mask cannot be read, or a file cannot be written.
    """
    if to not in FORMATS:
        raise InputError(f"--to={to}: give {' or '.join(FORMATS)}")
    if to == "meta_json":
        return _write_meta_json(dataset, out)
    if out.resolve() == Path(dataset.root).resolve():
        raise InputError(f"--out: {out} holds the data set itself; give another folder")
    return _write_mvtec(dataset, out)


def _write_meta_json(dataset: DataSet, out: Path) -> Path:
    listed: dict[str, dict[str, list[dict[str, str | int]]]] = {"train": {}, "test": {}}
    for number, sample in enumerate(tqdm(dataset.samples, unit=" images", disable=None)):
        mask = _one_mask(sample, out / "masks" / f"{number:06}.png") if sample.label else ""
        entry: dict[str, str | int] = {
            "img_path": _from(out, sample.path),
            "mask_path": _from(out, mask) if mask else "",
            "cls_name": sample.category,
            "specie_name": sample.defect,
            "anomaly": sample.label,
        }
        listed[sample.split].setdefault(sample.category, []).append(entry)
    text = json.dumps(listed, indent=4, ensure_ascii=False)
    write_atomically(out / "meta.json", text + "\n")
    return out / "meta.json"


def _from(out: Path, path: str) -> str:
    """Return a path below `out` relative to it, and any other path as it is."""
    folder = os.path.join(os.path.abspath(out), "")
    return path.removeprefix(folder).replace(os.sep, "/") if path.startswith(folder) else path


def _one_mask(sample: Sample, union: Path) -> str:
    """Return the path of the mask of a sample, "" without one; several are written as their union."""
    if len(sample.masks) < 2:
        return "".join(sample.masks)
    _save_mask(read_masks(sample.masks), union)
    return os.path.abspath(union)


def _save_mask(mask: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask * np.uint8(255)).save(path)


def _write_mvtec(dataset: DataSet, out: Path) -> Path:
    samples = [sample for sample in dataset.samples if sample.split == "test" or not sample.label]
    try:
        for sample, name in tqdm(
            list(zip(samples, _names(dataset, samples), strict=True)), unit=" images", disable=None
        ):
            defect = _folder_name(sample.defect)
            place = out / sample.category / sample.split / defect / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(sample.path, place)
            if sample.label and sample.masks:
                mask = out / sample.category / "ground_truth" / defect / f"{place.stem}_mask.png"
                _save_mask(read_masks(sample.masks), mask)
    except OSError as error:
        raise InputError(f"--out: {out} cannot be written ({error.strerror}); give another folder") from None
    return out


def _names(dataset: DataSet, samples: Sequence[Sample]) -> list[str]:
    """Return a file name for each sample: its own, or its path below the data set if two share the stem."""
    stems = [(s.category, s.split, s.defect, Path(s.path).stem) for s in samples]
    count = Counter(stems)
    return [
        Path(sample.path).name
        if count[stem] == 1
        else re.sub(r"[/\\]", "_", os.path.splitext(dataset.relative(sample.path))[0])
        + f"_{number:06}{Path(sample.path).suffix}"
        for number, (sample, stem) in enumerate(zip(samples, stems, strict=True))
    ]


def _folder_name(defect: str) -> str:
    """Return the name of a defect as the name of a folder."""
    return defect if defect == GOOD else re.sub(r"[/\\]", "_", defect)
