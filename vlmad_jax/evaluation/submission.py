"""The anomaly maps of test images without published labels, in the layout that MVTec's server evaluates.

OUT/submission/anomaly_images/<category>/test_private/<name>.tiff            float16, the size of the image
OUT/submission/anomaly_images/<category>/test_private_mixed/<name>.tiff

The server (https://benchmark.mvtec.com) takes the folder `submission` as a .tar.gz archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from vlmad_jax.data import Sample
from vlmad_jax.data.images import displayed_size
from vlmad_jax.data.pipeline import read_error
from vlmad_jax.data.resizing import Resizing
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.tiff import float16_tiff
from vlmad_jax.runtime.files import write_atomically
from vlmad_jax.runtime.names import printable

if TYPE_CHECKING:
    from vlmad_jax.evaluation.evaluate import CategoryEvaluator

FOLDER = "submission"


def map_path(out: Path, sample: Sample) -> Path:
    """Return the path of the map of an image."""
    name = Path(sample.path).with_suffix(".tiff").name
    return out / FOLDER / "anomaly_images" / sample.category / sample.split / name


def write_submission(
    evaluator: CategoryEvaluator, categories: Sequence[str], resizings: dict[str, Resizing], out: Path
) -> None:
    """Score the images of categories without published labels, and write the maps that are missing.

    Raises:
      InputError: An image cannot be read, a score is not finite, or a file cannot be written.
    """
    private = [sample for sample in evaluator.dataset.private if sample.category in categories]
    missing = [sample for sample in private if not map_path(out, sample).exists()]
    with tqdm(total=len(missing), unit=" images", dynamic_ncols=True, disable=not missing) as bar:
        for category in dict.fromkeys(sample.category for sample in missing):
            bar.set_description(printable(f"{category}, private"))
            samples = [sample for sample in missing if sample.category == category]
            _write_category(evaluator, samples, resizings[category], out, bar)


def _write_category(
    evaluator: CategoryEvaluator, samples: Sequence[Sample], resizing: Resizing, out: Path, bar: tqdm[None]
) -> None:
    scorer = evaluator.scorer
    state = scorer.copy(evaluator.prepare(samples[0].category))
    for batch in evaluator.read([samples]):
        maps = scorer.fetch(scorer.score(state, scorer.put(batch.image))).map
        for index, readable, anomaly_map in zip(batch.index, batch.readable, maps, strict=True):
            if index < 0:
                continue
            sample = samples[index]
            if not readable:
                raise InputError(read_error(sample, with_masks=False) or f"{sample.path}: cannot be read")
            pixels = enlarge(anomaly_map, resizing, displayed_size(sample.path))
            write_atomically(map_path(out, sample), float16_tiff(pixels))
            bar.update()


def enlarge(anomaly_map: np.ndarray, resizing: Resizing, size: tuple[int, int]) -> np.ndarray:
    """Return an anomaly map at the (width, height) of its image, float32, by bilinear interpolation.

    A border that was cut off continues the pixels beside it.
    """
    border = [(0, whole - cut) for whole, cut in zip(resizing.whole, resizing.cut, strict=True)]
    whole = np.pad(np.asarray(anomaly_map, np.float32), border, mode="edge")
    return np.asarray(Image.fromarray(whole).resize(size, Image.Resampling.BILINEAR))
