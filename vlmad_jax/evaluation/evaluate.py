"""Evaluating a detector on the test images of a data set."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
from tqdm import tqdm

from vlmad_jax import metrics, report
from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.data.notices import tell
from vlmad_jax.data.pipeline import Batch, batches, prefetch, why_unreadable
from vlmad_jax.data.references import draw_references, read_manifest, write_manifest
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.keys import keys_of, params_fingerprint, references_fingerprint
from vlmad_jax.evaluation.map_files import map_paths, save_maps
from vlmad_jax.evaluation.parallel import DataParallel
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.trained_on import tell_training
from vlmad_jax.methods import Detector, MethodOptions, Scores, method
from vlmad_jax.methods.detector import check_finite
from vlmad_jax.methods.options import flattened
from vlmad_jax.runtime.names import shown
from vlmad_jax.runtime.tracing import each_named, named

# More unreadable images than this share of all, and the figures would say little of the data set.
UNREADABLE_LIMIT = 0.01


@dataclass(frozen=True)
class EvaluationConfig:
    """What the figures of an evaluation depend on.

    Attributes:
      method: a name of `methods.METHODS`.
      weights: a checkpoint's directory or hub id.
      dataset: a name of `data.DATASETS`.
      data_dir: where it is, for those that need it.
      categories: those to run; all if empty.
      batch_size: images scored together.
      dtype: "float32", "bfloat16", or "int8", which trades accuracy for speed.
      seed: of the draw of good samples.
      options: of the method.
      shots: good samples of each category, or "all"; 0 is zero-shot.
      references: a manifest that names the good samples instead of drawing them.
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
    references: str | None = None


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
    """Runs an evaluation on all devices of this process and writes its files to `out`.

    Args:
      config: what to run.
      out: `metrics.json`, `scores.csv` and with `save_maps` `maps/` are written there, whole or not at all.
      resume: keep categories that an interrupted run of the same configuration finished.
      save_maps: also write an image of each anomaly map.
      workers: processes that decode; 0 decodes in threads of this one.
      compared: as one of several: also notes how long each category takes to prepare and an image to score,
        for `Results.timing`, and its progress bar stands below another.
      observe: is shown each category with its maps before it is noted as finished.
      shard: the categories of this run, where several share `out`; None is all.

    Returns:
      The contents of `metrics.json`; {} where categories of other shards are missing, the last of which to
      end writes it.

    Raises:
      InputError: whatever is wrong with the configuration, the weights or the data; or more than 1% of the
        images cannot be read.
    """
    out = Path(out).expanduser()
    if shard and not resume:
        raise InputError("--noresume would remove what the other shards write; remove --out beforehand")
    kind = method(config.method)  # before the slow things, so that a misspelt name is told at once
    kind.check_references(given=config.shots != 0)
    dtype_of(config.dtype)
    check_named(config.weights, config.options.params)
    dataset = load_dataset(config.dataset, config.data_dir, config.categories)
    if not compared and (shard is None or shard.index == 0):  # else others tell it
        tell(dataset)
    references = choose_references(config, dataset)
    clip = load_clip(config.weights, config.dtype)
    detector, params = kind.from_options(clip, config.options)
    if "params" in kind.options and not compared and (shard is None or shard.index == 0):
        tell_training(config.method, config.weights, config.options.params, dataset)
    described = {
        **flattened(config),
        "categories": list(dataset.categories),
        "data_fingerprint": dataset.fingerprint,
        "references_fingerprint": references_fingerprint(references, dataset),
        "params_fingerprint": params_fingerprint(params),
        "weights_fingerprint": clip.fingerprint,
        "setting": detector.setting,
    }
    results = Results(out, keys_of(dataset, clip, references))
    results.open(described, resume)
    if references:
        write_manifest(out / "references.json", references)
    maps_out = out if save_maps else None
    mine = shard.of(dataset.categories) if shard else dataset.categories
    todo = [name for name in mine if not is_finished(name, results, maps_out)]
    evaluator = Evaluator(detector, params, dataset, references, results, maps_out, compared, observe)
    evaluator.run(todo, config.batch_size, workers)
    if not all(is_finished(name, results, maps_out) for name in dataset.categories):
        return {}
    left_out = limit_broken([row for name in dataset.categories for row in results.rows(name)], dataset)
    if left_out:
        tqdm.write(shown(f"{left_out} images cannot be read and are left out; {out / 'scores.csv'} says why"))
    return results.finish(config.method, described, dataset.categories)


