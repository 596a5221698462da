"""The heat maps of an evaluation as files, with a different path for each image."""

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
    """Draw each image beside its heat map, all on one scale, and write the files.

    The drawings have the proportions of the image's file, and a caption with the name, the score, the label
    and the colour scale.

    Args:
      images: For each image, the path to write, the sample, the image, the anomaly map, the mask and the
        score.
    """
    low = min((float(anomaly_map.min()) for _, _, _, anomaly_map, _, _ in images), default=0.0)
    high = max((float(anomaly_map.max()) for _, _, _, anomaly_map, _, _ in images), default=1.0)
    for path, sample, image, anomaly_map, mask, score in images:
        height, width = image.shape[:2]
        if height == width:  # otherwise the proportions were kept
            width, height = page_sizes(sample.path)[0]
        known = mask if sample.has_mask else None
        shown = report.restore_proportions(image, anomaly_map, known, (height, width))
        panels = report.enlarge(report.draw_map(*shown, low, high))
        caption = f"score {report.format_number(score)}; in truth {'anomalous' if sample.label else 'normal'}"
        name = f"{sample.category}/{sample.defect}/{Path(sample.path).name}"
        data = io.BytesIO()
        report.add_caption(panels, name, caption, (low, high)).save(data, "PNG")
        write_atomically(path, data.getvalue())


def map_paths(out: Path, rows: Sequence[report.ScoreRow]) -> list[Path]:
    """Return the paths of the heat maps of a category's images, below `maps`, category and defect.

    The name of a heat map is that of its image below the defect's folder without the suffix, for example
    `lot2/000.png`. Where two images would share a name, it keeps the suffix, for example `000.jpg.png`.
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
    """Return the path of an image below `test/<defect>`, or its name alone in other layouts."""
    _, found, below = f"/{row.path}".partition(f"/test/{row.defect}/")
    return PurePosixPath(below if found else PurePosixPath(row.path).name)
