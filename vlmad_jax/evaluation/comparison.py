"""Comparing methods: each cell of a grid of methods, shots and seeds is an evaluation.

Each evaluation runs in its own process, so that its peak memory can be measured, and has its own folder, so
that an interrupted comparison runs only the missing cells.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vlmad_jax.backbones import load_backbone
from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.data import load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig, Shots
from vlmad_jax.evaluation.evaluate import evaluate, system_of
from vlmad_jax.evaluation.keys import params_fingerprint, tokenizer_digest
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.shapes import category_sizes
from vlmad_jax.evaluation.trained_on import report_training_data
from vlmad_jax.methods import BATCHED, METHODS, MethodOptions, method
from vlmad_jax.methods.options import flattened
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.child_process import in_process
from vlmad_jax.runtime.environment import write_environment
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.machine import describe, peak_memory
from vlmad_jax.runtime.names import printable
from vlmad_jax.runtime.run_folder import check_same_config, read_json

CellResults = dict[str, Any]

METRICS = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")


@dataclass(frozen=True)
class Grid:
    """The evaluations of a comparison.

    Attributes:
      methods: Names of `methods.METHODS` and `methods.BATCHED`.
      shots: Numbers of reference images, see `Shots`.
      seeds: Seeds of the draws of reference images. Zero-shot and "all" draw none and run once.
      own_options: Options of single methods by name, which replace the shared ones.
      shared: The configuration that all evaluations share, whose method, shots, seed and params are ignored.

    Raises:
      InputError: A method is unknown, there is nothing to run, or a method with parameters is not compared.
    """

    methods: tuple[str, ...]
    shots: tuple[Shots, ...]
    seeds: tuple[int, ...]
    own_options: Mapping[str, MethodOptions]
    shared: EvaluationConfig

    def __post_init__(self) -> None:
        for name, values in (("methods", self.methods), ("shots", self.shots), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}={','.join(map(str, values))}: give one or more, each once")
        for name in (*self.methods, *self.own_options):
            if name not in BATCHED:
                method(name)
        for name in self.own_options:
            if name not in self.methods:
                raise InputError(f"--params: {name} is not compared; add it to --methods")
        supported = {option for row in self.rows for option in options_of(*row)}
        self.shared.options.check(", ".join(self.methods), tuple(supported))
        if not self.cells:
            raise InputError(
                f"--methods={','.join(self.methods)} with --shots={','.join(map(str, self.shots))}: no "
                "method runs with these shots; add 0 for zero-shot methods, or 4 for methods with references"
            )

    @property
    def rows(self) -> tuple[tuple[str, Shots], ...]:
        """The methods, each with the shots that it supports; those with no other setting are "batched"."""
        return tuple((name, shots) for name in self.methods for shots in self.shots_of(name))

    def shots_of(self, name: str) -> tuple[Shots, ...]:
        """Return the shots that a method supports."""
        batched: tuple[Shots, ...] = ("batched",) if name in BATCHED else ()
        if name not in METHODS:
            return batched
        supported = {
            "never": lambda shots: shots == 0,
            "if given": lambda shots: shots != "batched",
            "always": lambda shots: shots not in (0, "batched"),
        }[method(name).references]
        return tuple(shots for shots in self.shots if supported(shots) or shots in batched)

    @property
    def cells(self) -> dict[str, EvaluationConfig]:
        """The evaluations by the names of their folders."""
        found = {}
        for name, shots in self.rows:
            options = self.shared.options.restricted(options_of(name, shots))
            if name in self.own_options:
                options = dataclasses.replace(options, **self.own_options[name].chosen())
            for seed in self.seeds_of(shots):
                found[cell_name(name, shots, seed)] = dataclasses.replace(
                    self.shared,
                    method=name,
                    shots=shots,
                    seed=seed,
                    options=options,
                )
        return found

    def seeds_of(self, shots: Shots) -> tuple[int, ...]:
        """Return the seeds for a number of shots, only one if no reference images are drawn."""
        return self.seeds if isinstance(shots, int) and shots else self.seeds[:1]


def options_of(name: str, shots: Shots) -> tuple[str, ...]:
    """Return the options that a method has with so many shots."""
    return BATCHED[name].set_options() if shots == "batched" else method(name).options


def cell_name(name: str, shots: Shots, seed: int) -> str:
    """Return the name of a cell's folder, for example "winclip-4-shots-seed-1"."""
    return f"{name}-{shots}-shots-seed-{seed}"


