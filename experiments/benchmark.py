"""Measure images a second, compile time, peak memory and the share of the machine's matmul rate.

    python -m experiments.benchmark --method=winclip --arch=vit-b-16-plus-240

The command needs the package alone and 9 GB of memory, or 20 GB with --choices, which should be given with
one of --dtypes at a time; the weights are random. On two cores of an AMD EPYC (Zen 5) it took two minutes and
gave 0.57 images a second in float32 and 1.02 in bfloat16, which are 91% and 86% of the rate at which XLA
multiplies matrices there. It prints a table and writes OUT/benchmark.json.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags

from vlmad_jax import benchmark
from vlmad_jax.backbones.config import ARCHITECTURES
from vlmad_jax.benchmark import WORKS, Setting
from vlmad_jax.commands import common
from vlmad_jax.commands.paths import define_path
from vlmad_jax.methods import WinCLIP
from vlmad_jax.runtime.files import write_json

METHOD = flags.DEFINE_string("method", "winclip", "The method to measure.")
ARCH = flags.DEFINE_string("arch", "vit-b-16-plus-240", f"The backbone: {', '.join(ARCHITECTURES)}.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Images scored together, or in a training step.")
WORK = flags.DEFINE_string("work", "score", f"Work to measure: {', '.join(WORKS)}.")
DTYPES = flags.DEFINE_list(
    "dtypes", ["float32", "bfloat16"], "Types of matrix products, each of which is measured."
)
common.define_method_options(WinCLIP.options)
SHOTS = flags.DEFINE_integer("shots", 0, "Random reference images; 0 is zero-shot.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Rounds, each of which measures every dtype.")
SECONDS = flags.DEFINE_float(
    "seconds", 120.0, "Time limit after which no new round starts, apart from the first."
)
AGAINST = flags.DEFINE_string(
    "against", None, "Other implementation to compare with: anomalib (winclip) or authors (anomalyclip)."
)
CHOICES = flags.DEFINE_bool(
    "choices",
    False,
    f"Also measure what the package would otherwise choose for this device: {', '.join(benchmark.CHOICES)}. "
    "tokens are those that an encoder computes together; rounded results of products are bfloat16.",
)
OUT = define_path("out", "results/benchmark", "Directory of benchmark.json.")


def run(
    setting: Setting,
    dtypes: Sequence[str],
    repeats: int,
    seconds: float,
    out: pathlib.Path,
    against: str | None = None,
    choices: bool = False,
) -> benchmark.Results:
    """Measure, print the table, write OUT/benchmark.json and return its contents."""
    results = benchmark.run(setting, dtypes, repeats, seconds, against, choices)
    print(benchmark.table(results))
    write_json(out / "benchmark.json", results)
    return results


def main() -> None:
    """Measure as the flags say."""
    setting = Setting(
        METHOD.value,
        ARCH.value,
        benchmark.architecture(ARCH.value),
        BATCH_SIZE.value,
        shots=SHOTS.value,
        work=WORK.value,
        options=common.method_options(WinCLIP.options),
    )
    out = pathlib.Path(OUT.value)
    run(setting, DTYPES.value, REPEATS.value, SECONDS.value, out, AGAINST.value, CHOICES.value)


if __name__ == "__main__":
    common.main(main)
