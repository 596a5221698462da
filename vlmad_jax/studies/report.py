"""The studies by name, and their report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.errors import InputError
from vlmad_jax.methods import WinCLIP
from vlmad_jax.report.parts import Figure, Gallery, Section, Table
from vlmad_jax.report.report_files import write_report
from vlmad_jax.runtime.environment import write_environment
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.studies import (
    ablations,
    calibration,
    defects,
    domains,
    efficiency,
    failures,
    few_shot,
    quick,
    zero_shot,
)
from vlmad_jax.studies.compared import (
    compared,
    titles_of,
    without_probabilities,
    without_references,
    without_steps,
    without_training,
    without_winclip,
)
from vlmad_jax.studies.config import PaperConfig
from vlmad_jax.studies.method_runs import ImageRuns
from vlmad_jax.studies.runner import Runner

Part = Table | Figure | Gallery
Make = Callable[[Runner], Sequence[Part]]


@dataclass(frozen=True)
class Study:
    """A study of the two compared methods.

    Attributes:
      section: A name of `SECTIONS`.
      make: Returns the tables, figures and galleries.
      obstacle: Returns why the study cannot be made of these methods, as half a sentence; None if it can.
    """

    section: str
    make: Make
    obstacle: Callable[[Runner], str | None] = lambda _: None


SECTIONS = {
    "comparison": "Comparison",
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
STUDIES = {
    "table1": Study("comparison", zero_shot.table1),
    "table2": Study("comparison", zero_shot.table2),
    "table3": Study("comparison", zero_shot.table3),
    "table4": Study("comparison", zero_shot.table4),
    "groups": Study("comparison", zero_shot.by_group),
    "table5": Study("defects", defects.table5),
    "table6": Study("defects", defects.table6),
    "defects": Study("defects", defects.all_defects),
    "figure3": Study("shots", few_shot.figure3, without_references),
    "figure4": Study("shots", few_shot.figure4, without_references),
    "shots": Study("shots", few_shot.shots_table, without_references),
    "gains": Study("shots", few_shot.gains, without_steps),
    "figure5": Study("windows", ablations.figure5, without_winclip),
    "windows": Study("windows", ablations.windows, without_winclip),
    "prompts": Study("prompts", ablations.prompts, without_winclip),
    "features": Study("features", ablations.features, without_winclip),
    "domains": Study("domains", domains.domains, without_training),
    "efficiency": Study("efficiency", efficiency.efficiency),
    "worst": Study("failures", failures.worst),
    "scores": Study("failures", failures.distributions),
    "alarms": Study("failures", failures.alarms),
    "gallery": Study("failures", failures.gallery),
    "reliability": Study("calibration", calibration.reliabilities, without_probabilities),
    "thresholds": Study("calibration", calibration.thresholds),
    "confidence": Study("confidence", zero_shot.differences),
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
    for name in config.methods:
        check_named(config.weights, config.options_of(name).params)
    runner = Runner(config, out, resume, workers)
    methods = compared(runner)  # raises an error before anything is computed
    omitted = obstacles(runner, chosen)
    for line in omitted_lines(omitted):
        print_stderr(line)
    parts: dict[str, list[Part]] = {}
    made = [name for name in chosen if name not in omitted]
    with tqdm(made, unit=" study", dynamic_ncols=True) as bar:
        for name in bar:
            bar.set_description(name)
            study = STUDIES[name]
            parts.setdefault(study.section, []).extend(study.make(runner))
    headings = SECTIONS | {"comparison": titles_of(methods)}
    sections = [Section(name, title, parts[name]) for name, title in headings.items() if name in parts]
    write_report(out, f"{titles_of(methods)} compared", sections, intro(runner, omitted))
    write_environment(out)
    return sections


def obstacles(runner: Runner, names: Sequence[str]) -> dict[str, str]:
    """Return the reasons for which studies cannot be made, by the names of these studies.

    Raises:
      InputError: None of the studies can be made.
    """
    slow = dict.fromkeys(quick.SLOW, quick.OBSTACLE) if runner.config.quick else {}
    found = {name: reason for name in names if (reason := slow.get(name) or STUDIES[name].obstacle(runner))}
    if len(found) == len(names):
        raise InputError(f"--only={','.join(names)}: {'; '.join(omitted_lines(found))}; give other parts")
    return found


def omitted_lines(reasons: Mapping[str, str]) -> list[str]:
    """Return a line for each reason that names the studies without which the report is made.

    >>> omitted_lines({"figure5": "it is cold", "gains": "it rains", "windows": "it is cold"})
    ['left out: figure5, windows (it is cold)', 'left out: gains (it rains)']
    """
    names = {reason: [name for name, why in reasons.items() if why == reason] for reason in reasons.values()}
    return [f"left out: {', '.join(studies)} ({reason})" for reason, studies in names.items()]


def intro(runner: Runner, omitted: Mapping[str, str]) -> str:
    """Return the introduction: the data set, the backbone, the methods' references, and what is left out."""
    dataset, backbone = runner.dataset, runner.backbone
    images = sum(len(dataset.select(name, "test")) for name in dataset.categories)
    kind = "convolutional network" if backbone.convolutional else "vision transformer"
    paragraphs = [
        f"Data set {dataset.name}: {len(dataset.categories)} categories, {images:,} test images. "
        f"Backbone: a {kind} of {len(backbone.widths)} layers, width {backbone.widths[-1]}, patches of "
        f"{backbone.patch_size} pixels at {backbone.image_size}, in {runner.config.dtype}. Metrics are "
        "fractions of 1; a dash means undefined or not published."
    ]
    if runner.config.quick:
        paragraphs.append(
            f"This is a quick report. Its test images are at most {quick.IMAGES} normal and {quick.IMAGES} "
            "anomalous ones of each category, and its reference images are those of one draw, so that its "
            "numbers are less certain than those of a whole report."
        )
    for method in compared(runner):
        if method.shots:
            paragraphs.append(
                f"{method.title} needs reference images. Where no other number is given, it has "
                f"{method.setting} of each category, drawn with seed {runner.config.seeds[0]}."
            )
        if method.name == WinCLIP.name and isinstance(method, ImageRuns):
            paragraphs.append(
                "Windows, prompts and features are studied with the default options of WinCLIP."
            )
    paragraphs += [f"{line[0].upper()}{line[1:]}." for line in omitted_lines(omitted)]
    return "\n\n".join(paragraphs)
