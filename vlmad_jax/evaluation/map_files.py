"""Anomaly maps of an evaluation as files, one for each image whatever it is called."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from vlmad_jax import report
from vlmad_jax.data import Sample
from vlmad_jax.data.images import page_sizes
from vlmad_jax.runtime.files import write_atomically


def save_maps(images: list[tuple[Path, Sample, np.ndarray, np.ndarray, np.ndarray, float]]) -> None:
    """Writes image, heat map and true outline of (path, sample, image, map, mask, score), on one scale.

    They have the proportions of the image's file; name, score and the scale of colours stand beneath them.
    """
    low = min((float(anomaly_map.min()) for _, _, _, anomaly_map, _, _ in images), default=0.0)
    high = max((float(anomaly_map.max()) for _, _, _, anomaly_map, _, _ in images), default=1.0)
    for path, sample, image, anomaly_map, mask, score in images:
        width, height = page_sizes(sample.path)[0]
        known = mask if sample.has_mask else None
        shown = report.restore_proportions(image, anomaly_map, known, (height, width))
        panels = report.enlarge(report.draw_map(*shown, low, high))
        said = f"score {report.format_number(score)}; in truth {'anomalous' if sample.label else 'normal'}"
        name = f"{sample.category}/{sample.defect}/{Path(sample.path).name}"
        data = io.BytesIO()
        report.add_caption(panels, name, said, (low, high)).save(data, "PNG")
        write_atomically(path, data.getvalue())


def map_paths(out: Path, rows: Sequence[report.ScoreRow]) -> list[Path]:
    """Where the maps of all images of a category are, a file each: below `maps`, category and defect.

    A map is named as its image is below the defect's folder, without the suffix, `lot2/000.png`; with it,
    `000.jpg.png`, where images differ in nothing else.
    """
    names = [_below_defect(row) for row in rows]
    short = [name.with_suffix("") for name in names]
    shared = {key for key, n in Counter(zip(_defects(rows), short, strict=True)).items() if n > 1}
    keys = [
        name if (row.defect, stem) in shared else stem
        for row, name, stem in zip(rows, names, short, strict=True)
    ]
    twice = {defect for (defect, _), n in Counter(zip(_defects(rows), keys, strict=True)).items() if n > 1}
    return [
        out / "maps" / row.category / row.defect / f"{name if row.defect in twice else key}.png"
        for row, name, key in zip(rows, names, keys, strict=True)
    ]


def _defects(rows: Sequence[report.ScoreRow]) -> list[str]:
    return [row.defect for row in rows]


def _below_defect(row: report.ScoreRow) -> PurePosixPath:
    """The path of an image below `test/<defect>`; its name alone in other layouts."""
    _, found, below = f"/{row.path}".partition(f"/test/{row.defect}/")
    return PurePosixPath(below if found else PurePosixPath(row.path).name)
