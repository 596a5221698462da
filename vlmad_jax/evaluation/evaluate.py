"""Evaluating a detector on the test images of a data set, one category after another."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from vlmad_jax import metrics, report
from vlmad_jax.backbones import load_backbone
from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.backbones.precision import dtype_of
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.data.images import open_image
from vlmad_jax.data.pipeline import Batch, batches, prefetch, read_error
from vlmad_jax.data.references import write_manifest
from vlmad_jax.data.resizing import Resizing, check_resize
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig, Shard
from vlmad_jax.evaluation.keys import category_keys, params_fingerprint, references_fingerprint
from vlmad_jax.evaluation.map_files import map_paths, save_maps
from vlmad_jax.evaluation.parts import parts_of, undefined
from vlmad_jax.evaluation.references import choose_references
from vlmad_jax.evaluation.results import Results, is_finished
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.evaluation.shapes import ShapedDetector, category_resizings, described
from vlmad_jax.evaluation.submission import write_submission
from vlmad_jax.evaluation.trained_on import report_training_data
from vlmad_jax.evaluation.whole_set import ShapedEncoder, score_together
from vlmad_jax.methods import Batched, Detector, Scores, batched_method, method
from vlmad_jax.methods.options import flattened
from vlmad_jax.runtime.names import printable
from vlmad_jax.runtime.tracing import span, traced_items

# With a larger share of unreadable images, the metrics would say little about the data set.
UNREADABLE_LIMIT = 0.01

Placed = tuple[Batch, Any]  # with its images on the devices
Scored = tuple[Batch, Scores]


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
        or not at all. Maps of images without published labels go to `submission/`, unless this is one run of
        a comparison or observed.
      resume: Whether to keep the categories that an interrupted run of the same configuration finished.
      save_maps: Whether to write a heat map of each image, too.
      workers: The number of processes that decode images; 0 decodes in threads of this one.
      compared: Whether this is one run of a comparison. Then times are stored, see `Results.timing`, and the
        caller prints the notices.
      observe: A function that is called with each category and its maps before the category is stored.
      shard: The share of the categories, if several runs share `out`; None evaluates all.

    Returns:
      The contents of `metrics.json`, or {} if categories of other shards are missing. The last shard to
      finish writes the file.

    Raises:
      InputError: The configuration, the weights or the data are wrong, or more than 1% of the images cannot
        be read.
    """
    out = Path(out).expanduser()
    if shard and not resume:
        raise InputError("--noresume would remove what the other shards write; remove --out beforehand")
    kind = system_of(config)  # before the slow steps, so that a misspelt name fails at once
    dtype_of(config.dtype)
    check_resize(config.resize)
    check_named(config.weights, config.options.params)
    prints = not compared and (shard is None or shard.index == 0)  # otherwise another run prints notices
    dataset = load_dataset(config.dataset, config.data_dir, config.categories)
    if prints:
        print_notices(dataset)
    references = choose_references(config, dataset)
    backbone = load_backbone(config.weights, config.dtype)
    detector, params = kind.from_options(backbone, config.options)
    if prints and "params" in kind.options:
        report_training_data(config.method, config.weights, config.options.params, dataset)
    resizings = category_resizings(detector, dataset, config.resize, notify=prints)  # type: ignore[arg-type]
    entries = {
        **flattened(config),
        "categories": list(dataset.categories),
        "data_fingerprint": dataset.fingerprint,
        "references_fingerprint": references_fingerprint(references, dataset),
        "params_fingerprint": params_fingerprint(params),
        "weights_fingerprint": backbone.fingerprint,
        "setting": detector.setting,
        **({"resized": described(resizings)} if config.resize != "square" else {}),
    }
    results = Results(out, category_keys(dataset, backbone, references, resizings))
    results.open(entries, resume)
    if references:
        write_manifest(out / "references.json", references)
    maps_out = out if save_maps else None
    evaluator = image_evaluator(
        *(detector, params, references, dataset, results, config.batch_size, workers),
        maps_out=maps_out,
        timed=compared,
        observe=observe,
        resizings=resizings,
        whole_set=config.shots == "batched",
    )
    mine = shard.of(dataset.categories) if shard else dataset.categories
    evaluator.run([name for name in mine if not is_finished(name, results, maps_out)])
    if dataset.private and not compared and observe is None:
        write_submission(evaluator, mine, resizings, out)
    if not all(is_finished(name, results, maps_out) for name in dataset.categories):
        return {}
    rows = [row for name in dataset.categories for row in results.rows(name)]
    if unreadable := check_unreadable(rows, dataset):
        tqdm.write(
            printable(f"{unreadable} images cannot be read and are skipped; {out / 'scores.csv'} says why")
        )
    return results.finish(config.method, entries, dataset.categories)


