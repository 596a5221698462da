"""The folder of a run: what is done of it, and the files it ends with.

config.json                 what was asked for; a run goes on only with the same
references.json             the good samples of a few-shot run
categories/<category>.json  metrics of a finished category, and its scores beside it as .csv
metrics.json, scores.csv    everything, once all categories are done
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmad_jax.errors import InputError
from vlmad_jax.metrics import Metrics
from vlmad_jax.report import ScoreRow, mean_of, read_scores_csv, write_json, write_scores_csv


@dataclass(frozen=True)
class Results:
    """The results of one run in the folder `out`."""

    out: Path

    def open(self, config: dict[str, Any], resume: bool) -> None:
        """Takes the folder for a run of this configuration.

        With `resume`, categories that an earlier run of the same configuration finished are kept; without,
        they are forgotten.

        Raises:
          InputError: with `resume`, the folder holds a run of another configuration.
        """
        path = self.out / "config.json"
        if path.exists() and resume:
            there = self._read(path)
            changed = sorted(key for key in {*there, *config} if there.get(key) != config.get(key))
            if changed:
                key = changed[0]
                raise InputError(
                    f"{self.out}: holds a run with {key} {there.get(key)} where this one has "
                    f"{config.get(key)}; give another --out, or --noresume to replace it"
                )
            return
        for stale in (self.out / "categories").glob("*"):
            stale.unlink()
        for name in ("metrics.json", "scores.csv"):
            (self.out / name).unlink(missing_ok=True)
        write_json(path, config)

    def has(self, category: str) -> bool:
        """Whether the category is finished."""
        return self._metrics(category).exists()  # written last

    def add(self, category: str, metrics: Metrics, rows: Sequence[ScoreRow]) -> None:
        """Notes a finished category."""
        write_scores_csv(self._scores(category), rows)
        write_json(self._metrics(category), metrics)

    def rows(self, category: str) -> list[ScoreRow]:
        """The scores of a finished category."""
        return read_scores_csv(self._scores(category))

    def finish(self, method: str, config: dict[str, Any], categories: Sequence[str]) -> dict[str, Any]:
        """Writes `scores.csv` and `metrics.json` of finished categories; returns what the latter holds."""
        metrics: dict[str, Metrics] = {name: self._read(self._metrics(name)) for name in categories}
        contents = {"method": method, "config": config, "categories": metrics, "mean": mean_of(metrics)}
        write_scores_csv(self.out / "scores.csv", [row for name in categories for row in self.rows(name)])
        write_json(self.out / "metrics.json", contents)
        return contents

    def _metrics(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.json"

    def _scores(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.csv"

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        try:
            return json.loads(path.read_text())
        except ValueError as error:
            raise InputError(f"{path}: is damaged ({error}); run again with --noresume") from error
