"""A run that is finished: its metrics, its scores, and how sure its AUROCs are."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vlmad_jax.evaluation.results import Results
from vlmad_jax.metrics import Metrics
from vlmad_jax.metrics.ranking import auroc, rank
from vlmad_jax.metrics.uncertainty import PairCounts, bootstrap_weights, image_pairs, interval
from vlmad_jax.report import ScoreRow, mean_of
from vlmad_jax.studies.details import Details

Level = Literal["image", "pixel"]


@dataclass(frozen=True)
class Finished:
    """A run, read from its folder."""

    results: Results
    details: Details
    categories: tuple[str, ...]

    @functools.cached_property
    def metrics(self) -> dict[str, Metrics]:
        """The seven metrics by category."""
        return {category: self.results.metrics(category) for category in self.categories}

    @functools.cached_property
    def mean(self) -> Metrics:
        """Of each metric over categories."""
        return mean_of(self.metrics)

    @functools.cached_property
    def rows(self) -> dict[str, list[ScoreRow]]:
        """The readable images by category."""
        return {
            category: [row for row in self.results.rows(category) if row.score is not None]
            for category in self.categories
        }

    def scores(self, category: str) -> np.ndarray:
        """(N,) float32, as they were computed."""
        return np.array([row.score for row in self.rows[category]], np.float32)

    def labels(self, category: str) -> np.ndarray:
        """(N,) 0 good, 1 defective."""
        return np.array([row.label for row in self.rows[category]], int)

    def defects(self, category: str) -> tuple[str, ...]:
        """The defects of a category, in the order of its images."""
        return tuple(dict.fromkeys(row.defect for row in self.rows[category] if row.label))

    def defect_auroc(self, category: str, defect: str) -> float | None:
        """Image AUROC of one defect's images against all good ones of the category."""
        return auroc(rank(*self._defect_scores(category, defect)))

    def defect_interval(self, category: str, defect: str) -> tuple[float | None, float | None]:
        """The bootstrap interval of `defect_auroc`."""
        scores, labels = self._defect_scores(category, defect)
        duels = image_pairs(scores, labels)
        return interval(duels.auroc(bootstrap_weights(labels, seed_of(category + defect))))

    def _defect_scores(self, category: str, defect: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels of one defect's images and all good ones."""
        rows = self.rows[category]
        chosen = np.array([row.defect == defect or not row.label for row in rows])
        return self.scores(category)[chosen], self.labels(category)[chosen]

    def resampled_aurocs(self, level: Level, category: str) -> np.ndarray:
        """AUROC (R,) of resampled images, drawn alike for every run of the same images."""
        duels = self._duels(level, category)
        if duels is None:
            return np.array([np.nan])
        return duels.auroc(bootstrap_weights(self.labels(category), seed_of(category)))

    def interval(self, level: Level, category: str) -> tuple[float | None, float | None]:
        """The bootstrap interval of a category's AUROC, 95%."""
        return interval(self.resampled_aurocs(level, category))

    def mean_interval(
        self, level: Level, categories: Sequence[str] | None = None
    ) -> tuple[float | None, float | None]:
        """That of the mean over categories, all if none are given."""
        return interval(mean_resampled([self], level, categories or self.categories))

    def _duels(self, level: Level, category: str) -> PairCounts | None:
        if level == "pixel":
            return self.details.duels(category)
        return image_pairs(self.scores(category), self.labels(category))


def mean_resampled(runs: Sequence[Finished], level: Level, categories: Sequence[str]) -> np.ndarray:
    """The mean AUROC (R,) over runs and the categories where it is defined, of resampled images."""
    found = [run.resampled_aurocs(level, category) for run in runs for category in categories]
    defined = [values for values in found if not np.isnan(values).any()]
    return np.mean(defined, axis=0) if defined else np.array([np.nan])


def seed_of(name: str) -> int:
    """Of what is drawn for a category, the same in every run."""
    return zlib.crc32(name.encode("utf-8", "surrogateescape"))
