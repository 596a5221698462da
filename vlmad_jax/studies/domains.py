"""Transfer between data sets: methods that learn are trained on one and tested on the others."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from pathlib import Path

from vlmad_jax.data import DataSet, load_dataset
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.config import EvaluationConfig
from vlmad_jax.evaluation.evaluate import evaluate
from vlmad_jax.evaluation.keys import tokenizer_digest
from vlmad_jax.evaluation.results import Results
from vlmad_jax.report.parts import Column, Table
from vlmad_jax.runtime.cache import cache_key
from vlmad_jax.runtime.files import write_json
from vlmad_jax.runtime.notices import print_stderr
from vlmad_jax.studies.compared import compared, titles_of, trained
from vlmad_jax.studies.config import Domain
from vlmad_jax.studies.method_runs import MethodRuns
from vlmad_jax.studies.run import Details, Run
from vlmad_jax.studies.runner import Runner, has_references, stored_json
from vlmad_jax.studies.table_columns import INTERVALS, Row, mean_values, metric_columns
from vlmad_jax.training.train import Resources, TrainConfig, train_method


def domains(runner: Runner) -> list[Table]:
    """Return the matrix of results: a row for each training set, and columns for each test set."""
    tested = runner.config.domains
    if len(tested) < 2:
        note = "Give two or more data sets, for example --domains=mvtec_ad=DIRECTORY,visa=DIRECTORY."
        return [Table("domains", "Across domains", (Column("learned", "trained on"),), (), note)]
    rows: list[Row] = []
    blank = [column.key for column in metric_columns()]
    learners = trained(runner)
    for method, source in sources(runner):
        row: Row = {"learned": f"none ({method.label})" if source is None else source.name}
        if source is not None and len(learners) > 1:
            row["learned"] = f"{source.name} ({method.title})"
        for target in tested:
            values = dict.fromkeys(blank)
            if source != target and can_test(method, target):
                values = mean_values(evaluate_transfer(method, source, target))
            row |= {f"{target.name}_{key}": value for key, value in values.items()}
        rows.append(row)
    columns = [Column("learned", "trained on")]
    for target in tested:
        for column in metric_columns():
            key, group = f"{target.name}_{column.key}", f"tested on {target.name}, {column.group}"
            columns.append(dataclasses.replace(column, key=key, group=group))
    note = (
        f"Training of {titles_of(learners)} takes {runner.config.epochs} epochs on the test images of one "
        "data set, and tests use those of another. No choice depends on the tested data set, and no data set "
        'is tested with parameters that were trained on it. A method after "none" is not trained; if it '
        f"needs reference images, it is not tested on data sets with too few. {INTERVALS}"
    )
    return [Table("domains", "Across domains", tuple(columns), tuple(rows), note)]


def load(domain: Domain) -> DataSet:
    """Return the data set of a domain."""
    return load_dataset(domain.name, domain.data_dir)


def can_test(method: MethodRuns, target: Domain) -> bool:
    """Return whether a data set has the reference images that a method needs."""
    return not method.shots or has_references(load(target), method.shots)


def sources(runner: Runner) -> list[tuple[MethodRuns, Domain | None]]:
    """Return the rows of the matrix: methods that learn nothing, and then the others by training set."""
    untrained = [(method, None) for method in compared(runner) if "params" not in method.detector.options]
    return [*untrained, *((method, x) for method in trained(runner) for x in runner.config.domains)]


def evaluate_transfer(method: MethodRuns, source: Domain | None, target: Domain) -> Run:
    """Evaluate a method on a data set, with parameters trained on another if `source` is given."""
    runner, config = method.runner, method.runner.config
    if source is None and target == Domain(config.dataset, config.data_dir) and not config.categories:
        return method.compared()  # the run of the other tables
    params = None if source is None else str(train_on(method, source))
    evaluation = EvaluationConfig(
        method=method.name,
        weights=config.weights,
        dataset=target.name,
        data_dir=target.data_dir,
        batch_size=config.batch_size,
        dtype=config.dtype,
        seed=config.seeds[0] if method.shots else 0,
        options=dataclasses.replace(config.options_of(method.name), params=params),
        shots=method.shots,
    )
    out = runner.out / "domains" / f"{method.name}-{source.name if source else 'none'}-to-{target.name}"
    details = Details(out / "details")
    contents = evaluate(evaluation, out, runner.resume, workers=runner.workers, observe=details.add)
    return Run(Results(out), details, tuple(contents["categories"]))


def train_on(method: MethodRuns, source: Domain) -> Path:
    """Return the folder of the parameters trained on a data set.

    They are trained again if the images, the weights, the settings or the software changed.
    """
    return method.runner.cached(("trained", method.name, source), lambda: _train_on(method, source))


def _train_on(method: MethodRuns, source: Domain) -> Path:
    runner, config = method.runner, method.runner.config
    out = trained_folder(runner, method.name) / source.name
    setting = {k: x for k, x in method.detector.setting.items() if k not in ("clip", "prompts")}
    training = TrainConfig(
        method=method.name,
        weights=config.weights,
        dataset=source.name,
        data_dir=source.data_dir,
        setting=tuple(sorted((k, tuple(x) if isinstance(x, list) else x) for k, x in setting.items())),
        epochs=config.epochs,
        dtype=config.dtype,
        cache_features=True,
    )
    trained_on = load(source).fingerprint
    backbone = (runner.backbone.fingerprint, tokenizer_digest(runner.backbone))
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


def trained_folder(runner: Runner, name: str) -> Path:
    """Return the folder of what a method learned, with a folder for each training set."""
    return runner.out / "domains" / f"trained-{name}"


def training_seconds(runner: Runner, name: str) -> float | None:
    """Return a method's longest training time over the data sets; None if it was not trained."""
    paths = sorted(trained_folder(runner, name).glob("*/training.json"))
    return max((stored_json(path)["seconds"] for path in paths), default=None)
