"""Executing the runs that the studies read. A run scores all test images once, and its results are stored."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vlmad_jax.backbones import Backbone, load_backbone
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.data.references import draw_references
from vlmad_jax.evaluation.evaluate import CategoryEvaluator, Observe
from vlmad_jax.evaluation.keys import category_keys
from vlmad_jax.evaluation.results import Results
from vlmad_jax.studies.config import PaperConfig
from vlmad_jax.studies.quick import shortened
from vlmad_jax.studies.run import Details, Run

# The largest number of normal training images of each category from which thresholds are chosen.
NORMAL_IMAGES = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Runner:
    """Executes the runs of one configuration and stores their results.

    Attributes:
      config: The configuration.
      out: The folder of the results.
      resume: Whether to keep the results of an earlier start.
      workers: The number of processes that decode images; 0 decodes in threads.
      cache: The values that `cached` has computed.
    """

    config: PaperConfig
    out: Path
    resume: bool = True
    workers: int = 0
    cache: dict[Any, Any] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def dataset(self) -> DataSet:
        """The data set, a part of it if the report is quick. Loading prints notices about files not read."""
        dataset = load_dataset(self.config.dataset, self.config.data_dir, self.config.categories)
        print_notices(dataset)
        return shortened(dataset) if self.config.quick else dataset

    @functools.cached_property
    def backbone(self) -> Backbone:
        """The backbone."""
        return load_backbone(self.config.weights, self.config.dtype)

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """The keys of the categories, which depend on the contents of test and training images."""
        return category_keys(self.dataset, self.backbone)

    def references(self, shots: int, seed: int) -> dict[str, tuple[Sample, ...]]:
        """Return the reference images of a draw by category; {} without any."""
        names = self.dataset.categories if shots else ()
        return {name: draw_references(self.dataset, name, shots, seed) for name in names}

    def normal_images(self, category: str) -> tuple[Sample, ...]:
        """Return at most `NORMAL_IMAGES` normal training images of a category, those of all draws first.

        All images of the draws are returned even if they are more.
        """
        if not len(self.dataset.select(category, "train")):
            return ()
        seeds, most = self.config.seeds if self.has_references else (), max(self.config.shots)
        drawn = [s for seed in seeds for s in draw_references(self.dataset, category, most, seed)]
        every = draw_references(self.dataset, category, "all", 0)
        return tuple(dict.fromkeys([*drawn, *every]))[: max(NORMAL_IMAGES, len(set(drawn)))]

    @functools.cached_property
    def has_references(self) -> bool:
        """Whether every category has enough normal training images for every draw."""
        return has_references(self.dataset, max(self.config.shots))

    def cached(self, key: Any, compute: Callable[[], T]) -> T:
        """Return the value of a key, which is computed on first use."""
        if key not in self.cache:
            self.cache[key] = compute()
        return self.cache[key]

    def normal_dataset(self, excluded: Mapping[str, Sequence[Sample]] | None = None) -> DataSet:
        """Return the data set with its normal training images in place of its test images.

        Args:
          excluded: Images by category to exclude.
        """
        samples = [
            dataclasses.replace(sample, split="test")
            for category in self.dataset.categories
            for sample in self.normal_images(category)
            if sample not in (excluded or {}).get(category, ())
        ]
        return dataclasses.replace(self.dataset, samples=tuple(samples))

    def run(
        self,
        name: str,
        settings: dict[str, Any],
        make_evaluator: Callable[[Results, Observe], CategoryEvaluator],
        dataset: DataSet,
        store_images: bool,
    ) -> Run:
        """Evaluate the categories that are missing from a run and return its results.

        Args:
          name: The name of the run. A run on normal training images has its own folder.
          settings: The values that its results depend on, besides data and weights.
          make_evaluator: Returns the evaluator.
          dataset: The data set, or `normal_dataset`.
          store_images: Whether to store images with their maps and the places of false alarms; see `Details`.
        """
        normal = dataset is not self.dataset
        folder = f"{name}-normal" if normal else name

        def finish() -> Run:
            results = Results(self.out / "runs" / folder, self.keys)
            config = {
                "name": folder,
                **settings,
                "data_fingerprint": self.dataset.fingerprint,
                "categories": list(dataset.categories),
                "weights_fingerprint": self.backbone.fingerprint,
            }
            results.open(config, self.resume)
            details = Details(results.out / "details", dataset if store_images and not normal else None)
            missing = [category for category in dataset.categories if not results.has(category)]
            if missing:
                make_evaluator(results, details.add).run(missing)
            results.finish(name, config, dataset.categories)
            return Run(results, details, dataset.categories)

        return self.cached(folder, finish)


def has_references(dataset: DataSet, shots: int) -> bool:
    """Return whether every category has enough normal training images for a number of reference images."""
    return all(len(dataset.select(name, "train")) >= shots for name in dataset.categories)


def stored_json(path: Path) -> Any:
    """Return the JSON value that an earlier start stored; None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
