"""What is kept of a category's maps once they are gone: pairs of pixels, places of false alarms, images."""

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
from vlmad_jax.evaluation.categories import ScoredCategory
from vlmad_jax.evaluation.results import Results
from vlmad_jax.metrics import Metrics
from vlmad_jax.metrics.ranking import auroc, rank
from vlmad_jax.metrics.thresholds import best_threshold
from vlmad_jax.metrics.uncertainty import PairCounts, bootstrap_weights, image_pairs, interval, pixel_pairs
from vlmad_jax.report import ScoreRow, draw_map, mean_of, restore_proportions
from vlmad_jax.report.parts import Exhibit, Outcome
from vlmad_jax.runtime import names
from vlmad_jax.runtime.files import write_atomically, write_json

# A good pixel is a false alarm where it scores higher than this share of all good pixels of its category.
ALARM_QUANTILE = 0.99
# Rows and columns of the grid on which they are counted.
ALARM_GRID = 16
# Of each category: images shown, the worst false alarms and the worst misses among them.
SHOWN, WORST = 24, 4
# Side of a panel at most, in pixels.
PANEL = 192


@dataclass(frozen=True)
class Details:
    """In a folder of a run; images are kept only of a data set that is given."""

    folder: Path
    dataset: DataSet | None = None

    def add(self, category: str, found: ScoredCategory) -> None:
        """Keeps what is wanted of a category."""
        if found.has_masks:
            pairs = pixel_pairs(found.maps, found.masks)
            self._write(category, "pairs.npz", vars(pairs))
        if self.dataset is None:
            return
        self._write(category, "alarms.npz", {"share": alarm_shares(found)})
        threshold = best_threshold(found.scores, found.labels)
        described = []
        for number in shown(found.scores, found.labels):
            data = panels(self.dataset, found, number)
            write_atomically(self.folder / category / f"{number}.webp", data)
            described.append(
                {
                    "number": number,
                    "defect": found.samples[number].defect,
                    "outcome": outcome(found.labels[number], found.scores[number] > threshold),
                    "score": float(found.scores[number]),
                    "path": self.dataset.relative(found.samples[number].path),
                }
            )
        write_json(self.folder / category / "exhibits.json", described)

    def _write(self, category: str, name: str, arrays: dict[str, Any]) -> None:
        data = io.BytesIO()
        np.savez(data, **arrays)
        write_atomically(self.folder / category / name, data.getvalue())

    def pairs(self, category: str) -> PairCounts | None:
        """Of pixels; None where there are no masks."""
        path = self.folder / category / "pairs.npz"
        if not path.exists():
            return None
        with np.load(path) as arrays:
            return PairCounts(**arrays)

    def alarms(self, category: str) -> np.ndarray:
        """The places of false alarms, (ALARM_GRID, ALARM_GRID); see `alarm_shares`."""
        with np.load(self.folder / category / "alarms.npz") as arrays:
            return arrays["share"]

    def exhibits(self, category: str, method: str) -> list[Exhibit]:
        """The images of a category, those with the highest scores first."""
        described = json.loads((self.folder / category / "exhibits.json").read_text(encoding="utf-8"))
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
            for x in described
        ]


def readable_name(name: str) -> str:
    """A category or defect as people read it."""
    return names.printable(names.decode_name(name)).replace("_", " ")


def titles(categories: Sequence[str]) -> dict[str, str]:
    """Categories as people read them; where two would read alike, as they are called."""
    counts = Counter(map(readable_name, categories))
    return {
        name: readable_name(name) if counts[readable_name(name)] == 1 else names.printable(name)
        for name in categories
    }