def system_of(config: EvaluationConfig) -> type[Detector] | type[Batched]:
    """Return the class of the method that a configuration names.

    Raises:
      InputError: There is no such method, it does not support the number of reference images, or an option
        belongs to reference images that there are not.
    """
    if config.shots == "batched":
        together = batched_method(config.method)
        config.options.check(f"the batched setting of {config.method}", together.set_options())
        return together
    kind = method(config.method)
    kind.check_references(given=config.shots != 0)
    return kind


def image_evaluator(
    detector: Detector | Batched,
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
    resizings: Mapping[str, Resizing] | None = None,
    whole_set: bool = False,
    scorer: Scorer | None = None,
) -> CategoryEvaluator:
    """Return an evaluator that reads images and scores them with a detector; see `CategoryEvaluator`.

    `resizings` says how the images of each category are resized; None squeezes all to the detector's size.
    With `whole_set` the images of a category are scored together. Evaluations can share a `scorer`.
    """
    shaped = ShapedEncoder(detector) if whole_set else ShapedDetector(detector)  # type: ignore[arg-type]
    scorer = scorer or Scorer(shaped, batch_size)
    own = Resizing.to(detector.size, detector.backbone.resample)
    how = resizings or dict.fromkeys(dataset.categories, own)

    def prepare(category: str) -> Any:
        images = None
        if category in references:
            opened = (open_image(sample.path) for sample in references[category])
            images = np.stack([how[category].image(image) for image in opened])
        sized = shaped.at(how[category].cut)
        return sized.prepare(dataset.object_name(category), images, params)

    def together(category: str, batches: Iterable[Placed]) -> list[Scored]:
        most = len(dataset.select(category, "test"))
        return score_together(shaped.at(how[category].cut), scorer, batches, most)  # type: ignore[arg-type]

    def read(groups: Sequence[Sequence[Sample]]) -> Iterator[Batch]:
        sizes = [how[group[0].category] if group else own for group in groups]
        return batches(groups, sizes, scorer.batch_size, workers, with_masks=True)

    score_set = together if whole_set else None
    return CategoryEvaluator(scorer, prepare, read, dataset, results, maps_out, timed, observe, score_set)


@dataclass(frozen=True)
class ScoredCategory:
    """The readable test images of a category with their scores.

    Attributes:
      samples: The N images.
      scores: The image scores, float32 (N,).
      maps: The anomaly maps, float32 (N, height, width).
      masks: The masks, uint8 (N, height, width), 0 or 1; zeros where there is no mask.
      has_masks: Whether pixel metrics are defined.
    """

    samples: tuple[Sample, ...]
    scores: np.ndarray
    maps: np.ndarray
    masks: np.ndarray
    has_masks: bool

    @property
    def labels(self) -> np.ndarray:
        """The labels (N,): 0 for normal, 1 for anomalous."""
        return np.array([sample.label for sample in self.samples])


Observe = Callable[[str, ScoredCategory], None]


