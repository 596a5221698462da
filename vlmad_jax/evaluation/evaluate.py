"""Evaluating a detector on the test images of a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.pipeline import Batch, batches
from vlmad_jax.data.references import draw_references, read_manifest, write_manifest
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.categories import CategoryEvaluator, Observe, check_unreadable
from vlmad_jax.evaluation.keys import category_keys, params_fingerprint, references_fingerprint
from vlmad_jax.evaluation.map_files import map_paths
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.evaluation.trained_on import report_training_data
from vlmad_jax.methods import Detector, MethodOptions, method
from vlmad_jax.methods.options import flattened
from vlmad_jax.runtime.names import printable


@dataclass(frozen=True)
class EvaluationConfig:
    """The values that the metrics of an evaluation depend on.

    Attributes:
      method: A name of `methods.METHODS`.
      weights: The directory or hub id of a checkpoint.
      dataset: A name of `data.DATASETS`.
      data_dir: The directory of the data set, if it needs one.
      categories: The categories to run; all if empty.
      batch_size: The number of images scored together.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      seed: The seed of the draw of reference images.
      options: The options of the method.
      shots: The number of reference images of each category, or "all"; 0 is zero-shot.
      reference_list: A `references.json` that lists the reference images, which are then not drawn.
    """

    method: str
    weights: str
    dataset: str
    data_dir: str | None = None
    categories: tuple[str, ...] = ()
    batch_size: int = 16
    dtype: str = "float32"
    seed: int = 0
    options: MethodOptions = MethodOptions()
    shots: int | Literal["all"] = 0
    reference_list: str | None = None


@dataclass(frozen=True)
class Shard:
    """Shard `index`, from 0, of the `count` runs that share an evaluation."""

    index: int
    count: int

    def of(self, categories: Sequence[str]) -> Sequence[str]:
        """Return every `count`-th category, from number `index` on."""
        return categories[self.index :: self.count]


def evaluate(
    config: EvaluationConfig,
    out: str | Path,
    resume: bool = True,
    save_maps: bool = False,
    workers: int = 0,
    compared: bool = False,
    observe: Observe | None = None,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """Run an evaluation on all devices of this process and write its files to `out`.

    Args:
      config: The configuration.
      out: The folder for `metrics.json`, `scores.csv` and, with `save_maps`, `maps/`. Files are written whole
        or not at all.
      resume: Whether to keep the categories that an interrupted run of the same configuration finished.
      save_maps: Whether to write a heat map of each image, too.
      workers: The number of processes that decode images; 0 decodes in threads of this one.
      compared: Whether this is one run of a comparison. Then times are stored, see `Results.timing`, and the
        caller prints the notices.
      observe: A function that is called with each category and its maps before the category is stored.
      shard: The share of the categories, if several runs share `out`; None evaluates all.

    Returns:
      The contents of `metrics.json`, or {} if categories of other shards are missing. The last shard to finish
      writes the file.

    Raises:
      InputError: The configuration, the weights or the data are wrong, or more than 1% of the images cannot
        be read.
    """
    out = Path(out).expanduser()
    if shard and not resume:
        raise InputError("--noresume would remove what the other shards write; remove --out beforehand")
    kind = method(config.method)  # before the slow steps, so that a misspelt name fails at once
    kind.check_references(given=config.shots != 0)
    dtype_of(config.dtype)
    check_named(config.weights, config.options.params)
    prints = not compared and (shard is None or shard.index == 0)  # otherwise another run prints notices
    dataset = load_dataset(config.dataset, config.data_dir, config.categories)
    if prints:
        print_notices(dataset)
    references = choose_references(config, dataset)
    clip = load_clip(config.weights, config.dtype)
    detector, params = kind.from_options(clip, config.options)
    if prints and "params" in kind.options:
        report_training_data(config.method, config.weights, config.options.params, dataset)
    entries = {
        **flattened(config),
        "categories": list(dataset.categories),
        "data_fingerprint": dataset.fingerprint,
        "references_fingerprint": references_fingerprint(references, dataset),
        "params_fingerprint": params_fingerprint(params),
        "weights_fingerprint": clip.fingerprint,
        "setting": detector.setting,
    }
    results = Results(out, category_keys(dataset, clip, references))
    results.open(entries, resume)
    if references:
        write_manifest(out / "references.json", references)
    maps_out = out if save_maps else None
    evaluator = image_evaluator(
        *(detector, params, references, dataset, results, config.batch_size, workers),
        maps_out=maps_out,
        timed=compared,
        observe=observe,
    )
    mine = shard.of(dataset.categories) if shard else dataset.categories
    evaluator.run([name for name in mine if not is_finished(name, results, maps_out)])
    if not all(is_finished(name, results, maps_out) for name in dataset.categories):
        return {}
    rows = [row for name in dataset.categories for row in results.rows(name)]
    if unreadable := check_unreadable(rows, dataset):
        tqdm.write(
            printable(f"{unreadable} images cannot be read and are skipped; {out / 'scores.csv'} says why")
        )
    return results.finish(config.method, entries, dataset.categories)


def image_evaluator(
    detector: Detector,
    params: dict[str, Any],
    references: dict[str, tuple[Sample, ...]],
    dataset: DataSet,
    results: Results,
    batch_size: int,
    workers: int = 0,
    *,
    maps_out: Path | None = None,
    timed: bool = False,
    observe: Observe | None = None,
) -> CategoryEvaluator:
    """Return an evaluator that reads images and scores them with a detector; see `CategoryEvaluator`."""
    scorer = Scorer(detector, batch_size)

    def prepare(category: str) -> Any:
        images = None
        if category in references:
            opened = (open_image(sample.path) for sample in references[category])
            images = np.stack([resize_image(image, detector.size) for image in opened])
        return detector.prepare(dataset.object_name(category), images, params)

    def read(groups: Sequence[Sequence[Sample]]) -> Iterator[Batch]:
        return batches(groups, detector.size, scorer.batch_size, workers, with_masks=True)

    return CategoryEvaluator(scorer, prepare, read, dataset, results, maps_out, timed, observe)


def choose_references(config: EvaluationConfig, dataset: DataSet) -> dict[str, tuple[Sample, ...]]:
    """Return the reference images of each category, drawn or from the list; {} for zero-shot."""
    if not config.shots:
        return {}
    if config.reference_list is None:
        return {
            name: draw_references(dataset, name, config.shots, config.seed) for name in dataset.categories
        }
    references = read_manifest(config.reference_list, dataset)
    for category, samples in references.items():
        if len(samples) != config.shots and config.shots != "all":
            raise InputError(
                f"{config.reference_list}: lists {len(samples)} images of {category}, "
                f"not --shots={config.shots}; give --shots={len(samples)}"
            )
    return references


def is_finished(category: str, results: Results, maps_out: Path | None) -> bool:
    """Return whether the results hold the category and, if heat maps go to `maps_out`, all of them."""
    if not results.has(category):
        return False
    if maps_out is None:
        return True
    rows = results.rows(category)
    paths = map_paths(maps_out, rows)
    return all(path.exists() for row, path in zip(rows, paths, strict=True) if row.score is not None)
