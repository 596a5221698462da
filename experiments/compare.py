"""Runs methods side by side under one protocol and prints one table.

    python -m experiments.compare --methods=winclip,patchcore,padim --dataset=synthetic --shots=0,1,4

Every combination of method, shots and seed that makes sense is an evaluation in a process of its own: same
images, same good samples, same metrics. Metrics are means over categories, and over seeds with their sample
standard deviation. Stopped, it goes on with what is missing when started again. The table is also written to
OUT/comparison.md, all figures to OUT/comparison.json. docs/results.md has the tables of all methods, and how
long they took.
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path_list
from vlmad_jax.errors import InputError
from vlmad_jax.evaluation.comparison import Grid, Shots, compare
from vlmad_jax.evaluation.evaluate import EvaluationConfig
from vlmad_jax.methods import METHODS, WinCLIP
from vlmad_jax.report.table import comparison_table
from vlmad_jax.runtime.files import write_atomically

common.define_shared_flags()
common.define_method_options(WinCLIP.options)
METHOD_NAMES = flags.DEFINE_list("methods", list(METHODS), "What to compare; all if not given.")
SHOTS = flags.DEFINE_list("shots", ["0", "1", "2", "4"], "Good samples of each category, or all.")
SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Of the draws of good samples.")
PARAMS = define_path_list("params", [], "What was learned, by method: anomalyclip=DIR,coop=DIR.")


def shots_from(values: list[str]) -> tuple[Shots, ...]:
    """The value of `--shots`."""
    return tuple(common.shots_from(value) for value in values)


def params_from(values: list[str]) -> dict[str, str]:
    """The value of `--params` by method."""
    pairs = [value.partition("=") for value in values]
    if not all(name and path for name, _, path in pairs):
        raise InputError(f"--params={','.join(values)}: give METHOD=DIRECTORY, with commas between several")
    return {name: path for name, _, path in pairs}


def main() -> None:
    """Flags in, a table out."""
    values = flags.FLAGS
    shared = EvaluationConfig(
        method="", **common.shared_settings(), options=common.method_options(WinCLIP.options)
    )
    grid = Grid(
        methods=tuple(METHOD_NAMES.value),
        shots=shots_from(SHOTS.value),
        seeds=common.numbers_from("seeds", SEEDS.value),
        params=params_from(PARAMS.value),
        shared=shared,
    )
    out = Path(values.out) if values.out else common.folder("compare", shared, shared.dataset)
    results = compare(grid, out, values.resume, values.workers)
    table = comparison_table(results["rows"])
    write_atomically(out / "comparison.md", table + "\n")
    print(f"{table}\n\nthe table is in {out / 'comparison.md'}")
    common.mention_bundled(shared.weights)
    if results["failed"]:
        failed, cells = len(results["failed"]), len(grid.cells)
        raise InputError(f"{failed} of {cells} evaluations failed; the reasons stand above")


if __name__ == "__main__":
    common.main(main)
