"""Measure how often a fitted threshold is wrong: false alarms and misses on images with labels."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.backbones import load_backbone
from vlmad_jax.data import DataSet
from vlmad_jax.data.references import draw_references
from vlmad_jax.inspection.fit import FitConfig, ReferenceFiles, fit_model
from vlmad_jax.inspection.journal import rows_of_files
from vlmad_jax.inspection.saved import load_detector
from vlmad_jax.inspection.stream import Found
from vlmad_jax.inspection.tiles import TiledDetector
from vlmad_jax.methods import method
from vlmad_jax.report.table import markdown_grid

RULES = ("own", "augmented")


@dataclass(frozen=True)
class Trial:
    """The errors of one detector on the test images of a category.

    Attributes:
      category: the category.
      shots: number of reference images.
      seed: seed of their draw.
      supported: rate of false alarms that so many images support, whatever the distribution of scores.
      good: number of normal test images.
      bad: number of anomalous test images.
      thresholds: thresholds by their source: "own", the scores of the reference images themselves, or
        "augmented", those of their augmentations too.
      false_alarms: share of the normal test images that are above each threshold.
      misses: share of the anomalous test images that are not above each threshold.
    """

    category: str
    shots: int
    seed: int
    supported: float
    good: int
    bad: int
    thresholds: dict[str, float]
    false_alarms: dict[str, float]
    misses: dict[str, float]


def trials(
    dataset: DataSet, config: FitConfig, shots: Sequence[int], seeds: Sequence[int], out: Path, workers: int
) -> Iterator[Trial]:
    """Fit detectors of every category to drawn reference images, save them, and measure their errors.

    Args:
      dataset: gives reference images from its training images, and test images.
      config: how to fit; the category replaces its object and references.
      shots: numbers of reference images.
      seeds: seeds of their draws.
      out: folder for the detectors, which replace those of an earlier trial.
      workers: number of processes that decode; 0 decodes in threads of this process.

    Raises:
      InputError: `fit` raises it, or a category has fewer normal training images.
    """
    backbone = load_backbone(config.weights, config.dtype)
    detector, params = method(config.method).from_options(backbone, config.options)
    cells = list(itertools.product(dataset.categories, shots, seeds))
    for category, count, seed in tqdm(cells, desc="trials", unit=" detectors", dynamic_ncols=True):
        references = draw_references(dataset, category, count, seed)
        files = ReferenceFiles.of(category, [Found(str(sample.path), "") for sample in references])
        sizes = list(files.sizes.values())
        model = TiledDetector.choose(detector, config.tiles, config.resize, sizes, category)
        named = replace(config, object_name=dataset.object_name(category), seed=seed)
        saved = out / f"{category}-{count}-{seed}.vlmad"
        fitted = fit_model(named, model, params, files, saved, overwrite=True, workers=workers)
        tested = dataset.select(category, "test")
        loaded = load_detector(saved, batch_size=config.batch_size)
        labels = {sample.path: sample.label for sample in tested}
        scored = {0: list[float](), 1: list[float]()}
        for row in rows_of_files(loaded, list(labels), workers):
            if row.score is not None:
                scored[labels[row.path]].append(row.score)
        thresholds = fitted.threshold["thresholds"]
        yield Trial(
            category,
            count,
            seed,
            fitted.threshold["supported"],
            len(scored[0]),
            len(scored[1]),
            thresholds,
            {
                name: statistics.fmean(x > threshold for x in scored[0])
                for name, threshold in thresholds.items()
            },
            {
                name: statistics.fmean(x <= threshold for x in scored[1])
                for name, threshold in thresholds.items()
            },
        )


def table(done: Sequence[Trial], wanted: float) -> str:
    """Return a Markdown table with a row for each category and number of shots, and rows of means.

    Rates are averaged over draws, at the threshold of each source.
    """
    heading = ["category", "reference images", "wanted", "supported"]
    heading += [f"{rate}, {rule}" for rate in ("false alarms", "misses") for rule in RULES]
    cells = [heading]
    for (category, shots), group in itertools.groupby(done, lambda trial: (trial.category, trial.shots)):
        cells.append([category, *_cells(list(group), shots, wanted, each=True)])
    for shots in dict.fromkeys(trial.shots for trial in done):
        draws = [trial for trial in done if trial.shots == shots]
        cells.append(["mean", *_cells(draws, shots, wanted, each=False)])
    return markdown_grid(cells)


def _cells(draws: Sequence[Trial], shots: int, wanted: float, each: bool) -> list[str]:
    rates = [
        [kind[rule] for kind in kinds]
        for kinds in ([x.false_alarms for x in draws], [x.misses for x in draws])
        for rule in RULES
    ]
    return [str(shots), f"{wanted:.0%}", f"{draws[0].supported:.1%}", *(_rate(x, each) for x in rates)]


def _rate(rates: Sequence[float], each: bool) -> str:
    """Return the mean, and in brackets the rate of each draw if there are several and `each` is true."""
    draws = f" ({', '.join(f'{rate:.1%}' for rate in rates)})" if each and len(rates) > 1 else ""
    return f"{statistics.fmean(rates):.1%}{draws}"
