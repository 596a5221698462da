"""The runs that studies are made of: each scores all test images once, and is kept."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
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
from vlmad_jax.evaluation.categories import CategoryEvaluator, Observe
from vlmad_jax.evaluation.evaluate import image_evaluator
from vlmad_jax.evaluation.keys import keys_of, params_fingerprint
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.scorer import Scorer
from vlmad_jax.evaluation.trained_on import tell_training
from vlmad_jax.methods import AnomalyCLIP, MethodOptions, WinCLIP
from vlmad_jax.methods.winclip import Memory, State
from vlmad_jax.runtime.cache import fingerprint
from vlmad_jax.scoring.prompts import WINCLIP, PromptEnsemble
from vlmad_jax.studies.config import LARGEST_WINDOW, PaperConfig
from vlmad_jax.studies.embeddings import (
    Embeddings,
    Encoder,
    FeatureModel,
    FeatureSum,
    ScoreFeatures,
    StateOf,
    feature_evaluator,
)
from vlmad_jax.studies.run import Details, Run

# Good training images of each category that thresholds are chosen on, at most.
NORMAL_IMAGES = 100

# Sides of WinCLIP's windows in patches, as published.
SIZES = (2, 3)

T = TypeVar("T")


@dataclass(frozen=True)
class PromptVariant:
    """What WinCLIP compares images with.

    Attributes:
      name: of the run.
      prompts: the sentences.
      object_name: in place of each category's own.
    """

    name: str
    prompts: PromptEnsemble
    object_name: str | None = None


@dataclass(frozen=True)
class Runner:
    """The runs of one configuration, in `out`.

    Attributes:
      config: what to run.
      out: where runs are kept.
      resume: keep what an earlier start finished.
      workers: processes that decode images; 0 decodes in threads.
      memory: what was made by this one, to be made once.
    """

    config: PaperConfig
    out: Path
    resume: bool = True
    workers: int = 0
    memory: dict[Any, Any] = dataclasses.field(default_factory=dict)

    # What is loaded once

    @functools.cached_property
    def dataset(self) -> DataSet:
        """The data set, of which people are told what is not read."""
        dataset = load_dataset(self.config.dataset, self.config.data_dir, self.config.categories)
        print_notices(dataset)
        return dataset

    @functools.cached_property
    def clip(self) -> CLIP:
        """The backbone."""
        return load_clip(self.config.weights, self.config.dtype)

    @functools.cached_property
    def base(self) -> WinCLIP:
        """WinCLIP with all window sizes that are looked at, up to the backbone's grid.

        Raises InputError where that is too small for the published windows.
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
        """AnomalyCLIP and its prompts; InputError where there are none."""
        detector, params = AnomalyCLIP.from_options(self.clip, MethodOptions(params=self.config.params))
        tell_training("anomalyclip", self.config.weights, self.config.params, self.dataset)
        return detector, params

    @functools.cached_property
    def embeddings(self) -> Embeddings:
        """Of all images that any run looks at, encoded if they are not there yet."""
        encoder = Encoder(self.base, AnomalyCLIP.for_backbone(self.clip).dpam_layers)
        samples = [s for name in self.dataset.categories for s in self.dataset.select(name, "test")]
        samples += [s for name in self.dataset.categories for s in self.normal_images(name)]
        names = [self.dataset.fingerprint, *(self.dataset.relative(sample.path) for sample in samples)]
        found = Embeddings.of(encoder, samples, names, self.out / "embeddings")
        found.fill(self.workers)
        return found

    @functools.cached_property
    def keys(self) -> dict[str, str]:
        """What changes with the contents of a category's images, its reference images among them."""
        return keys_of(self.dataset, self.clip)

    def references(self, category: str, shots: int, seed: int) -> tuple[Sample, ...]:
        """The good samples of a draw."""
        return draw_references(self.dataset, category, shots, seed)

    def normal_images(self, category: str) -> tuple[Sample, ...]:
        """Good training images of a category: those of every draw, then others, `NORMAL_IMAGES` in all."""
        there = len(self.dataset.select(category, "train"))
        if not there:
            return ()
        seeds, most = self.config.seeds if self.has_references else (), max(self.config.shots)
        drawn = [s for seed in seeds for s in self.references(category, most, seed)]
        every = draw_references(self.dataset, category, "all", 0)
        return tuple(dict.fromkeys([*drawn, *every]))[: max(NORMAL_IMAGES, len(set(drawn)))]

    @functools.cached_property
    def has_references(self) -> bool:
        """Whether every category has good training images enough for every draw."""
        most = max(self.config.shots)
        return all(len(self.dataset.select(name, "train")) >= most for name in self.dataset.categories)

    # Runner

    def winclip(
        self, variant: PromptVariant | None = None, shots: int = 0, seed: int = 0, good: bool = False
    ) -> Run:
        """WinCLIP with the published windows.

        Args:
          variant: in place of the published words.
          shots: good samples.
          seed: of their draw.
          good: score good training images in place of test images, without those of the draw.
        """
        drawn = f"shots-{shots}" + (f"-seed-{seed}" if shots else "")
        used = variant or PromptVariant(f"winclip-windows-{shown(SIZES)}-{drawn}", WINCLIP)
        detector = self.sized(SIZES)
        references = {
            category: self.references(category, shots, seed) if shots else ()
            for category in self.dataset.categories
        }

        def state_of(category: str) -> Any:
            named = used.object_name or self.dataset.object_name(category)
            state = State(self.text_features(used.prompts, named))
            if not shots:
                return state
            found = self.embeddings.features(references[category], SIZES)
            return state._replace(memory=jax.tree.map(jnp.asarray, Memory.of(found.patches, found.windows)))

        return self.embedded(
            used.name,
            {
                "words": fingerprint([repr(dataclasses.astuple(used.prompts))]),
                "object_name": used.object_name,
                "shots": shots,
                "seed": seed,
                "window_sizes": list(SIZES),
            },
            SIZES,
            state_of,
            self.scorer(("winclip", SIZES), detector.score_features),
            self.images(good, references),
            keep_images=variant is None and not shots,
        )

    def features(self, kinds: tuple[str, ...], sizes: tuple[int, ...] = SIZES) -> Run:
        """Some kinds of features, compared with WinCLIP's words."""
        summed = FeatureSum(self.sized(sizes), kinds)
        joined = "-and-".join(kind.replace(" ", "-") for kind in kinds)
        return self.embedded(
            f"features-{joined}-windows-{shown(sizes)}",
            {"kinds": list(kinds), "window_sizes": list(sizes)},
            sizes,
            lambda category: State(self.text_features(WINCLIP, self.dataset.object_name(category))),
            self.scorer((kinds, sizes), summed.score_features),
            self.dataset,
        )

    def anomalyclip(self, good: bool = False) -> Run:
        """AnomalyCLIP, zero-shot, on test images or on good training images."""
        detector, params = self.learned
        dataset = self.images(good, {})
        described = {"params": params_fingerprint(params)}

        def make(results: Results, observe: Observe) -> CategoryEvaluator:
            batch_size, workers = self.config.batch_size, self.workers
            return image_evaluator(
                detector, params, {}, dataset, results, batch_size, workers, observe=observe
            )

        return self.run("anomalyclip", described, make, dataset, keep_images=True)

    def scorer(self, key: Any, score_features: ScoreFeatures) -> Scorer:
        """Return a scorer of stored features, compiled once for all runs of this key."""
        model = FeatureModel(self.clip, score_features)
        return self.cached(("scorer", key), lambda: Scorer(model, self.config.batch_size))

    def sized(self, sizes: tuple[int, ...]) -> WinCLIP:
        """WinCLIP with windows of these sizes."""
        return dataclasses.replace(self.base, window_sizes=sizes)

    def text_features(self, prompts: PromptEnsemble, object_name: str) -> jax.Array:
        """WinCLIP's text features, computed once for all runs of the same words."""
        return self.cached(
            (prompts, object_name),
            lambda: dataclasses.replace(self.base, prompts=prompts).text_features(object_name),
        )

    def cached(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, made the first time that it is asked for by this key."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]

    @staticmethod
    def kept_json(path: Path) -> Any:
        """What an earlier run wrote there; None if nothing."""
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def images(self, good: bool, drawn: dict[str, tuple[Sample, ...]]) -> DataSet:
        """The data set; or its good training images, without those drawn, as if they were to be tested."""
        if not good:
            return self.dataset
        samples = [
            dataclasses.replace(sample, split="test")
            for category in self.dataset.categories
            for sample in self.normal_images(category)
            if sample not in drawn.get(category, ())
        ]
        return dataclasses.replace(self.dataset, samples=tuple(samples))

    def embedded(
        self,
        name: str,
        described: dict[str, Any],
        sizes: tuple[int, ...],
        state_of: StateOf,
        scorer: Scorer,
        dataset: DataSet,
        keep_images: bool = False,
    ) -> Run:
        """A run on embeddings."""

        def make(results: Results, observe: Observe) -> CategoryEvaluator:
            return feature_evaluator(scorer, self.embeddings, sizes, state_of, dataset, results, observe)

        return self.run(name, described, make, dataset, keep_images)

    def run(
        self,
        name: str,
        described: dict[str, Any],
        make: Callable[[Results, Observe], CategoryEvaluator],
        dataset: DataSet,
        keep_images: bool,
    ) -> Run:
        """Runner what is missing of a run, once.

        Args:
          name: of the run; that on good training images has a folder of its own.
          described: what its figures depend on, beside data and weights.
          make: gives the evaluator.
          dataset: what is scored, from `images`.
          keep_images: of test images, keep some with their maps, and the places of false alarms.
        """
        good = dataset is not self.dataset
        folder = f"{name}-good" if good else name

        def finish() -> Run:
            results = Results(self.out / "runs" / folder, self.keys)
            identity = {
                "run": folder,
                **described,
                "data_fingerprint": self.dataset.fingerprint,
                "categories": list(dataset.categories),
                "weights_fingerprint": self.clip.fingerprint,
            }
            results.open(identity, self.resume)
            details = Details(results.out / "details", dataset if keep_images and not good else None)
            todo = [category for category in dataset.categories if not results.has(category)]
            if todo:
                make(results, details.add).run(todo)
            results.finish(name, identity, dataset.categories)
            return Run(results, details, dataset.categories)

        return self.cached(folder, finish)


def shown(sizes: tuple[int, ...]) -> str:
    """Window sizes in the name of a run."""
    return "-".join(map(str, sizes))
