"""Across domains: AnomalyCLIP's prompts learned on one data set and tested on each other one."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

from vlmad_jax.data import load_dataset
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.evaluate import EvaluationConfig, evaluate
from vlmad_jax.evaluation.keys import tokenizer_digest
from vlmad_jax.evaluation.results import Results
from vlmad_jax.methods import MethodOptions
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.studies.config import Domain
from vlmad_jax.studies.run import Details, Run
from vlmad_jax.studies.runner import Runner
from vlmad_jax.studies.table_columns import INTERVALS, Row, mean_cells, metric_columns
from vlmad_jax.training.train import Resources, TrainConfig, train_method

UNTRAINED = "none (WinCLIP)"


def domains(runner: Runner) -> list[Table]:
    """The matrix: a row a data set learned from, columns the data sets tested on."""
    tested = runner.config.domains
    if len(tested) < 2:
        note = "Give two data sets or more, for example --domains=mvtec_ad=DIRECTORY,visa=DIRECTORY."
        return [Table("domains", "Across domains", (Column("learned", "learned from"),), (), note)]
    rows: list[Row] = []
    blank = [column.key for column in metric_columns()]
    for source in (None, *tested):
        row: Row = {"learned": UNTRAINED if source is None else source.name}
        for target in tested:
            cells = (
                dict.fromkeys(blank) if source == target else mean_cells(tested_on(runner, source, target))
            )
            row |= {f"{target.name}_{key}": value for key, value in cells.items()}
        rows.append(row)
    columns = [Column("learned", "learned from")]
    for target in tested:
        for column in metric_columns():
            key, group = f"{target.name}_{column.key}", f"tested on {target.name}, {column.group}"
            columns.append(dataclasses.replace(column, key=key, group=group))
    note = (
        f"AnomalyCLIP's prompts, learned for {runner.config.epochs} epochs on the test images of one data "
        "set and tested on those of another; nothing is chosen on the data set tested. The first row learns "
        f"nothing. A data set is not tested with what was learned on itself. {INTERVALS}"
    )
    return [Table("domains", "Across domains", tuple(columns), tuple(rows), note)]


def tested_on(runner: Runner, source: Domain | None, target: Domain) -> Run:
    """One data set with what was learned on another, or by WinCLIP."""
    config = runner.config
    evaluation = EvaluationConfig(
        method="winclip" if source is None else "anomalyclip",
        weights=config.weights,
        dataset=target.name,
        data_dir=target.data_dir,
        batch_size=config.batch_size,
        dtype=config.dtype,
        options=MethodOptions(params=None if source is None else str(learn(runner, source))),
    )
    out = runner.out / "domains" / f"{source.name if source else 'none'}-to-{target.name}"
    details = Details(out / "details")
    contents = evaluate(evaluation, out, runner.resume, workers=runner.workers, observe=details.add)
    return Run(Results(out), details, tuple(contents["categories"]))


def learn(runner: Runner, source: Domain) -> Path:
    """Learns on a data set unless that was done with the same images, weights, setting and versions.

    Returns where the prompts are.
    """
    return runner.cached(("learned", source), lambda: _learn(runner, source))


def _learn(runner: Runner, source: Domain) -> Path:
    config, out = runner.config, runner.out / "domains" / f"learned-{source.name}"
    setting = {k: x for k, x in runner.learned[0].setting.items() if k not in ("clip", "prompts")}
    training = TrainConfig(
        method="anomalyclip",
        weights=config.weights,
        dataset=source.name,
        data_dir=source.data_dir,
        setting=tuple(sorted((k, tuple(x) if isinstance(x, list) else x) for k, x in setting.items())),
        epochs=config.epochs,
        dtype=config.dtype,
        cache_features=True,
    )
    learned_from = load_dataset(source.name, source.data_dir).fingerprint
    backbone = (runner.clip.fingerprint, tokenizer_digest(runner.clip))
    depends_on = cache_key(json.dumps(dataclasses.asdict(training)), learned_from, *backbone)
    kept, began_with = (runner.kept_json(out / name) for name in ("training.json", "key.json"))
    if kept is not None and began_with == depends_on and runner.resume:
        return out / "params"
    if out.exists() and (not runner.resume or began_with != depends_on):
        told = f"{out}: is of other images, settings or versions; learned again"
        print_stderr(told)
        shutil.rmtree(out)
    write_json(out / "key.json", depends_on)
    began = time.perf_counter()
    params = train_method(training, out, Resources(workers=runner.workers))
    if not params.exists():
        raise InputError(f"learning on {source.name} was stopped and saved; the same command goes on")
    write_json(out / "training.json", {"seconds": time.perf_counter() - began})
    return params


def training_seconds(runner: Runner) -> float | None:
    """How long learning the prompts took, the longest of the data sets; None if nothing was learned."""
    kept = [runner.kept_json(path) for path in sorted(runner.out.glob("domains/learned-*/training.json"))]
    return max((x["seconds"] for x in kept), default=None)
