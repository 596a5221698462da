"""Efficiency: time an image, memory, parameters learned and training time of every method at hand."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from vlmad_jax.backbones.checkpoints.hub import BUNDLED_PARAMS, is_bundled
from vlmad_jax.evaluation.comparison import Grid, cell_name, compare
from vlmad_jax.evaluation.evaluate import EvaluationConfig
from vlmad_jax.evaluation.results import Results
from vlmad_jax.methods import LEARNING, METHODS
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.studies.domains import training_seconds
from vlmad_jax.studies.run import Details, Run
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import INTERVALS, Row, auroc_cells, auroc_columns

# Of the methods that need good samples, and of WinCLIP again.
SHOTS = 4


def efficiency(runner: Runner) -> list[Table]:
    """Every method whose parameters are at hand, each in a process of its own."""
    config = runner.config
    needy = {True: ("never", "if given", "always"), False: ("never", "if given")}[runner.has_references]
    methods = tuple(
        name for name in METHODS if is_at_hand(runner, name) and METHODS[name].references in needy
    )
    params = (
        {} if config.params is None else dict.fromkeys({"anomalyclip", "hybrid"} & {*methods}, config.params)
    )
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
        params=params,
        shared=shared,
    )
    measured = compare(grid, runner.out / "efficiency", runner.resume, runner.workers)
    machines = [cell["machine"] for cell in measured["cells"].values()]
    rows = [_row(runner, grid, row) for row in measured["rows"] if row["image_seconds"] is not None]
    columns = (
        Column("method", "method"),
        Column("shots", "good samples"),
        Column("milliseconds", "ms an image", 1),
        Column("prepare_seconds", "prepare, s", 1),
        Column("peak_gigabytes", "peak memory, GB", 2),
        Column("learned", "parameters learned"),
        Column("training_seconds", "training, s", 0),
        *auroc_columns("image_auroc", "image"),
    )
    named = "; ".join(f"{key} {value}" for key, value in machines[0].items()) if machines else ""
    note = (
        "Measured, so another run gives other times. An image is timed on the device in batches of "
        f"{config.batch_size}, compiled; preparing a category includes compiling, and for methods that are "
        "fitted to good samples the fit. Each method runs in a process of its own, whose peak of memory this "
        "is. Training time is what learning on another data set took in the study across domains, if that "
        f"ran. {INTERVALS}" + (f"\n\nMachine: {named}." if named else "")
    )
    return [Table("measured_efficiency", "Efficiency", columns, tuple(rows), note)]


def is_at_hand(runner: Runner, name: str) -> bool:
    """Whether a method needs no parameters, or they are given or bundled with the weights."""
    learned = "anomalyclip" if name == "hybrid" else name
    if learned not in LEARNING:
        return True
    bundled = is_bundled(runner.clip.name) and learned in BUNDLED_PARAMS
    return bundled or (learned == "anomalyclip" and runner.config.params is not None)


def parameters_learned(runner: Runner, name: str) -> int:
    """How many numbers a method learns from labelled images of other products."""
    of_prompts = name in ("anomalyclip", "hybrid")  # as many as the prompts at hand have
    detector = runner.learned[0] if of_prompts else METHODS[name].for_backbone(runner.clip)
    shapes = jax.eval_shape(detector.init, jax.random.key(0))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def _row(runner: Runner, grid: Grid, row: dict[str, Any]) -> Row:
    name = row["method"]
    out = runner.out / "efficiency" / cell_name(name, row["shots"], grid.seeds[0])
    run = Run(Results(out), Details(out / "details"), runner.dataset.categories)
    seconds = training_seconds(runner) if name in ("anomalyclip", "hybrid") else None
    return {
        "method": name,
        "shots": row["shots"],
        "milliseconds": row["image_seconds"] * 1e3,
        "prepare_seconds": row["prepare_seconds"],
        "peak_gigabytes": row["peak_memory_bytes"] / 1e9,
        "learned": parameters_learned(runner, name),
        "training_seconds": seconds,
        **auroc_cells("image_auroc", run.mean["image_auroc"], run.mean_interval("image")),
    }
