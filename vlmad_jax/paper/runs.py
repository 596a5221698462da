"""The runs that studies are made of: each scores all test pictures once, and is kept."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from vlmad_jax.clip.model import CLIP, load_clip
from vlmad_jax.data import DataSet, Sample, load_dataset
from vlmad_jax.data.pipeline import Batch
from vlmad_jax.data.references import draw_references
from vlmad_jax.evaluation import Evaluator, Observe, params_fingerprint
from vlmad_jax.methods import AnomalyCLIP, Options, Scores, WinCLIP
from vlmad_jax.paper.config import LARGEST_WINDOW, PaperConfig
from vlmad_jax.paper.details import Details
from vlmad_jax.paper.embeddings import Embeddings, Encoder
from vlmad_jax.paper.feature_kinds import FeatureSum
from vlmad_jax.paper.finished import Finished
from vlmad_jax.prompts import WINCLIP, PromptEnsemble
from vlmad_jax.results import Results

# Good training pictures of each category that thresholds are chosen on, at most.
GOOD_PICTURES = 100

ScoreFeatures = Callable[[Any, Any], Scores]


@dataclass(frozen=True)
class EmbeddedEvaluator(Evaluator):
    """An evaluator whose pictures are embeddings; `state_of` and `score_features` stand for a detector."""

    embeddings: Embeddings | None = None
    sizes: tuple[int, ...] = ()
    state_of: Callable[[str], Any] | None = None
    score_features: ScoreFeatures | None = None

    def read(self, groups: Sequence[Sequence[Sample]], batch_size: int, workers: int) -> Iterator[Batch]:
        """The embeddings of each category in batches."""
        del workers
        assert self.embeddings is not None
        for number, group in enumerate(groups):
            for start in range(0, len(group), batch_size):
                yield self.embeddings.batch(group, self.sizes, start, batch_size, number)

    def prepare(self, category: str) -> Any:
        """The state for a category."""
        assert self.state_of is not None
        return self.state_of(category)

    def score(self, state: Any, images: Any) -> Scores:
        """The scores of a batch of embeddings."""
        assert self.score_features is not None
        return self.score_features(state, images)


@dataclass(frozen=True)
class Runs:
    """The runs of one configuration, in `out`.

    Attributes:
      config: what to run.
      out: where runs are kept.
      resume: keep what an earlier start finished.
      workers: processes that decode pictures; 0 decodes in threads.
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
        """The data set."""
        return load_dataset(self.config.dataset, self.config.data_dir, self.config.categories)

    @functools.cached_property
    def clip(self) -> CLIP:
        """The backbone."""
        return load_clip(self.config.weights, self.config.dtype)

    @functools.cached_property
    def base(self) -> WinCLIP:
        """WinCLIP with all window sizes that are looked at, up to the backbone's grid."""
        grid = min(WinCLIP(self.clip, (1,)).grid)
        return WinCLIP(self.clip, tuple(range(1, min(LARGEST_WINDOW, grid) + 1)))

    @functools.cached_property
    def learned(self) -> tuple[AnomalyCLIP, dict[str, Any]]:
        """AnomalyCLIP and its prompts; InputError where there are none."""
        detector, params = AnomalyCLIP.chosen(self.clip, Options(params=self.config.params))
        return detector, params

    @functools.cached_property
    def embeddings(self) -> Embeddings:
        """Of all pictures that any run looks at, encoded if they are not there yet."""
        encoder = Encoder(self.base, AnomalyCLIP.scaled(self.clip).dpam_layers)
        samples = [s for name in self.dataset.categories for s in self.dataset.select(name, "test")]
        samples += [s for name in self.dataset.categories for s in self.good_pictures(name)]
        names = [self.dataset.fingerprint, *(self.dataset.relative(sample.path) for sample in samples)]
        found = Embeddings.of(encoder, samples, names, self.out / "embeddings")
        found.fill(self.workers)
        return found

    def references(self, category: str, shots: int, seed: int) -> tuple[Sample, ...]:
        """The good samples of a draw."""
        return draw_references(self.dataset, category, shots, seed)

    def good_pictures(self, category: str) -> tuple[Sample, ...]:
        """Good training pictures of a category: those of every draw, then others, `GOOD_PICTURES` in all."""
        there = len(self.dataset.select(category, "train"))
        if not there:
            return ()
        most = max(self.config.shots)
        drawn = [s for seed in self.config.seeds for s in self.references(category, most, seed)]
        every = draw_references(self.dataset, category, "all", 0)
        return tuple(dict.fromkeys([*drawn, *every]))[: max(GOOD_PICTURES, len(set(drawn)))]

    @functools.cached_property
    def has_references(self) -> bool:
        """Whether every category has good training pictures enough for every draw."""
        most = max(self.config.shots)
        return all(len(self.dataset.select(name, "train")) >= most for name in self.dataset.categories)

    # Runs

    def winclip(
        self,
        sizes: tuple[int, ...] = (2, 3),
        shots: int = 0,
        seed: int = 0,
        words: PromptEnsemble = WINCLIP,
        object_name: str | None = None,
        name: str | None = None,
        good: bool = False,
    ) -> Finished:
        """WinCLIP.

        Args:
          sizes: of its windows.
          shots: good samples.
          seed: of their draw.
          words: its sentences.
          object_name: in place of the category's own.
          name: of the run; the default names sizes, shots and seed.
          good: score good training pictures in place of test pictures, without those of the draw.
        """
        detector = self.sized(sizes)

        def state_of(category: str) -> Any:
            named = object_name or self.dataset.object_name(category)
            state = {"text": self.text_features(words, named)}
            if not shots:
                return state
            found = self.embeddings.features(self.references(category, shots, seed), sizes)
            return {**state, "memory": jax.tree.map(jnp.asarray, detector.memory(found))}

        shown = "-".join(map(str, sizes))
        run_name = name or f"winclip-windows-{shown}-shots-{shots}" + (f"-seed-{seed}" if shots else "")
        drawn = {
            category: self.references(category, shots, seed) if shots else ()
            for category in self.dataset.categories
        }
        described: dict[str, Any] = {"words": digest(words), "object_name": object_name}
        described |= {"shots": shots, "seed": seed, "window_sizes": list(sizes)}
        main = shots == 0 and name is None and sizes == (2, 3)
        return self.embedded(
            run_name,
            described,
            self.compiled(("winclip", sizes), detector.score_features),
            sizes,
            state_of,
            self.pictures(good, drawn),
            main,
        )

    def features(self, kinds: tuple[str, ...], sizes: tuple[int, ...] = (2, 3)) -> Finished:
        """Some kinds of features, compared with WinCLIP's words."""
        scorer = FeatureSum(self.sized(sizes), kinds)
        shown = "-and-".join(kind.replace(" ", "-") for kind in kinds)
        return self.embedded(
            f"features-{shown}-windows-{'-'.join(map(str, sizes))}",
            {"kinds": list(kinds), "window_sizes": list(sizes)},
            self.compiled((kinds, sizes), scorer.score_features),
            sizes,
            lambda category: {"text": self.text_features(WINCLIP, self.dataset.object_name(category))},
            self.pictures(False, {}),
        )

    def anomalyclip(self, good: bool = False) -> Finished:
        """AnomalyCLIP, zero-shot, on test pictures or on good training pictures."""
        detector, params = self.learned
        dataset = self.pictures(good, {})
        described = {"params": params_fingerprint(params)}

        def make(results: Results, observe: Observe) -> Evaluator:
            return Evaluator(detector, params, dataset, {}, results, observe=observe)

        return self.run("anomalyclip", described, make, dataset, main=not good)

    def sized(self, sizes: tuple[int, ...]) -> WinCLIP:
        """WinCLIP with windows of these sizes."""
        return dataclasses.replace(self.base, window_sizes=sizes)

    def compiled(self, key: Any, score_features: ScoreFeatures) -> ScoreFeatures:
        """The function compiled, once for all runs of that key."""
        if key not in self.memory:
            self.memory[key] = jax.jit(score_features)
        return self.memory[key]

    @staticmethod
    def kept_json(path: Path) -> Any:
        """What an earlier run wrote there; None if nothing."""
        return json.loads(path.read_text()) if path.exists() else None

    def text_features(self, words: PromptEnsemble, object_name: str) -> jax.Array:
        """WinCLIP's text features, kept for the next run of the same words."""
        key = repr((words, object_name))
        if key not in self.memory:
            self.memory[key] = dataclasses.replace(self.base, prompts=words).text_features(object_name)
        return self.memory[key]

    def pictures(self, good: bool, drawn: dict[str, tuple[Sample, ...]]) -> DataSet:
        """The data set; or its good training pictures, without those drawn, as if they were to be tested."""
        if not good:
            return self.dataset
        samples = [
            dataclasses.replace(sample, split="test")
            for category in self.dataset.categories
            for sample in self.good_pictures(category)
            if sample not in drawn.get(category, ())
        ]
        return dataclasses.replace(self.dataset, samples=tuple(samples))

    def embedded(
        self,
        name: str,
        described: dict[str, Any],
        score_features: ScoreFeatures,
        sizes: tuple[int, ...],
        state_of: Callable[[str], Any],
        dataset: DataSet,
        main: bool = False,
    ) -> Finished:
        """A run on embeddings."""

        def make(results: Results, observe: Observe) -> Evaluator:
            return EmbeddedEvaluator(
                self.base,
                {},
                dataset,
                {},
                results,
                observe=observe,
                embeddings=self.embeddings,
                sizes=sizes,
                state_of=state_of,
                score_features=score_features,
            )

        return self.run(name, described, make, dataset, main)

    def run(
        self,
        name: str,
        described: dict[str, Any],
        make: Callable[[Results, Observe], Evaluator],
        dataset: DataSet,
        main: bool,
    ) -> Finished:
        """Runs what is missing of a run; `main` runs keep pictures."""
        good = dataset is not self.dataset
        folder = f"{name}-good" if good else name
        if folder in self.memory:
            return self.memory[folder]
        results = Results(self.out / "runs" / folder)
        identity = {
            "run": folder,
            **described,
            "data_fingerprint": self.dataset.fingerprint,
            "categories": list(dataset.categories),
            "weights_fingerprint": self.clip.fingerprint,
        }
        results.open(identity, self.resume)
        details = Details(results.out / "details", dataset if main and not good else None)
        todo = [category for category in dataset.categories if not results.has(category)]
        if todo:
            make(results, details.add).run(todo, self.config.batch_size, self.workers)
        results.finish(name, identity, dataset.categories)
        self.memory[folder] = Finished(results, details, dataset.categories)
        return self.memory[folder]


def digest(words: PromptEnsemble) -> str:
    """16 hexadecimal digits that change with any sentence."""
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]
