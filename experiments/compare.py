"""Compare methods under one protocol in one table.

    python -m experiments.compare --methods=winclip,patchcore,padim --dataset=synthetic --shots=0,1,4

Every valid combination of method, shots and seed is evaluated in its own process, with the same images, the
same reference images and the same metrics. Without --methods, the command prints which methods it leaves out:
those without learned parameters, and those that train networks. The table holds means over categories, and
means and sample standard deviations over seeds. An option such as --feature_layers applies to each of the
methods that has it. The same command resumes an interrupted comparison. The table is also written to
OUT/comparison.md, and all numbers to OUT/comparison.json. docs/results.md has such tables and their running
times. Batched methods such as musc, which see the whole unlabelled test set of a category, have a table of
their own; --shots=batched adds the batched setting of other methods that have one.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.compared import all_methods, params_by_method
from vlmad_jax.commands.paths import define_path_list
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.comparison import Grid, compare
from vlmad_jax.evaluation.config import EvaluationConfig, Shots
from vlmad_jax.methods import METHODS, MethodOptions
from vlmad_jax.report.table import comparison_tables
from vlmad_jax.runtime.files import write_atomically

common.define_shared_flags()
common.define_resize_flag()
common.define_method_options(common.COMMON_OPTIONS)
METHOD_NAMES = flags.DEFINE_list(
    "methods",
    None,
    "Methods to compare. If not given: those with the parameters they need that train no networks.",
)
SHOTS = flags.DEFINE_list(
    "shots", ["0", "1", "2", "4"], "Numbers of references of each category, all, or batched."
)
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of the draws of reference images.")
PARAMS = define_path_list(
    "params",
    [],
    "Learned parameters: a path, or METHOD=PATH,METHOD=PATH if several methods learn. hybrid takes those of "
    "anomalyclip, unless it has its own.",
)


def shots_from(values: list[str]) -> tuple[Shots, ...]:
    """Return the value of `--shots`."""
    return tuple("batched" if value == "batched" else common.shots_from(value) for value in values)


def main() -> None:
    """Compare as the flags say."""
    values = flags.FLAGS
    named = METHOD_NAMES.value
    params = params_by_method(PARAMS.value, tuple(METHODS) if named is None else named)
    methods = all_methods(values.weights, params) if named is None else tuple(named)
    shared = EvaluationConfig(
        method="",
        **common.shared_settings(),
        options=common.method_options(common.COMMON_OPTIONS),
        resize=values.resize,
    )
    grid = Grid(
        methods=methods,
        shots=shots_from(SHOTS.value),
        seeds=common.numbers_from("seeds", SEEDS.value),
        own_options={name: MethodOptions(params=path) for name, path in params.items()},
        shared=shared,
    )
    out = Path(values.out) if values.out else common.folder("compare", shared, shared.dataset)
    results = compare(grid, out, values.resume, values.workers)
    table = comparison_tables(results["rows"])
    write_atomically(out / "comparison.md", table + "\n")
    print(f"{table}\n\nthe table is in {out / 'comparison.md'}")
    common.mention_bundled(shared.weights)
    if results["failed"]:
        failed, cells = len(results["failed"]), len(grid.cells)
        raise InputError(f"{failed} of {cells} evaluations failed; see the reasons above")


if __name__ == "__main__":
    common.main(main)
