"""The folder of a run: what is done of it, and the files it ends with.

config.json                 what was asked for; a run goes on only with the same
references.json             the good samples of a few-shot run
categories/<category>.json  metrics of a finished category, and the key of what they were computed from; its
                            scores beside it as .csv
timing/<category>.json      how long it took, if that was measured
details/<category>/         what else was asked to be kept of its maps
maps/                       images of anomaly maps, if they were asked for
metrics.json, scores.csv    everything, once all categories are done
environment.json            versions, commit and machine, which nothing else has
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmad_jax.metrics import Metrics
from vlmad_jax.report import ScoreRow, mean_of, read_scores_csv, write_scores_csv
from vlmad_jax.runtime.environment import write_environment
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.runtime.run_folder import prepare_run_folder, read_json, remove_outputs

OUTPUTS = (
    "metrics.json",
    "environment.json",
    "scores.csv",
    "references.json",
    "maps",
    "categories",
    "timing",
    "details",
)  # beside config.json


# Entries of a configuration that change with the images; categories have keys of their own.
CHANGING = ("data_fingerprint",)


@dataclass(frozen=True)
class Results:
    """The results of one run in the folder `out`.

    Attributes:
      out: the folder.
      keys: for each category that is evaluated, a text that changes with everything that its figures depend
        on and that is not in the configuration: the contents of its images, and the versions.
    """

    out: Path
    keys: Mapping[str, str] = field(default_factory=dict)

    def open(self, config: dict[str, Any], resume: bool) -> None:
        """Takes the folder for a run of this configuration.

        With `resume`, categories that an earlier run of the same configuration finished are kept, but those
        with another key, which are named on stderr; without, everything of that run is removed.

        Raises:
          InputError: the folder holds files of something else or, with `resume`, a run of another
            configuration; or it cannot be written.
        """
        prepare_run_folder(self.out, config, OUTPUTS, resume, CHANGING)
        changed = [
            name for name in self.keys if self.has(name) and self._entry(name)["key"] != self.keys[name]
        ]
        if changed:
            names = ", ".join(changed)
            told = f"{self.out}: the images, or the versions, of {names} changed since; evaluated again"
            print_stderr(told)
            remove_outputs(self.out, ["metrics.json", "environment.json", "scores.csv"])
        for name in changed:
            kept = [f"categories/{name}.json", f"categories/{name}.csv", f"timing/{name}.json"]
            remove_outputs(self.out, [*kept, f"maps/{name}", f"details/{name}"])

    def has(self, category: str) -> bool:
        """Whether the category is finished."""
        return self._metrics(category).exists()  # written last

    def add(self, category: str, metrics: Metrics, rows: Sequence[ScoreRow]) -> None:
        """Notes a finished category."""
        write_scores_csv(self._scores(category), rows)
        write_json(self._metrics(category), {"key": self.keys.get(category), "metrics": metrics})

    def metrics(self, category: str) -> Metrics:
        """The metrics of a finished category."""
        return self._entry(category)["metrics"]

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
        write_environment(self.out)
        write_json(self.out / "metrics.json", contents)
        return contents

    def _entry(self, category: str) -> dict[str, Any]:
        """{"key", "metrics"} of a finished category; an older version wrote the metrics alone."""
        entry = read_json(self._metrics(category))
        return entry if "metrics" in entry else {"key": None, "metrics": entry}

    def _metrics(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.json"

    def _scores(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.csv"
