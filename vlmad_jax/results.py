"""The folder of a run: what is done of it, and the files it ends with.

config.json                 what was asked for; a run goes on only with the same
references.json             the good samples of a few-shot run
categories/<category>.json  metrics of a finished category, and its scores beside it as .csv
timing/<category>.json      how long it took, if that was measured
details/<category>/         what else was asked to be kept of its maps
maps/                       pictures of anomaly maps, if they were asked for
metrics.json, scores.csv    everything, once all categories are done
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmad_jax.folder import read_json, take_folder
from vlmad_jax.metrics import Metrics
from vlmad_jax.report import ScoreRow, mean_of, read_scores_csv, write_json, write_scores_csv

OUTPUTS = (
    "metrics.json",
    "scores.csv",
    "references.json",
    "maps",
    "categories",
    "timing",
    "details",
)  # beside config.json


@dataclass(frozen=True)
class Results:
    """The results of one run in the folder `out`."""

    out: Path

    def open(self, config: dict[str, Any], resume: bool) -> None:
        """Takes the folder for a run of this configuration.

        With `resume`, categories that an earlier run of the same configuration finished are kept; without,
        everything of that run is removed.

        Raises:
          InputError: the folder holds files of something else or, with `resume`, a run of another
            configuration; or it cannot be written.
        """
        take_folder(self.out, config, OUTPUTS, resume)

    def has(self, category: str) -> bool:
        """Whether the category is finished."""
        return self._metrics(category).exists()  # written last

    def add(self, category: str, metrics: Metrics, rows: Sequence[ScoreRow]) -> None:
        """Notes a finished category."""
        write_scores_csv(self._scores(category), rows)
        write_json(self._metrics(category), metrics)

    def metrics(self, category: str) -> Metrics:
        """The metrics of a finished category."""
        return read_json(self._metrics(category))

    def add_timing(self, category: str, seconds: dict[str, float]) -> None:
        """Notes how long a category took."""
        write_json(self.out / "timing" / f"{category}.json", seconds)

    def timing(self, category: str) -> dict[str, float]:
        """How long a category took, if that was measured."""
        return read_json(self.out / "timing" / f"{category}.json")

    def rows(self, category: str) -> list[ScoreRow]:
        """The scores of a finished category."""
        return read_scores_csv(self._scores(category))

    def finish(self, method: str, config: dict[str, Any], categories: Sequence[str]) -> dict[str, Any]:
        """Writes `scores.csv` and `metrics.json` of finished categories; returns what the latter holds."""
        metrics = {name: self.metrics(name) for name in categories}
        contents = {"method": method, "config": config, "categories": metrics, "mean": mean_of(metrics)}
        write_scores_csv(self.out / "scores.csv", [row for name in categories for row in self.rows(name)])
        write_json(self.out / "metrics.json", contents)
        return contents

    def _metrics(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.json"

    def _scores(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.csv"
