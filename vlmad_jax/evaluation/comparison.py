"""Methods side by side: every cell of a grid of methods, shots and seeds is an evaluation of its own.

Each runs in a process of its own, so that peaks of memory do not mix, and is kept in a folder of its own, so
that a grid that was stopped goes on with what is missing.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from vlmad_jax.backbones.checkpoints.hub import check_named
from vlmad_jax.backbones.clip import load_clip
from vlmad_jax.data import load_dataset
from vlmad_jax.data.checks import print_notices
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.evaluation.keys import params_fingerprint, tokenizer_digest
from vlmad_jax.evaluation.results import Results
from vlmad_jax.evaluation.trained_on import tell_training
from vlmad_jax.methods import method
from vlmad_jax.runtime.cache import software_versions
from vlmad_jax.runtime.child_process import in_process
from vlmad_jax.runtime.environment import write_environment
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.machine import describe, peak_memory
from vlmad_jax.runtime.names import printable
from vlmad_jax.runtime.run_folder import read_json

Shots = int | Literal["all"]
Figures = dict[str, Any]

SHOWN = ("image_auroc", "image_ap", "pixel_auroc", "pixel_aupro")


@dataclass(frozen=True)
class Grid:
    """What is compared.

    Attributes:
      methods: names of `methods.METHODS`.
      shots: numbers of good samples, 0 being zero-shot, or "all".
      seeds: of the draws of good samples. Zero-shot draws none and runs once, as does "all".
      params: by method, where what it learned is; those bundled with the weights if absent.
      shared: what all have in common; its method, shots, seed and params are passed over.

    Raises:
      InputError: an unknown method, nothing to run, or parameters of a method that is not compared.
    """

    methods: tuple[str, ...]
    shots: tuple[Shots, ...]
    seeds: tuple[int, ...]
    params: Mapping[str, str]
    shared: EvaluationConfig

    def __post_init__(self) -> None:
        for name, values in (("methods", self.methods), ("shots", self.shots), ("seeds", self.seeds)):
            if not values or len(set(values)) < len(values):
                raise InputError(f"--{name}={','.join(map(str, values))} has to name one or more, each once")
        for name in (*self.methods, *self.params):
            method(name)
        for name in self.params:
            if name not in self.methods:
                raise InputError(f"--params: {name} is not compared; add it to --methods")
        if not self.cells:
            raise InputError(
                f"--methods={','.join(self.methods)} with --shots={','.join(map(str, self.shots))}: none of "
                "them runs with that; add 0 for zero-shot methods, 4 for those of good samples"
            )

    @property
    def rows(self) -> tuple[tuple[str, Shots], ...]:
        """Methods with the shots that they can do something with."""
        return tuple(
            (name, shots)
            for name in self.methods
            for shots in self.shots
            if {"never": shots == 0, "if given": True, "always": shots != 0}[method(name).references]
        )

    @property
    def cells(self) -> dict[str, EvaluationConfig]:
        """The evaluations by the name of their folder."""
        found = {}
        for name, shots in self.rows:
            options = self.shared.options.restricted(method(name).options)
            if name in self.params:
                options = dataclasses.replace(options, params=self.params[name])
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
        """One where nothing is drawn."""
        return self.seeds[:1] if shots in (0, "all") else self.seeds


def cell_name(name: str, shots: Shots, seed: int) -> str:
    """The folder of a cell: "winclip-4-shots-seed-1"."""
    return f"{name}-{shots}-shots-seed-{seed}"


@dataclass(frozen=True)
class Cell:
    """One evaluation, to be run in a process of its own."""

    config: EvaluationConfig
    out: Path
    resume: bool
    workers: int

    def run(self) -> Figures:
        """The metrics over categories, the median seconds, the peak of memory in bytes, and the machine."""
        contents = evaluate(self.config, self.out, self.resume, workers=self.workers, compared=True)
        timings = [Results(self.out).timing(category) for category in contents["categories"]]
        seconds = {name: statistics.median(t[name] for t in timings) for name in timings[0]}
        return {**contents["mean"], **seconds, "peak_memory_bytes": peak_memory(), "machine": describe()}


@dataclass(frozen=True)
class Inputs:
    """What the cells of a grid read, looked at in a process of its own, which then leaves the device free."""

    grid: Grid

    def fingerprints(self) -> dict[str, dict[str, str | None]]:
        """By method, what changes with the images, the versions, the weights and what was learned.

        Raises:
          InputError: whatever is wrong with them.
        """
        shared = self.grid.shared
        dataset = load_dataset(shared.dataset, shared.data_dir, shared.categories)
        print_notices(dataset)
        clip = load_clip(shared.weights, shared.dtype)
        found: dict[str, dict[str, str | None]] = {}
        for config in self.grid.cells.values():
            kind = method(config.method)
            _, params = kind.from_options(clip, config.options)
            if "params" in kind.options and config.method not in found:
                tell_training(config.method, config.weights, config.options.params, dataset)
            found[config.method] = {
                "data": dataset.fingerprint,
                "software": f"{software_versions()} {tokenizer_digest(clip)}",
                "weights": clip.fingerprint,
                "params": params_fingerprint(params),
            }
        return found


def compare(grid: Grid, out: Path, resume: bool = True, workers: int = 0) -> dict[str, Any]:
    """Runs the cells that are missing and writes `comparison.json`.

    Args:
      grid: what to run.
      out: each cell has a folder there.
      resume: keep what an earlier run of the same cells finished.
      workers: processes that decode; 0 decodes in threads.

    Returns:
      The contents of `comparison.json`: "cells" by name, "rows" with means and deviations over seeds, and
      "failed", by name the reason for each cell that could not be run.

    Raises:
      InputError: something is wrong with the images, the weights or the parameters of any method.
    """
    for config in grid.cells.values():
        check_named(config.weights, config.options.params)
    with in_process(Inputs, grid) as ask:
        fingerprints = ask("fingerprints")
    cells: dict[str, Figures] = {}
    failed: dict[str, str] = {}
    with tqdm(grid.cells.items(), unit=" evaluation", dynamic_ncols=True) as bar:
        for name, config in bar:
            bar.set_description(name)
            try:
                cell = Cell(config, out / name, resume, workers)
                cells[name] = run_cell(cell, fingerprints[config.method])
            except InputError as error:
                failed[name] = str(error)
                tqdm.write(printable(f"left out: {name}: {error}"))
    contents = {"cells": cells, "rows": [row_of(grid, *row, cells) for row in grid.rows], "failed": failed}
    write_environment(out)
    write_json(out / "comparison.json", contents)
    return contents


def run_cell(cell: Cell, fingerprints: Mapping[str, str | None]) -> Figures:
    """The figures of a cell, run in a process of its own unless an earlier run of the same left them.

    Where only the images or the versions are others than those of the earlier run, it is run again.

    Raises:
      InputError: the earlier run is of another setting, other weights or other parameters.
    """
    path = cell.out / "cell.json"
    asked = json.loads(json.dumps({**dataclasses.asdict(cell.config), "fingerprints": fingerprints}))
    if cell.resume and path.exists():
        there = read_json(path)
        if there["asked"] == asked:
            return there["figures"]
        if _without_data(there["asked"]) != _without_data(asked):
            raise InputError(f"{cell.out}: holds another evaluation; give another --out, or --noresume")
    path.unlink(missing_ok=True)
    with in_process(Cell, cell.config, cell.out, cell.resume, cell.workers) as ask:
        figures = ask("run")
    write_json(path, {"asked": asked, "figures": figures})
    return figures


def _without_data(asked: dict[str, Any]) -> dict[str, Any]:
    kept = {name: x for name, x in asked["fingerprints"].items() if name not in ("data", "software")}
    return {**asked, "fingerprints": kept}


def row_of(grid: Grid, name: str, shots: Shots, cells: Mapping[str, Figures]) -> Figures:
    """A method with some shots: each figure's mean over seeds, and of metrics the sample deviation."""
    names = [cell_name(name, shots, seed) for seed in grid.seeds_of(shots)]
    found = [cells[cell] for cell in names if cell in cells]
    row: Figures = {"method": name, "shots": shots, "seeds": len(found)}
    for figure in (*SHOWN, "image_seconds", "prepare_seconds", "peak_memory_bytes"):
        values = [cell[figure] for cell in found if cell[figure] is not None]
        row[figure] = statistics.fmean(values) if values else None
        if figure in SHOWN:
            row[f"{figure}_deviation"] = statistics.stdev(values) if len(values) > 1 else None
    return row
