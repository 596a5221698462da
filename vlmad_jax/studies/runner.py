"""Executing the runs that the studies read. A run scores all test images once, and its results are stored."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from vlmad_jax.backbones.clip import CLIP, load_clip
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.data.references import draw_references
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.evaluate import CategoryEvaluator, Observe, image_evaluator
from vlmad_jax.evaluation.keys import category_keys, params_fingerprint
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.evaluation.trained_on import report_training_data
from vlmad_jax.methods import AnomalyCLIP, WinCLIP
from vlmad_jax.methods.winclip import Memory, State
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble
from vlmad_jax.studies.config import LARGEST_WINDOW, PaperConfig
from vlmad_jax.studies.embeddings import (
    Embeddings,
    Encoder,
    FeatureModel,
    FeatureSum,
    Prepare,
    ScoreFeatures,
    feature_evaluator,
)
from vlmad_jax.studies.run import Details, Run

# The largest number of normal training images of each category from which thresholds are chosen.
NORMAL_IMAGES = 100

# The published sides of WinCLIP's windows, in patches.
SIZES = (2, 3)

T = TypeVar("T")


@dataclass(frozen=True)
class PromptVariant:
    """Prompts that replace WinCLIP's.

    Attributes:
      name: The name of the run.
      prompts: The prompt ensemble.
      object_name: A name that replaces the object name of every category.
    """

    name: str
    prompts: PromptEnsemble
    object_name: str | None = None


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
        """The data set. Loading it prints the notices about files that are not read."""
        dataset = load_dataset(self.config.dataset, self.config.data_dir, self.config.categories)
        print_notices(dataset)
        return dataset

    @functools.cached_property
    def clip(self) -> CLIP:
        """The backbone."""
        return load_clip(self.config.weights, self.config.dtype)

    @functools.cached_property
    def base(self) -> WinCLIP:
        """WinCLIP with all window sizes of figure 5 that fit the backbone's grid.

        Raises:
          InputError: The grid is too small for the published windows.
        """
        rows, columns = WinCLIP(self.clip, (1,)).grid
        if min(rows, columns) < max(SIZES):
            raise InputError(
                f"--weights={self.config.weights}: windows of {max(SIZES)} do not fit its grid of {rows} x "
                f"{columns} patches; give weights for larger images"
            )
        return WinCLIP(self.clip, tuple(range(1, min(LARGEST_WINDOW, rows, columns) + 1)))

    @functools.cached_property
    def learned(self) -> tuple[AnomalyCLIP, dict[str, Any]]:
        """AnomalyCLIP and its learned prompts.

        Raises:
          InputError: There are no learned prompts.
        """
        options = self.config.anomalyclip
        detector, params = AnomalyCLIP.from_options(self.clip, options)
        report_training_data("anomalyclip", self.config.weights, options.params, self.dataset)
        return detector, params

    @functools.cached_property
    def embeddings(self) -> Embeddings:
        """The embeddings of all images that any run reads; missing ones are computed."""
        encoder = Encoder(self.base, AnomalyCLIP.for_backbone(self.clip).dpam_layers)
        samples = [s for name in self.dataset.categories for s in self.dataset.select(name, "test")]
        samples += [s for name in self.dataset.categories for s in self.normal_images(name)]
        names = [self.dataset.fingerprint, *(self.dataset.relative(sample.path) for sample in samples)]
        embeddings = Embeddings.create(encoder, samples, names, self.out / "embeddings")
        embeddings.fill(self.workers)
        return embeddings

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """The keys of the categories, which depend on the contents of test and training images."""
        return category_keys(self.dataset, self.clip)

    def references(self, category: str, shots: int, seed: int) -> tuple[Sample, ...]:
        """Return the reference images of a draw."""
        return draw_references(self.dataset, category, shots, seed)

    def normal_images(self, category: str) -> tuple[Sample, ...]:
        """Return at most `NORMAL_IMAGES` normal training images of a category, those of all draws first.

        All images of the draws are returned even if they are more.
        """
        if not len(self.dataset.select(category, "train")):
            return ()
        seeds, most = self.config.seeds if self.has_references else (), max(self.config.shots)
        drawn = [s for seed in seeds for s in self.references(category, most, seed)]
        every = draw_references(self.dataset, category, "all", 0)
        return tuple(dict.fromkeys([*drawn, *every]))[: max(NORMAL_IMAGES, len(set(drawn)))]

    @functools.cached_property
    def has_references(self) -> bool:
        """Whether every category has enough normal training images for every draw."""
        most = max(self.config.shots)
        return all(len(self.dataset.select(name, "train")) >= most for name in self.dataset.categories)

    def winclip(
        self, variant: PromptVariant | None = None, shots: int = 0, seed: int = 0, normal: bool = False
    ) -> Run:
        """Run WinCLIP with the published windows.

        Args:
          variant: Prompts that replace the published ones.
          shots: The number of reference images.
          seed: The seed of their draw.
          normal: Whether to score the normal training images that were not drawn, instead of test images.
        """
        drawn = f"shots-{shots}" + (f"-seed-{seed}" if shots else "")
        used = variant or PromptVariant(f"winclip-windows-{joined(SIZES)}-{drawn}", WINCLIP)
        detector = self.with_windows(SIZES)
        references = {
            category: self.references(category, shots, seed) if shots else ()
            for category in self.dataset.categories
        }

        def prepare(category: str) -> State:
            object_name = used.object_name or self.dataset.object_name(category)
            state = State(self.text_features(used.prompts, object_name))
            if not shots:
                return state
            features = self.embeddings.features(references[category], SIZES)
            memory = Memory.of(features.patches, features.windows)
            return state._replace(memory=jax.tree.map(jnp.asarray, memory))

        return self.run_on_embeddings(
            used.name,
            {
                "prompts": fingerprint([repr(dataclasses.astuple(used.prompts))]),
                "object_name": used.object_name,
                "shots": shots,
                "seed": seed,
                "window_sizes": list(SIZES),
            },
            SIZES,
            prepare,
            self.scorer(("winclip", SIZES), detector.score_features),
            self.normal_dataset(references) if normal else self.dataset,
            store_images=variant is None and not shots,
        )

    def features(self, kinds: tuple[str, ...], sizes: tuple[int, ...] = SIZES) -> Run:
        """Run WinCLIP's prompts on some kinds of features; see `FeatureSum`."""
        model = FeatureSum(self.with_windows(sizes), kinds)
        name = "-and-".join(kind.replace(" ", "-") for kind in kinds)
        return self.run_on_embeddings(
            f"features-{name}-windows-{joined(sizes)}",
            {"kinds": list(kinds), "window_sizes": list(sizes)},
            sizes,
            lambda category: State(self.text_features(WINCLIP, self.dataset.object_name(category))),
            self.scorer((kinds, sizes), model.score_features),
            self.dataset,
        )

    def anomalyclip(self, normal: bool = False) -> Run:
        """Run AnomalyCLIP, zero-shot, on test images or on normal training images."""
        detector, params = self.learned
        dataset = self.normal_dataset() if normal else self.dataset
        settings = {"params": params_fingerprint(params), "setting": detector.setting}

        def make_evaluator(results: Results, observe: Observe) -> CategoryEvaluator:
            batch_size, workers = self.config.batch_size, self.workers
            return image_evaluator(
                detector, params, {}, dataset, results, batch_size, workers, observe=observe
            )

        return self.run("anomalyclip", settings, make_evaluator, dataset, store_images=True)

    def scorer(self, key: Any, score_features: ScoreFeatures) -> Scorer:
        """Return a scorer of stored features, compiled once for all runs of this key."""
        model = FeatureModel(self.clip, score_features)
        return self.cached(("scorer", key), lambda: Scorer(model, self.config.batch_size))

    def with_windows(self, sizes: tuple[int, ...]) -> WinCLIP:
        """Return WinCLIP with windows of these sizes."""
        return dataclasses.replace(self.base, window_sizes=sizes)

    def text_features(self, prompts: PromptEnsemble, object_name: str) -> jax.Array:
        """Return WinCLIP's text features, computed once for all runs with the same prompts."""
        return self.cached(
            (prompts, object_name),
            lambda: dataclasses.replace(self.base, prompts=prompts).text_features(object_name),
        )

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

    def run_on_embeddings(
        self,
        name: str,
        settings: dict[str, Any],
        sizes: tuple[int, ...],
        prepare: Prepare,
        scorer: Scorer,
        dataset: DataSet,
        store_images: bool = False,
    ) -> Run:
        """Run a model on stored embeddings; see `feature_evaluator` and `run`."""

        def make_evaluator(results: Results, observe: Observe) -> CategoryEvaluator:
            return feature_evaluator(scorer, self.embeddings, sizes, prepare, dataset, results, observe)

        return self.run(name, settings, make_evaluator, dataset, store_images)

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
                "weights_fingerprint": self.clip.fingerprint,
            }
            results.open(config, self.resume)
            details = Details(results.out / "details", dataset if store_images and not normal else None)
            missing = [category for category in dataset.categories if not results.has(category)]
            if missing:
                make_evaluator(results, details.add).run(missing)
            results.finish(name, config, dataset.categories)
            return Run(results, details, dataset.categories)

        return self.cached(folder, finish)


def stored_json(path: Path) -> Any:
    """Return the JSON value that an earlier start stored; None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def joined(sizes: tuple[int, ...]) -> str:
    """Return window sizes as part of a run's name."""
    return "-".join(map(str, sizes))