def alarm_shares(found: ScoredCategory) -> np.ndarray:
    """Where good images raise alarms: the share of pixels above the quantile, in each cell of a grid.

    Of all good images together, (ALARM_GRID, ALARM_GRID), 0..1; were alarms spread evenly, each were
    1 - ALARM_QUANTILE. NaN without good images.
    """
    good = found.maps[found.labels == 0]
    if not len(good):
        return np.full((ALARM_GRID, ALARM_GRID), np.nan)
    above = (good > np.quantile(good, ALARM_QUANTILE)).mean(axis=0)
    rows, columns = (np.arange(side) * ALARM_GRID // side for side in above.shape)
    cells = (rows[:, None] * ALARM_GRID + columns).ravel()
    pixels = np.bincount(cells, minlength=ALARM_GRID**2)
    total = np.bincount(cells, weights=above.ravel(), minlength=ALARM_GRID**2)
    return (total / np.maximum(pixels, 1)).reshape(ALARM_GRID, ALARM_GRID)


def outcome(label: int, called: bool) -> Outcome:
    """What calling an image defective, or not, amounts to."""
    if label:
        return "found" if called else "missed"
    return "false alarm" if called else "passed"


def shown(scores: np.ndarray, labels: np.ndarray) -> list[int]:
    """The images to show, at most `SHOWN`, highest score first.

    The good ones with the highest scores and the defective ones with the lowest, `WORST` of each; the others
    are evenly spaced over all the rest by score.
    """
    order = np.argsort(-scores, kind="stable")
    good, bad = (order[labels[order] == label] for label in (0, 1))
    worst = [*good[:WORST], *(bad[-WORST:] if len(bad) else [])]
    rest = [number for number in order if number not in set(worst)]
    wanted = min(SHOWN - len(worst), len(rest))
    spread = [rest[round(place)] for place in np.linspace(0, len(rest) - 1, wanted)] if wanted else []
    chosen = {*worst, *spread}
    return [int(number) for number in order if number in chosen]


def panels(dataset: DataSet, found: ScoredCategory, number: int) -> bytes:
    """An image in its proportions, its map on the scale of its category, and the true outline, as WebP."""
    sample, maps = found.samples[number], found.maps
    whole = open_image(sample.path)
    image = resize_image(whole, maps.shape[1])
    known = found.masks[number] if sample.has_mask else None
    low, high = float(maps.min()), float(maps.max())
    resized = restore_proportions(image, maps[number], known, (whole.height, whole.width))
    drawn = draw_map(*resized, low, high)
    if drawn.height > PANEL:
        width = round(drawn.width * PANEL / drawn.height)
        drawn = drawn.resize((width, PANEL), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    drawn.save(data, "WEBP", quality=80, method=4)
    return data.getvalue()


Level = Literal["image", "pixel"]


@dataclass(frozen=True)
class Run:
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
        pairs = image_pairs(scores, labels)
        return interval(pairs.auroc(bootstrap_weights(labels, seed_of(category + defect))))

    def _defect_scores(self, category: str, defect: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels of one defect's images and all good ones."""
        rows = self.rows[category]
        chosen = np.array([row.defect == defect or not row.label for row in rows])
        return self.scores(category)[chosen], self.labels(category)[chosen]

    def resampled_aurocs(self, level: Level, category: str) -> np.ndarray:
        """AUROC (R,) of resampled images, drawn alike for every run of the same images."""
        pairs = self._duels(level, category)
        if pairs is None:
            return np.array([np.nan])
        return pairs.auroc(bootstrap_weights(self.labels(category), seed_of(category)))

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
            return self.details.pairs(category)
        return image_pairs(self.scores(category), self.labels(category))


def mean_resampled(runs: Sequence[Run], level: Level, categories: Sequence[str]) -> np.ndarray:
    """The mean AUROC (R,) over runs and the categories where it is defined, of resampled images."""
    found = [run.resampled_aurocs(level, category) for run in runs for category in categories]
    defined = [values for values in found if not np.isnan(values).any()]
    return np.mean(defined, axis=0) if defined else np.array([np.nan])


def seed_of(name: str) -> int:
    """Of what is drawn for a category, the same in every run."""
    return zlib.crc32(name.encode("utf-8", "surrogateescape"))