def choose_references(config: EvaluationConfig, dataset: DataSet) -> dict[str, tuple[Sample, ...]]:
    """The good samples of each category, drawn or from the manifest; {} for zero-shot."""
    if not config.shots:
        return {}
    if config.references is None:
        return {
            name: draw_references(dataset, name, config.shots, config.seed) for name in dataset.categories
        }
    references = read_manifest(config.references, dataset)
    for category, samples in references.items():
        if len(samples) != config.shots and config.shots != "all":
            raise InputError(
                f"{config.references}: lists {len(samples)} images of {category}, "
                f"not --shots={config.shots}; give --shots={len(samples)}"
            )
    return references


def is_finished(category: str, results: Results, maps_out: Path | None) -> bool:
    """Whether the results have the category and, if they go to `maps_out`, all of its maps."""
    if not results.has(category):
        return False
    if maps_out is None:
        return True
    rows = results.rows(category)
    paths = map_paths(maps_out, rows)
    return all(path.exists() for row, path in zip(rows, paths, strict=True) if row.score is not None)


@dataclass(frozen=True)
class Judged:
    """The readable test images of a category, scored."""

    samples: tuple[Sample, ...]
    scores: np.ndarray  # (N,) float32
    maps: np.ndarray  # (N, S, S) float32
    masks: np.ndarray  # (N, S, S) uint8, 0 or 1; zeros where there is no mask
    has_masks: bool  # whether pixel metrics are defined

    @property
    def labels(self) -> np.ndarray:
        """(N,) 0 good, 1 defective."""
        return np.array([sample.label for sample in self.samples])


Observe = Callable[[str, Judged], None]


