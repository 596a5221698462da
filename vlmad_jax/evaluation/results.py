"""The folder of an evaluation's results.

config.json                 the configuration; only a run with the same one resumes
references.json             the reference images of a few-shot run
categories/<category>.json  the metrics of a finished category and the key of what they depend on; a .csv file
                            beside it has the scores
submission/                 maps of images without published labels, see `evaluation.submission`
timing/<category>.json      how long the category took, if it was measured
details/<category>/         what an observer stored of the anomaly maps
maps/                       heat maps, if they were requested
metrics.json, scores.csv    all results, once all categories are finished
environment.json            versions, commit and machine; no other file has them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmad_jax.evaluation.map_files import map_paths
from vlmad_jax.evaluation.parts import joined_parts
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
    "submission",
)  # besides config.json

# Entries of a configuration that change with the images, which the keys of categories cover.
CHANGING = ("data_fingerprint", "resized")


@dataclass(frozen=True)
class Results:
    """The results of a run in a folder.

    Attributes:
      out: The folder.
      keys: For each category of the run, a text that changes with everything that its results depend on and
        that the configuration lacks: the contents of its images, and the versions.
    """

    out: Path
    keys: Mapping[str, str] = field(default_factory=dict)

    def open(self, config: dict[str, Any], resume: bool) -> None:
        """Prepare the folder for a run of a configuration.

        Args:
          config: The configuration.
          resume: Whether to keep the categories that an earlier run of the same configuration finished,
            except those whose key changed, which are reported on stderr. Otherwise all results are removed.

        Raises:
          InputError: The folder holds other files, or `resume` is set and it holds a run of another
            configuration, or it cannot be written.
        """
        prepare_run_folder(self.out, config, OUTPUTS, resume, CHANGING)
        changed = [
            name for name in self.keys if self.has(name) and self._entry(name)["key"] != self.keys[name]
        ]
        if changed:
            names = ", ".join(changed)
            print_stderr(f"{self.out}: the images of {names} or the versions changed; evaluating them again")
            remove_outputs(self.out, ["metrics.json", "environment.json", "scores.csv"])
        for name in changed:
            stale = [f"categories/{name}.json", f"categories/{name}.csv", f"timing/{name}.json"]
            stale += [f"maps/{name}", f"details/{name}", f"submission/anomaly_images/{name}"]
            remove_outputs(self.out, stale)

    def has(self, category: str) -> bool:
        """Return whether a category is finished."""
        return self._metrics(category).exists()  # written last

    def add(
        self,
        category: str,
        metrics: Metrics,
        rows: Sequence[ScoreRow],
        undefined: Mapping[str, str] | None = None,
        parts: Mapping[str, Metrics] | None = None,
    ) -> None:
        """Store the metrics and scores of a finished category.

        Args:
          category: The name of the category.
          metrics: Its metrics.
          rows: Its scores.
          undefined: Why metrics are undefined, see `parts.undefined`.
          parts: The metrics of its parts, see `parts.parts_of`.
        """
        write_scores_csv(self._scores(category), rows)
        entry: dict[str, Any] = {"key": self.keys.get(category), "metrics": metrics}
        entry |= {name: value for name, value in (("undefined", undefined), ("parts", parts)) if value}
        write_json(self._metrics(category), entry)

    def metrics(self, category: str) -> Metrics:
        """Return the metrics of a finished category."""
        return self._entry(category)["metrics"]

    def add_timing(self, category: str, seconds: dict[str, float]) -> None:
        """Store how long a category took."""
        write_json(self.out / "timing" / f"{category}.json", seconds)

    def timing(self, category: str) -> dict[str, float]:
        """Return how long a category took, if it was measured."""
        return read_json(self.out / "timing" / f"{category}.json")

    def rows(self, category: str) -> list[ScoreRow]:
        """Return the rows of a finished category, one for each image."""
        return read_scores_csv(self._scores(category))

    def finish(self, method: str, config: dict[str, Any], categories: Sequence[str]) -> dict[str, Any]:
        """Write `scores.csv` and `metrics.json` of finished categories; return the latter's contents."""
        metrics = {name: self.metrics(name) for name in categories}
        contents = {"method": method, "config": config, "categories": metrics, "mean": mean_of(metrics)}
        if undefined := self._all("undefined", categories):
            contents["undefined"] = undefined
        if parts := self._all("parts", categories):
            contents["parts"] = joined_parts(parts)
        write_scores_csv(self.out / "scores.csv", [row for name in categories for row in self.rows(name)])
        write_environment(self.out)
        write_json(self.out / "metrics.json", contents)
        return contents

    def _all(self, name: str, categories: Sequence[str]) -> dict[str, Any]:
        """Return an optional entry of each category that has it."""
        entries = {category: self._entry(category) for category in categories}
        return {category: entry[name] for category, entry in entries.items() if name in entry}

    def _entry(self, category: str) -> dict[str, Any]:
        """Return {"key", "metrics"} of a finished category; older versions stored only the metrics."""
        entry = read_json(self._metrics(category))
        return entry if "metrics" in entry else {"key": None, "metrics": entry}

    def _metrics(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.json"

    def _scores(self, category: str) -> Path:
        return self.out / "categories" / f"{category}.csv"


def is_finished(category: str, results: Results, maps_out: Path | None) -> bool:
    """Return whether the results hold the category and, if heat maps go to `maps_out`, all of them."""
    if not results.has(category):
        return False
    if maps_out is None:
        return True
    rows = results.rows(category)
    paths = map_paths(maps_out, rows)
    return all(path.exists() for row, path in zip(rows, paths, strict=True) if row.score is not None)
