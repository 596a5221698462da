"""Transfer between data sets: AnomalyCLIP's prompts are trained on one and tested on the others."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

from vlmad_jax.data import load_dataset
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.evaluation.keys import tokenizer_digest
from vlmad_jax.evaluation.results import Results
from vlmad_jax.methods import MethodOptions
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.studies.config import Domain
from vlmad_jax.studies.run import Details, Run
from vlmad_jax.studies.runner import Runner, stored_json
from vlmad_jax.studies.table_columns import INTERVALS, Row, mean_values, metric_columns
from vlmad_jax.training.train import Resources, TrainConfig, train_method

UNTRAINED = "none (WinCLIP)"


def domains(runner: Runner) -> list[Table]:
    """Return the matrix of results: a row for each training set, and columns for each test set."""
    tested = runner.config.domains
    if len(tested) < 2:
        note = "Give two or more data sets, for example --domains=mvtec_ad=DIRECTORY,visa=DIRECTORY."
        return [Table("domains", "Across domains", (Column("learned", "trained on"),), (), note)]
    rows: list[Row] = []
    blank = [column.key for column in metric_columns()]
    for source in (None, *tested):
        row: Row = {"learned": UNTRAINED if source is None else source.name}
        for target in tested:
            values = dict.fromkeys(blank)
            if source != target:
                values = mean_values(evaluate_transfer(runner, source, target))
            row |= {f"{target.name}_{key}": value for key, value in values.items()}
        rows.append(row)
    columns = [Column("learned", "trained on")]
    for target in tested:
        for column in metric_columns():
            key, group = f"{target.name}_{column.key}", f"tested on {target.name}, {column.group}"
            columns.append(dataclasses.replace(column, key=key, group=group))
    note = (
        f"AnomalyCLIP's prompts are trained for {runner.config.epochs} epochs on the test images of one data "
        "set and tested on those of another. No choice depends on the tested data set, and no data set is "
        f"tested with prompts that were trained on it. The first row is not trained. {INTERVALS}"
    )
    return [Table("domains", "Across domains", tuple(columns), tuple(rows), note)]


def evaluate_transfer(runner: Runner, source: Domain | None, target: Domain) -> Run:
    """Evaluate a data set with prompts trained on another, or with WinCLIP if `source` is None."""
    config = runner.config
    evaluation = EvaluationConfig(
        method="winclip" if source is None else "anomalyclip",
        weights=config.weights,
        dataset=target.name,
        data_dir=target.data_dir,
        batch_size=config.batch_size,
        dtype=config.dtype,
        options=MethodOptions(params=None if source is None else str(train_on(runner, source))),
    )
    out = runner.out / "domains" / f"{source.name if source else 'none'}-to-{target.name}"
    details = Details(out / "details")
    contents = evaluate(evaluation, out, runner.resume, workers=runner.workers, observe=details.add)
    return Run(Results(out), details, tuple(contents["categories"]))


def train_on(runner: Runner, source: Domain) -> Path:
    """Return the folder of the prompts trained on a data set.

    They are trained again if the images, the weights, the settings or the software changed.
    """
    return runner.cached(("trained", source), lambda: _train_on(runner, source))


def _train_on(runner: Runner, source: Domain) -> Path:
    config, out = runner.config, runner.out / "domains" / f"trained-{source.name}"
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
    trained_on = load_dataset(source.name, source.data_dir).fingerprint
    backbone = (runner.clip.fingerprint, tokenizer_digest(runner.clip))
    key = cache_key(json.dumps(dataclasses.asdict(training)), trained_on, *backbone)
    is_same = stored_json(out / "key.json") == key
    if is_same and runner.resume and (out / "training.json").exists():
        return out / "params"
    if out.exists() and not (is_same and runner.resume):
        if not is_same:
            print_stderr(f"{out}: the images, settings or versions changed; training again")
        shutil.rmtree(out)
    write_json(out / "key.json", key)
    began = time.perf_counter()
    params = train_method(training, out, Resources(workers=runner.workers))
    if not params.exists():
        raise InputError(
            f"training on {source.name} was stopped and saved; run the same command to resume it"
        )
    write_json(out / "training.json", {"seconds": time.perf_counter() - began})
    return params


def training_seconds(runner: Runner) -> float | None:
    """Return the longest training time of the data sets; None if nothing was trained."""
    stored = [stored_json(path) for path in sorted(runner.out.glob("domains/trained-*/training.json"))]
    return max((x["seconds"] for x in stored), default=None)