@dataclass(frozen=True)
class Evaluator:
    """Scores the test images of categories, one after another, through one reading pipeline.

    `observe` is shown each category with its maps before it is noted as finished.
    """

    detector: Detector
    params: dict[str, Any]
    dataset: DataSet
    references: dict[str, tuple[Sample, ...]]
    results: Results
    maps_out: Path | None = None
    compared: bool = False
    observe: Observe | None = None

    def run(self, categories: Sequence[str], batch_size: int, workers: int) -> None:
        """Evaluates the categories and adds each to the results as it is finished."""
        batch_size = self.devices.batch_size(batch_size)
        groups = [self.dataset.select(name, "test") for name in categories]
        read = each_named("read", self.read(groups, batch_size, workers))
        stream = prefetch(read, self.put)
        total = sum(map(len, groups))
        nested = self.compared or self.observe is not None  # one of several, below the bar of all
        place = {"position": 1, "leave": False} if nested else {}
        with tqdm(total=total, unit=" images", dynamic_ncols=True, disable=not total, **place) as bar:
            for group, scored in itertools.groupby(
                self.scored(stream, categories, bar), lambda x: x[0].group
            ):
                self.finish(categories[group], groups[group], list(scored))

    def read(self, groups: Sequence[Sequence[Sample]], batch_size: int, workers: int) -> Iterator[Batch]:
        """The images of each category in batches."""
        return batches(groups, self.detector.size, batch_size, workers, with_masks=True)

    @functools.cached_property
    def devices(self) -> DataParallel:
        """The detector on all of them."""
        return DataParallel(self.detector)

    def put(self, batch: Batch) -> tuple[Batch, Any]:
        """The batch, and its images on the devices."""
        with named("to device"):
            return batch, self.devices.put(batch.image)

    def score(self, state: Any, images: Any) -> Scores:
        """The scores of a batch."""
        return self.devices.score(state, images)

    def scored(
        self, stream: Iterator[tuple[Batch, jax.Array]], categories: Sequence[str], bar: tqdm[Any]
    ) -> Iterator[tuple[Batch, Scores]]:
        """Scores batch after batch; a result is fetched while the device works on the next batch."""
        group: int | None = None
        state: Any = None
        waiting: tuple[Batch, Scores] | None = None

        def fetch(batch: Batch, scores: Scores) -> tuple[Batch, Scores]:
            with named("fetch"):
                fetched = jax.device_get(scores)
            check_finite(fetched, self.detector)
            bar.update(int((batch.index >= 0).sum()))
            return self.kept(categories[batch.group], batch, fetched)

        for batch, images in stream:
            if batch.group != group:
                group = batch.group
                bar.set_description(shown(categories[group]))
                began = time.perf_counter()
                state = jax.block_until_ready(self.prepare(categories[group]))
                seconds = time.perf_counter() - began
                if self.compared:
                    timing = {"prepare_seconds": seconds, "image_seconds": self.seconds_of(state, images)}
                    self.results.add_timing(categories[group], timing)
            with named("score"):
                scores = self.score(state, images)
            if waiting:
                yield fetch(*waiting)
            waiting = batch, scores
        if waiting:
            yield fetch(*waiting)

    def seconds_of(self, state: Any, images: jax.Array) -> float:
        """How long an image of the batch takes to score, once compiled."""
        for _ in range(2):
            began = time.perf_counter()
            jax.block_until_ready(self.score(state, images))
        return (time.perf_counter() - began) / len(images)

    def kept(self, category: str, batch: Batch, scores: Scores) -> tuple[Batch, Scores]:
        """Without the pixels that nothing will be made of, so that large categories fit in memory."""
        empty = np.empty((len(batch.index), 0, 0), np.float32)
        if self.maps_out is None:
            batch = dataclasses.replace(batch, image=empty)
            if self.observe is None and not self.dataset.has_masks(category):
                batch, scores = dataclasses.replace(batch, mask=empty), scores._replace(map=empty)
        return batch, scores

    def prepare(self, category: str) -> Any:
        """The detector's state for a category."""
        images = None
        if category in self.references:
            samples = self.references[category]
            size = self.detector.size
            images = np.stack([resize_image(open_image(sample.path), size) for sample in samples])
        state = self.detector.prepare(self.dataset.object_name(category), images, self.params)
        return self.devices.copy(state)

    def finish(self, category: str, samples: Sequence[Sample], scored: list[tuple[Batch, Scores]]) -> None:
        """Metrics, rows and maps of a category whose batches are all scored."""
        real = np.concatenate([batch.index >= 0 for batch, _ in scored])

        def joined(parts: list[Any]) -> np.ndarray:
            return np.concatenate(parts)[real]

        readable = joined([batch.readable for batch, _ in scored])
        scores, maps = joined([s.image for _, s in scored]), joined([s.map for _, s in scored])
        masks = joined([batch.mask for batch, _ in scored])
        rows = [
            self.row(sample, score if ok else None)
            for sample, score, ok in zip(samples, scores, readable, strict=True)
        ]
        self.check_readable(category, rows)
        known = tuple(itertools.compress(samples, readable))
        has_masks = self.dataset.has_masks(category)
        judged = Judged(known, scores[readable], maps[readable], masks[readable], has_masks)
        if self.maps_out is not None:
            images = joined([batch.image for batch, _ in scored])[readable]
            paths = itertools.compress(map_paths(self.maps_out, rows), readable)
            save_maps(list(zip(paths, known, images, judged.maps, judged.masks, judged.scores, strict=True)))
        if self.observe is not None:
            self.observe(category, judged)
        pixels = (judged.maps, judged.masks) if has_masks else ()
        self.results.add(category, metrics.evaluate(judged.scores, judged.labels, *pixels), rows)

    def row(self, sample: Sample, score: np.floating | None) -> report.ScoreRow:
        """The line of `scores.csv`; the score is None for an image that cannot be read."""
        reason = "" if score is not None else why_unreadable(sample, with_masks=True) or "cannot be read"
        path = self.dataset.relative(sample.path)
        return report.ScoreRow(path, sample.category, sample.defect, sample.label, score, reason)

    def check_readable(self, category: str, rows: list[report.ScoreRow]) -> None:
        """Names unreadable images, and raises InputError when they are too many of the data set."""
        finished = [
            row
            for name in self.dataset.categories
            if name != category and self.results.has(name)
            for row in self.results.rows(name)
        ]
        for row in rows:
            if row.score is None:
                tqdm.write(shown(f"left out: {row.error}"))
        limit_broken([*finished, *rows], self.dataset)


def limit_broken(rows: Sequence[report.ScoreRow], dataset: DataSet) -> int:
    """How many of the images cannot be read; raises InputError when they are too many of the data set."""
    broken = [row for row in rows if row.score is None]
    total = sum(len(dataset.select(name, "test")) for name in dataset.categories)
    if len(broken) > UNREADABLE_LIMIT * total:
        raise InputError(
            f"{len(broken)} of {total} images cannot be read, more than {UNREADABLE_LIMIT:.0%} "
            f"(the last in {broken[-1].category}: {broken[-1].error}); mend or remove them"
        )
    return len(broken)