@dataclass(frozen=True)
class Cell:
    """An evaluation to run in its own process.

    Attributes:
      config: The configuration.
      out: The folder of its results.
      resume: Whether to keep the results of an earlier run.
      workers: The number of processes that decode images; 0 decodes in threads.
    """

    config: EvaluationConfig
    out: Path
    resume: bool
    workers: int

    def run(self) -> CellResults:
        """Return the mean metrics, the median seconds, the peak memory in bytes, and the machine."""
        contents = evaluate(self.config, self.out, self.resume, workers=self.workers, compared=True)
        timings = [Results(self.out).timing(category) for category in contents["categories"]]
        seconds = {name: statistics.median(t[name] for t in timings) for name in timings[0]}
        return {**contents["mean"], **seconds, "peak_memory_bytes": peak_memory(), "machine": describe()}


@dataclass(frozen=True)
class Inputs:
    """The inputs of a grid. They are checked in another process, which leaves the device free afterwards."""

    grid: Grid

    def fingerprints(self) -> dict[str, dict[str, str | None]]:
        """Return, by method, the fingerprints of the images, the software, the weights and the parameters.

        Raises:
          InputError: Any of them is wrong.
        """
        shared = self.grid.shared
        dataset = load_dataset(shared.dataset, shared.data_dir, shared.categories)
        print_notices(dataset)
        if shared.resize == "shorter":
            category_sizes(dataset, notify=True)
        backbone = load_backbone(shared.weights, shared.dtype)
        found: dict[str, dict[str, str | None]] = {}
        for config in self.grid.cells.values():
            kind = system_of(config)
            _, params = kind.from_options(backbone, config.options)
            if "params" in kind.options and config.method not in found:
                report_training_data(config.method, config.weights, config.options.params, dataset)
            found[config.method] = {
                "data_fingerprint": dataset.fingerprint,
                "software": f"{software_versions()} {tokenizer_digest(backbone)}",
                "weights_fingerprint": backbone.fingerprint,
                "params_fingerprint": params_fingerprint(params),
            }
        return found


def compare(grid: Grid, out: Path, resume: bool = True, workers: int = 0) -> dict[str, Any]:
    """Run the cells that are missing and write `comparison.json`.

    Args:
      grid: The evaluations.
      out: The folder of the comparison, in which each cell has its own folder.
      resume: Whether to keep the cells that an earlier run of the same grid finished.
      workers: The number of processes that decode images; 0 decodes in threads.

    Returns:
      The contents of `comparison.json`: "cells" by name, "rows" with means and deviations over seeds, and
      "failed", the reason by name for each cell that could not be run.

    Raises:
      InputError: The images, the weights or the parameters of any method are wrong.
    """
    for config in grid.cells.values():
        check_named(config.weights, config.options.params)
    with in_process(Inputs, grid) as call:
        fingerprints = call("fingerprints")
    cells: dict[str, CellResults] = {}
    failed: dict[str, str] = {}
    with tqdm(grid.cells.items(), unit=" evaluation", dynamic_ncols=True) as bar:
        for name, config in bar:
            bar.set_description(name)
            try:
                cell = Cell(config, out / name, resume, workers)
                cells[name] = run_cell(cell, fingerprints[config.method])
            except InputError as error:
                failed[name] = str(error)
                tqdm.write(printable(f"skipped: {name}: {error}"))
    contents = {"cells": cells, "rows": [row_of(grid, *row, cells) for row in grid.rows], "failed": failed}
    write_environment(out)
    write_json(out / "comparison.json", contents)
    return contents


def run_cell(cell: Cell, fingerprints: Mapping[str, str | None]) -> CellResults:
    """Return the results of a cell, which are stored.

    A stored cell is run again if only the images or the software changed.

    Raises:
      InputError: The stored cell has other settings, weights or parameters.
    """
    path = cell.out / "cell.json"
    config = {**flattened(cell.config), **fingerprints}
    if cell.resume and path.exists():
        stored = read_json(path)
        if stored.get("config") == config:
            return stored["results"]
        if "config" in stored:
            check_same_config(cell.out, stored["config"], config, ("data_fingerprint", "software"))
    path.unlink(missing_ok=True)
    with in_process(Cell, cell.config, cell.out, cell.resume, cell.workers) as call:
        results = call("run")
    write_json(path, {"config": config, "results": results})
    return results


def row_of(grid: Grid, name: str, shots: Shots, cells: Mapping[str, CellResults]) -> CellResults:
    """Return a method's means over seeds, with the sample deviations of the metrics."""
    names = [cell_name(name, shots, seed) for seed in grid.seeds_of(shots)]
    found = [cells[cell] for cell in names if cell in cells]
    row: CellResults = {"method": name, "shots": shots, "seeds": len(found)}
    for quantity in (*METRICS, "image_seconds", "prepare_seconds", "peak_memory_bytes"):
        values = [cell[quantity] for cell in found if cell[quantity] is not None]
        row[quantity] = statistics.fmean(values) if values else None
        if quantity in METRICS:
            row[f"{quantity}_deviation"] = statistics.stdev(values) if len(values) > 1 else None
    return row
