"""The stored results of a run: metrics, scores, and details of the anomaly maps."""

from __future__ import annotations

import functools
import io
import json
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from vlmad_jax.data import DataSet
from vlmad_jax.data.images import open_image, resize_image
from vlmad_jax.evaluation.evaluate import ScoredCategory
from vlmad_jax.evaluation.results import Results
from vlmad_jax.metrics import Metrics
from vlmad_jax.metrics.ranking import auroc, rank
from vlmad_jax.metrics.thresholds import best_threshold
from vlmad_jax.metrics.uncertainty import PairCounts, bootstrap_weights, image_pairs, interval, pixel_pairs
from vlmad_jax.report import ScoreRow, draw_map, mean_of, restore_proportions
from vlmad_jax.report.parts import Exhibit, Outcome
from vlmad_jax.runtime import names
from vlmad_jax.runtime.files import write_atomically, write_json

# A pixel of a normal image is a false alarm if it scores higher than this share of all such pixels of its
# category.
ALARM_QUANTILE = 0.99
# Rows and columns of the grid on which false alarms are counted.
ALARM_GRID = 16
# The number of images of each category in the gallery, and the number of worst false alarms and of worst
# misses among them.
EXHIBITS, WORST = 24, 4
# The largest height of an image in the gallery, in pixels.
EXHIBIT_HEIGHT = 192

Level = Literal["image", "pixel"]


@dataclass(frozen=True)
class Details:
    """What the studies need of the anomaly maps of a run.

    Attributes:
      folder: The folder where they are stored.
      dataset: The data set, if images with their maps and the places of false alarms are stored, too.
    """

    folder: Path
    dataset: DataSet | None = None

    def add(self, category: str, scored: ScoredCategory) -> None:
        """Store the details of a category."""
        if scored.has_masks:
            self._write(category, "pixel_pairs.npz", vars(pixel_pairs(scored.maps, scored.masks)))
        if self.dataset is None:
            return
        self._write(category, "alarms.npz", {"share": alarm_shares(scored)})
        threshold = best_threshold(scored.scores, scored.labels)
        entries = []
        for number in choose_exhibits(scored.scores, scored.labels):
            data = draw_exhibit(scored, number)
            write_atomically(self.folder / category / f"{number}.webp", data)
            entries.append(
                {
                    "number": number,
                    "defect": scored.samples[number].defect,
                    "outcome": outcome(scored.labels[number], scored.scores[number] > threshold),
                    "score": float(scored.scores[number]),
                    "path": self.dataset.relative(scored.samples[number].path),
                }
            )
        write_json(self.folder / category / "exhibits.json", entries)

    def _write(self, category: str, name: str, arrays: dict[str, Any]) -> None:
        data = io.BytesIO()
        np.savez(data, **arrays)
        write_atomically(self.folder / category / name, data.getvalue())

    def pixel_pairs(self, category: str) -> PairCounts | None:
        """Return the counted pairs of pixels; None if the category has no masks."""
        path = self.folder / category / "pixel_pairs.npz"
        if not path.exists():
            return None
        with np.load(path) as arrays:
            return PairCounts(**arrays)

    def alarms(self, category: str) -> np.ndarray:
        """Return the places of false alarms, (ALARM_GRID, ALARM_GRID); see `alarm_shares`."""
        with np.load(self.folder / category / "alarms.npz") as arrays:
            return arrays["share"]

    def exhibits(self, category: str, method: str) -> list[Exhibit]:
        """Return the gallery's images of a category, highest score first."""
        entries = json.loads((self.folder / category / "exhibits.json").read_text(encoding="utf-8"))
        return [
            Exhibit(
                method,
                readable_name(category),
                readable_name(x["defect"]),
                x["outcome"],
                x["score"],
                x["path"],
                (self.folder / category / f"{x['number']}.webp").read_bytes(),
            )
            for x in entries
        ]


