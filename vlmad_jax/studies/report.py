"""The studies by name, and their report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.errors import InputError
from vlmad_jax.report.parts import Figure, Gallery, Section, Table
from vlmad_jax.report.report_files import write_report
from vlmad_jax.runtime.environment import write_environment
from vlmad_jax.studies import (
    ablations,
    calibration,
    defects,
    domains,
    efficiency,
    failures,
    few_shot,
    zero_shot,
)
from vlmad_jax.studies.config import PaperConfig
from vlmad_jax.studies.runner import Runner

Part = Table | Figure | Gallery
Study = Callable[[Runner], Sequence[Part]]

SECTIONS = {
    "comparison": "WinCLIP and AnomalyCLIP",
    "defects": "Defects",
    "shots": "Zero-shot and few-shot",
    "windows": "Windows",
    "prompts": "Prompts",
    "features": "Features",
    "efficiency": "Efficiency",
    "domains": "Across domains",
    "failures": "Failures",
    "calibration": "Calibration",
    "confidence": "Confidence",
}
STUDIES: dict[str, tuple[str, Study]] = {
    "table1": ("comparison", zero_shot.table1),
    "table2": ("comparison", zero_shot.table2),
    "table3": ("comparison", zero_shot.table3),
    "table4": ("comparison", zero_shot.table4),
    "groups": ("comparison", zero_shot.by_group),
    "table5": ("defects", defects.table5),
    "table6": ("defects", defects.table6),
    "defects": ("defects", defects.all_defects),
    "figure3": ("shots", few_shot.figure3),
    "figure4": ("shots", few_shot.figure4),
    "shots": ("shots", few_shot.shots_table),
    "gains": ("shots", few_shot.gains),
    "figure5": ("windows", ablations.figure5),
    "windows": ("windows", ablations.windows),
    "prompts": ("prompts", ablations.prompts),
    "features": ("features", ablations.features),
    "domains": ("domains", domains.domains),
    "efficiency": ("efficiency", efficiency.efficiency),
    "worst": ("failures", failures.worst),
    "scores": ("failures", failures.distributions),
    "alarms": ("failures", failures.alarms),
    "gallery": ("failures", failures.gallery),
    "reliability": ("calibration", calibration.reliabilities),
    "thresholds": ("calibration", calibration.thresholds),
    "confidence": ("confidence", zero_shot.differences),
}


def choose(names: Sequence[str]) -> tuple[str, ...]:
    """Return the studies of these names in the order of `STUDIES`, by default all.

    Raises:
      InputError: A name is unknown.
    """
    unknown = [name for name in names if name not in STUDIES]
    if unknown:
        raise InputError(
            f"--only: {', '.join(unknown)} is not one of {', '.join(STUDIES)}; give some of these"
        )
    return tuple(name for name in STUDIES if not names or name in names)


def report(
    config: PaperConfig, out: Path, only: Sequence[str] = (), resume: bool = True, workers: int = 0
) -> Sequence[Section]:
    """Run studies and write their report.

    Args:
      config: The configuration.
      out: The folder for `report.html`, `metrics.json`, `tables/` and `figures/`. It also stores the runs and
        the embeddings for the next start.
      only: Names of `STUDIES`; all if empty.
      resume: Whether to keep the results of an earlier start.
      workers: The number of processes that decode images; 0 decodes in threads.

    Returns:
      The sections of the report.

    Raises:
      InputError: The configuration, the weights or the data are wrong, or `out` holds runs of another
        configuration.
    """
    chosen = choose(only)
    check_named(config.weights, config.anomalyclip.params)
    runner = Runner(config, out, resume, workers)
    runner.learned, runner.base  # noqa: B018  raise an error before anything is computed
    parts: dict[str, list[Part]] = {}
    with tqdm(chosen, unit=" study", dynamic_ncols=True) as bar:
        for name in bar:
            bar.set_description(name)
            section, study = STUDIES[name]
            parts.setdefault(section, []).extend(study(runner))
    sections = [Section(name, title, parts[name]) for name, title in SECTIONS.items() if name in parts]
    write_report(out, TITLE, sections, intro(runner))
    write_environment(out)
    return sections


TITLE = "WinCLIP and AnomalyCLIP compared"


def intro(runner: Runner) -> str:
    """Return the introduction of the report: the data set and the backbone."""
    dataset = runner.dataset
    images = sum(len(dataset.select(name, "test")) for name in dataset.categories)
    vision = runner.clip.config.vision
    return (
        f"Data set {dataset.name}: {len(dataset.categories)} categories, {images:,} test images. "
        f"Backbone: a vision transformer of {vision.layers} layers, width {vision.width}, patches of "
        f"{vision.patch_size} pixels at {vision.image_size}, in {runner.config.dtype}. Metrics are fractions "
        "of 1; a dash means undefined or not published."
    )
