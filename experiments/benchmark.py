"""Images per second, compile time, peak memory and share of the machine's matmul rate, with random weights.

    python -m experiments.benchmark --method=winclip --arch=vit-b-16-plus-240

Needs nothing but the package, and 9 GB of memory for this. On two cores of an AMD EPYC (Zen 5) it took two
minutes and gave 0.57 images a second in float32 and 1.02 in bfloat16: 91% and 86% of the rate at which XLA
multiplied matrices meanwhile. Prints a table, writes OUT/benchmark.json.
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
BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Images scored together, or of a training step.")
WORK = flags.DEFINE_string("work", "score", f"What is measured: {', '.join(WORKS)}.")
DTYPES = flags.DEFINE_list("dtypes", ["float32", "bfloat16"], "What matrix products read, one after another.")
common.define_method_options(WinCLIP.options)
SHOTS = flags.DEFINE_integer("shots", 0, "Random reference images; 0 is zero-shot.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Rounds, in each of which every dtype has its turn.")
SECONDS = flags.DEFINE_float("seconds", 120.0, "No further round begins after this long; one always does.")
AGAINST = flags.DEFINE_string(
    "against", None, "A peer to take turns with: anomalib (winclip) or authors (anomalyclip)."
)
OUT = define_path("out", "results/benchmark", "Directory of benchmark.json.")


def run(
    setting: Setting,
    dtypes: Sequence[str],
    repeats: int,
    seconds: float,
    out: pathlib.Path,
    against: str | None = None,
) -> benchmark.Results:
    """Measures, prints the table, writes OUT/benchmark.json and returns what it holds."""
    results = benchmark.run(setting, dtypes, repeats, seconds, against)
    print(benchmark.table(results))
    write_json(out / "benchmark.json", results)
    return results


def main() -> None:
    """Flags in, a measurement out."""
    setting = Setting(
        METHOD.value,
        ARCH.value,
        benchmark.architecture(ARCH.value),
        BATCH_SIZE.value,
        shots=SHOTS.value,
        work=WORK.value,
        options=common.method_options(WinCLIP.options),
    )
    run(setting, DTYPES.value, REPEATS.value, SECONDS.value, pathlib.Path(OUT.value), AGAINST.value)


if __name__ == "__main__":
    common.main(main)
