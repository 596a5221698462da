"""Efficiency: time per image, memory, number of learned parameters and training time of the methods."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.comparison import Grid, cell_name, compare
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.results import Results
from vlmad_jax.methods import LEARNING, METHODS, MethodOptions, has_params, learner, trains_networks
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.studies.domains import training_seconds
from vlmad_jax.studies.run import Details, Run
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import INTERVALS, Row, auroc_columns, auroc_values

# The number of reference images of methods that need them, and of a second run of those that may use them.
SHOTS = 4


def efficiency(runner: Runner) -> list[Table]:
    """Measure all methods that the weights and the parameters allow, each in its own process."""
    config = runner.config
    needs = ("never", "if given", "always") if runner.has_references else ("never", "if given")
    able = [name for name in METHODS if can_run(runner, name) and METHODS[name].references in needs]
    slow = [name for name in able if trains_networks(name) and name not in config.methods]
    methods = tuple(name for name in able if name not in slow)
    shared = EvaluationConfig(
        method="",
        weights=config.weights,
        dataset=config.dataset,
        data_dir=config.data_dir,
        categories=config.categories,
        batch_size=config.batch_size,
        dtype=config.dtype,
    )
    shots = (0, min(SHOTS, max(config.shots))) if runner.has_references else (0,)
    grid = Grid(
        methods=methods,
        shots=shots,
        seeds=config.seeds[:1],
        own_options={name: options_of(runner, name) for name in methods},
        shared=shared,
    )
    measured = compare(grid, runner.out / "efficiency", runner.resume, runner.workers)
    machines = [cell["machine"] for cell in measured["cells"].values()]
    rows = [_row(runner, grid, row) for row in measured["rows"] if row["image_seconds"] is not None]
    columns = (
        Column("method", "method"),
        Column("shots", "references"),
        Column("milliseconds", "ms/image", 1),
        Column("prepare_seconds", "preparation, s", 1),
        Column("peak_gigabytes", "peak memory, GB", 2),
        Column("learned", "learned parameters"),
        Column("training_seconds", "training, s", 0),
        *auroc_columns("image_auroc", "image"),
    )
    machine = "; ".join(f"{key} {value}" for key, value in machines[0].items()) if machines else ""
    note = (
        "These are measurements, so another run gives other times. The time per image is that of the "
        f"compiled program in batches of {config.batch_size}. Preparation of a category includes "
        "compilation, and the fit of methods that are fitted to reference images. Each method runs in its "
        "own process, whose peak memory is shown. Training time is that of training on another data set in "
        f"the study across domains, if that study ran. {INTERVALS}"
        + (
            f" Left out: {', '.join(slow)}, which train a network of their own for each category; "
            "experiments.compare measures them, and this report if they are given to --methods."
            if slow
            else ""
        )
        + (f"\n\nMachine: {machine}." if machine else "")
    )
    return [Table("measured_efficiency", "Efficiency", columns, tuple(rows), note)]


def options_of(runner: Runner, name: str) -> MethodOptions:
    """Return a method's options if it, or the one whose parameters it takes, is compared; none otherwise."""
    compared = [known for known in (name, learner(name)) if known in runner.config.methods]
    return runner.config.options_of(compared[0]) if compared else MethodOptions()


def can_run(runner: Runner, name: str) -> bool:
    """Return whether a method fits the backbone and has the parameters it needs, given or bundled."""
    try:
        METHODS[name].check_backbone(runner.backbone)
    except InputError:
        return False
    given = () if options_of(runner, name).params is None else (name,)
    return has_params(name, runner.backbone.name, given)


def parameters_learned(runner: Runner, name: str) -> int:
    """Return the number of parameters that a method learns from labelled images of other categories."""
    kind, backbone = METHODS[learner(name)], runner.backbone
    if learner(name) in LEARNING:
        options = options_of(runner, name).restricted(kind.options)
        detector, _ = kind.from_options(backbone, options)
    else:
        detector = kind.for_backbone(backbone)
    shapes = jax.eval_shape(detector.init, jax.random.key(0))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def _row(runner: Runner, grid: Grid, row: dict[str, Any]) -> Row:
    name = row["method"]
    out = runner.out / "efficiency" / cell_name(name, row["shots"], grid.seeds[0])
    run = Run(Results(out), Details(out / "details"), runner.dataset.categories)
    return {
        "method": name,
        "shots": row["shots"],
        "milliseconds": row["image_seconds"] * 1e3,
        "prepare_seconds": row["prepare_seconds"],
        "peak_gigabytes": row["peak_memory_bytes"] / 1e9,
        "learned": parameters_learned(runner, name),
        "training_seconds": training_seconds(runner, learner(name)),
        **auroc_values("image_auroc", run.mean["image_auroc"], run.mean_interval("image")),
    }