@dataclass(frozen=True)
class CategoryEvaluator:
    """Scores the test images of categories and stores the results of each as soon as it is finished.

    Attributes:
      scorer: Scores batches.
      prepare: Returns the state of a category.
      read: Returns the batches of groups of samples, one group for each category.
      dataset: The data set.
      results: Stores the metrics and rows.
      maps_out: The folder of heat maps, if they are written.
      timed: Whether to store the times of preparing a category and of scoring an image; see `Results.timing`.
      observe: A function that is called with each category and its maps before the category is stored.
      score_set: Scores the batches of a category together; None scores them one after the other.
    """

    scorer: Scorer
    prepare: Callable[[str], Any]
    read: Callable[[Sequence[Sequence[Sample]]], Iterator[Batch]]
    dataset: DataSet
    results: Results
    maps_out: Path | None = None
    timed: bool = False
    observe: Observe | None = None
    score_set: Callable[[str, Iterable[Placed]], list[Scored]] | None = None

    def run(self, categories: Sequence[str]) -> None:
        """Evaluate the categories in order.

        Raises:
          InputError: Too many images cannot be read, or a score is not finite.
        """
        groups = [self.dataset.select(name, "test") for name in categories]
        stream = prefetch(traced_items("read", self.read(groups)), self._put)
        with self._progress_bar(sum(map(len, groups))) as bar:
            for group, batches in itertools.groupby(stream, lambda placed: placed[0].group):
                name = categories[group]
                bar.set_description(printable(name))
                score = self.score if self.score_set is None else self.score_whole_set
                scored = score(name, batches, bar)
                bar.set_postfix_str("metrics")
                self.finish(name, groups[group], scored)
            bar.set_postfix_str("")

    def score_whole_set(self, category: str, batches: Iterator[Placed], bar: tqdm[Any]) -> list[Scored]:
        """Score a category's batches together; the bar shows how many of the images are encoded."""
        assert self.score_set is not None

        def counted() -> Iterator[Placed]:
            for batch, images in batches:
                yield batch, images
                bar.update(int((batch.index >= 0).sum()))

        began = time.perf_counter()
        scored = self.score_set(category, counted())
        if self.timed:
            count = sum(int(batch.readable.sum()) for batch, _ in scored)
            seconds = (time.perf_counter() - began) / count
            self.results.add_timing(category, {"prepare_seconds": 0.0, "image_seconds": seconds})
        return [self._without_unused(category, *x) for x in scored]

    def score(self, category: str, batches: Iterator[Placed], bar: tqdm[Any]) -> list[Scored]:
        """Score a category's batches; each result is fetched while the device works on the next batch."""
        bar.set_postfix_str("preparing")
        began = time.perf_counter()
        state = jax.block_until_ready(self.scorer.copy(self.prepare(category)))
        prepared = time.perf_counter() - began
        bar.set_postfix_str("" if bar.n else "compiling")  # the first batch
        scored: list[Scored] = []
        waiting: Scored | None = None
        for batch, images in batches:
            if self.timed and not scored and waiting is None:
                timing = {
                    "prepare_seconds": prepared,
                    "image_seconds": self._seconds_per_image(state, images),
                }
                self.results.add_timing(category, timing)
            with span("score"):
                scores = self.scorer.score(state, images)
            if waiting:
                scored.append(self._fetch(category, *waiting, bar))
            waiting = batch, scores
        if waiting:
            scored.append(self._fetch(category, *waiting, bar))
        return scored

    def finish(self, category: str, samples: Sequence[Sample], scored: Sequence[Scored]) -> None:
        """Store the metrics, rows and maps of a category whose batches are all scored."""
        real = np.concatenate([batch.index >= 0 for batch, _ in scored])

        def joined(parts: list[Any]) -> np.ndarray:
            return np.concatenate(parts)[real]

        readable = joined([batch.readable for batch, _ in scored])
        scores, maps = joined([x.image for _, x in scored]), joined([x.map for _, x in scored])
        masks = joined([batch.mask for batch, _ in scored])
        rows = [
            self._row(sample, score if ok else None)
            for sample, score, ok in zip(samples, scores, readable, strict=True)
        ]
        self._check_readable(category, rows)
        known = tuple(itertools.compress(samples, readable))
        has_masks = self.dataset.has_masks(category)
        found = ScoredCategory(known, scores[readable], maps[readable], masks[readable], has_masks)
        if self.maps_out is not None:
            images = joined([batch.image for batch, _ in scored])[readable]
            paths = itertools.compress(map_paths(self.maps_out, rows), readable)
            save_maps(list(zip(paths, known, images, found.maps, found.masks, found.scores, strict=True)))
        if self.observe is not None:
            self.observe(category, found)
        pixels = (found.maps, found.masks) if has_masks else ()
        scored_metrics = metrics.evaluate(found.scores, found.labels, *pixels)
        reasons = undefined(np.array([sample.label for sample in samples]), has_masks)
        parts = parts_of(self.dataset, known, found.scores, *pixels)
        self.results.add(category, scored_metrics, rows, reasons, parts)

    def _progress_bar(self, total: int) -> tqdm[Any]:
        nested = self.timed or self.observe is not None  # one of several runs, whose bar stands above
        place = {"position": 1, "leave": False} if nested else {}
        return tqdm(total=total, unit=" images", dynamic_ncols=True, disable=not total, **place)

    def _put(self, batch: Batch) -> Placed:
        with span("to device"):
            return batch, self.scorer.put(batch.image)

    def _fetch(self, category: str, batch: Batch, scores: Scores, bar: tqdm[Any]) -> Scored:
        with span("fetch"):
            scores = self.scorer.fetch(scores)
        bar.set_postfix_str("", refresh=False)
        bar.update(int((batch.index >= 0).sum()))
        return self._without_unused(category, batch, scores)

    def _without_unused(self, category: str, batch: Batch, scores: Scores) -> Scored:
        """Drop the pixels that nothing needs, so that large categories fit in memory."""
        empty = np.empty((len(batch.index), 0, 0), np.float32)
        if self.maps_out is None:
            batch = dataclasses.replace(batch, image=empty)
            if self.observe is None and not self.dataset.has_masks(category):
                batch, scores = dataclasses.replace(batch, mask=empty), scores._replace(map=empty)
        return batch, scores

    def _seconds_per_image(self, state: Any, images: Any) -> float:
        """Measure how long an image of the batch takes to score once the program is compiled."""
        for _ in range(2):
            began = time.perf_counter()
            scores = jax.block_until_ready(self.scorer.score(state, images))
        return (time.perf_counter() - began) / len(scores.image)

    def _row(self, sample: Sample, score: np.floating | None) -> report.ScoreRow:
        """Return the line of `scores.csv`; the score is None for an image that cannot be read."""
        reason = "" if score is not None else read_error(sample, with_masks=True) or "cannot be read"
        path = self.dataset.relative(sample.path)
        return report.ScoreRow(path, sample.category, sample.defect, sample.label, score, reason)

    def _check_readable(self, category: str, rows: list[report.ScoreRow]) -> None:
        """Name unreadable images; raise InputError if they are too many of the data set."""
        others = [name for name in self.dataset.categories if name != category and self.results.has(name)]
        finished = [row for name in others for row in self.results.rows(name)]
        for row in rows:
            if row.score is None:
                tqdm.write(printable(f"skipped: {row.error}"))
        check_unreadable([*finished, *rows], self.dataset)


def check_unreadable(rows: Sequence[report.ScoreRow], dataset: DataSet) -> int:
    """Return how many images cannot be read; raise InputError if they are too many of the data set."""
    broken = [row for row in rows if row.score is None]
    total = sum(len(dataset.select(name, "test")) for name in dataset.categories)
    if len(broken) > UNREADABLE_LIMIT * total:
        raise InputError(
            f"{len(broken)} of {total} images cannot be read, more than {UNREADABLE_LIMIT:.0%} "
            f"(the last in {broken[-1].category}: {broken[-1].error}); repair or remove them"
        )
    return len(broken)
