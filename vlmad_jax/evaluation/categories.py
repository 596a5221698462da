"""Scoring the test images of categories, one category after another, through one reading pipeline."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from vlmad_jax import metrics, report
from vlmad_jax.data import DataSet, Sample
from vlmad_jax.data.pipeline import Batch, prefetch, read_error
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.map_files import map_paths, save_maps
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.methods import Scores
from vlmad_jax.runtime.names import printable
from vlmad_jax.runtime.tracing import span, traced_items

# With a larger share of unreadable images, the metrics would say little about the data set.
UNREADABLE_LIMIT = 0.01

Scored = tuple[Batch, Scores]


@dataclass(frozen=True)
class ScoredCategory:
    """The readable test images of a category with their scores.

    Attributes:
      samples: The N images.
      scores: The image scores, float32 (N,).
      maps: The anomaly maps, float32 (N, S, S).
      masks: The masks, uint8 (N, S, S), 0 or 1; zeros where there is no mask.
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
    """

    scorer: Scorer
    prepare: Callable[[str], Any]
    read: Callable[[Sequence[Sequence[Sample]]], Iterator[Batch]]
    dataset: DataSet
    results: Results
    maps_out: Path | None = None
    timed: bool = False
    observe: Observe | None = None

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
                self.finish(name, groups[group], self.score(name, batches, bar))

    def score(self, category: str, batches: Iterator[tuple[Batch, Any]], bar: tqdm[Any]) -> list[Scored]:
        """Score a category's batches; each result is fetched while the device works on the next batch."""
        began = time.perf_counter()
        state = jax.block_until_ready(self.scorer.copy(self.prepare(category)))
        prepared = time.perf_counter() - began
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
        self.results.add(category, metrics.evaluate(found.scores, found.labels, *pixels), rows)

    def _progress_bar(self, total: int) -> tqdm[Any]:
        nested = self.timed or self.observe is not None  # one of several runs, whose bar stands above
        place = {"position": 1, "leave": False} if nested else {}
        return tqdm(total=total, unit=" images", dynamic_ncols=True, disable=not total, **place)

    def _put(self, batch: Batch) -> tuple[Batch, Any]:
        with span("to device"):
            return batch, self.scorer.put(batch.image)

    def _fetch(self, category: str, batch: Batch, scores: Scores, bar: tqdm[Any]) -> Scored:
        """Fetch scores, and drop the pixels that nothing needs, so that large categories fit in memory."""
        with span("fetch"):
            scores = self.scorer.fetch(scores)
        bar.update(int((batch.index >= 0).sum()))
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