@dataclass(frozen=True)
class Run:
    """The stored results of a finished run.

    Attributes:
      results: The metrics and scores.
      details: The details of the anomaly maps.
      categories: The categories of the run.
    """

    results: Results
    details: Details
    categories: tuple[str, ...]

    @functools.cached_property
    def metrics(self) -> dict[str, Metrics]:
        """The seven metrics by category."""
        return {category: self.results.metrics(category) for category in self.categories}

    @functools.cached_property
    def mean(self) -> Metrics:
        """The mean of each metric over categories."""
        return mean_of(self.metrics)

    @functools.cached_property
    def rows(self) -> dict[str, list[ScoreRow]]:
        """The rows of readable images by category."""
        return {
            category: [row for row in self.results.rows(category) if row.score is not None]
            for category in self.categories
        }

    def scores(self, category: str) -> np.ndarray:
        """Return the image scores (N,), float32."""
        return np.array([row.score for row in self.rows[category]], np.float32)

    def labels(self, category: str) -> np.ndarray:
        """Return the labels (N,): 0 for normal, 1 for anomalous."""
        return np.array([row.label for row in self.rows[category]], int)

    def defects(self, category: str) -> tuple[str, ...]:
        """Return the defects of a category in the order of its images."""
        return tuple(dict.fromkeys(row.defect for row in self.rows[category] if row.label))

    def defect_auroc(self, category: str, defect: str) -> float | None:
        """Return the image AUROC of one defect's images against all normal images of the category."""
        return auroc(rank(*self._defect_scores(category, defect)))

    def defect_interval(self, category: str, defect: str) -> tuple[float | None, float | None]:
        """Return the bootstrap interval of `defect_auroc`."""
        scores, labels = self._defect_scores(category, defect)
        pairs = image_pairs(scores, labels)
        return interval(pairs.auroc(bootstrap_weights(labels, bootstrap_seed(category + defect))))

    def _defect_scores(self, category: str, defect: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and labels of one defect's images and of all normal images."""
        rows = self.rows[category]
        chosen = np.array([row.defect == defect or not row.label for row in rows])
        return self.scores(category)[chosen], self.labels(category)[chosen]

    def resampled_aurocs(self, level: Level, category: str) -> np.ndarray:
        """Return the AUROCs (R,) of bootstrap sets, which are the same for every run of the same images."""
        pairs = self._pairs(level, category)
        if pairs is None:
            return np.array([np.nan])
        return pairs.auroc(bootstrap_weights(self.labels(category), bootstrap_seed(category)))

    def interval(self, level: Level, category: str) -> tuple[float | None, float | None]:
        """Return the 95% bootstrap interval of a category's AUROC."""
        return interval(self.resampled_aurocs(level, category))

    def mean_interval(
        self, level: Level, categories: Sequence[str] | None = None
    ) -> tuple[float | None, float | None]:
        """Return the 95% bootstrap interval of the mean AUROC over categories, by default all."""
        return interval(mean_resampled([self], level, categories or self.categories))

    def _pairs(self, level: Level, category: str) -> PairCounts | None:
        if level == "pixel":
            return self.details.pixel_pairs(category)
        return image_pairs(self.scores(category), self.labels(category))


def mean_resampled(runs: Sequence[Run], level: Level, categories: Sequence[str]) -> np.ndarray:
    """Return the mean AUROC (R,) of bootstrap sets over runs and over the categories where it is defined."""
    found = [run.resampled_aurocs(level, category) for run in runs for category in categories]
    defined = [values for values in found if not np.isnan(values).any()]
    return np.mean(defined, axis=0) if defined else np.array([np.nan])


def bootstrap_seed(name: str) -> int:
    """Return the seed of the bootstrap sets of a category or defect, the same in every run."""
    return zlib.crc32(name.encode("utf-8", "surrogateescape"))


def readable_name(name: str) -> str:
    """Return the name of a category or defect as readers see it."""
    return names.printable(names.decode_name(name)).replace("_", " ")


def titles(categories: Sequence[str]) -> dict[str, str]:
    """Return readable names by category, or the original ones where two categories would share a name."""
    counts = Counter(map(readable_name, categories))
    return {
        name: readable_name(name) if counts[readable_name(name)] == 1 else names.printable(name)
        for name in categories
    }


def alarm_shares(scored: ScoredCategory) -> np.ndarray:
    """Return the share of pixels that are false alarms in each cell of a grid, over all normal images.

    Returns:
      (ALARM_GRID, ALARM_GRID), 0..1. Evenly spread false alarms would give 1 - ALARM_QUANTILE everywhere. NaN
      without normal images.
    """
    normal = scored.maps[scored.labels == 0]
    if not len(normal):
        return np.full((ALARM_GRID, ALARM_GRID), np.nan)
    above = (normal > np.quantile(normal, ALARM_QUANTILE)).mean(axis=0)
    rows, columns = (np.arange(side) * ALARM_GRID // side for side in above.shape)
    cells = (rows[:, None] * ALARM_GRID + columns).ravel()
    pixels = np.bincount(cells, minlength=ALARM_GRID**2)
    total = np.bincount(cells, weights=above.ravel(), minlength=ALARM_GRID**2)
    return (total / np.maximum(pixels, 1)).reshape(ALARM_GRID, ALARM_GRID)


def outcome(label: int, is_called_anomalous: bool) -> Outcome:
    """Return the outcome of a decision about an image with this label."""
    if label:
        return "found" if is_called_anomalous else "missed"
    return "false alarm" if is_called_anomalous else "passed"


def choose_exhibits(scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """Choose at most `EXHIBITS` images for the gallery and return their numbers, highest score first.

    They are the `WORST` normal images with the highest scores, the `WORST` anomalous ones with the lowest,
    and others that are evenly spaced by score.
    """
    order = np.argsort(-scores, kind="stable")
    normal, anomalous = (order[labels[order] == label] for label in (0, 1))
    worst = [*normal[:WORST], *(anomalous[-WORST:] if len(anomalous) else [])]
    rest = [number for number in order if number not in set(worst)]
    wanted = min(EXHIBITS - len(worst), len(rest))
    spread = [rest[round(place)] for place in np.linspace(0, len(rest) - 1, wanted)] if wanted else []
    chosen = {*worst, *spread}
    return [int(number) for number in order if number in chosen]


def draw_exhibit(scored: ScoredCategory, number: int) -> bytes:
    """Draw an image in its proportions, its heat map on the scale of its category, and the mask's outline.

    Returns:
      The WebP file.
    """
    sample, maps = scored.samples[number], scored.maps
    whole = open_image(sample.path)
    image = resize_image(whole, maps.shape[1:])
    mask = scored.masks[number] if sample.has_mask else None
    low, high = float(maps.min()), float(maps.max())
    resized = restore_proportions(image, maps[number], mask, (whole.height, whole.width))
    drawn = draw_map(*resized, low, high)
    if drawn.height > EXHIBIT_HEIGHT:
        width = round(drawn.width * EXHIBIT_HEIGHT / drawn.height)
        drawn = drawn.resize((width, EXHIBIT_HEIGHT), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    drawn.save(data, "WEBP", quality=80, method=4)
    return data.getvalue()
