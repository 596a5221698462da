"""Run one step: `python -m vlmad_jax.benchmark.accelerator STEP --out=DIR [--small]`, or list the steps."""

from __future__ import annotations

import argparse
import functools
import os
import platform
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("VLMAD_JAX_KEEP", "0")  # a measurement neither reads nor writes the user's cache
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax

from vlmad_jax.backbones.plan import current_plan
from vlmad_jax.benchmark.accelerator import parity, speed
from vlmad_jax.benchmark.accelerator.attention_speed import attend
from vlmad_jax.benchmark.accelerator.records import Records, recorded
from vlmad_jax.benchmark.accelerator.sizes import FULL, SMALL, Sizes
from vlmad_jax.benchmark.accelerator.trace import trace
from vlmad_jax.runtime import machine

GOLDEN = Path(__file__).resolve().parents[3] / "tests" / "golden"


def describe(records: Records, sizes: Sizes) -> None:
    """Record the machine and the rates of matrix products."""
    found = machine.describe()
    memory = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    torch = None
    with recorded(records, "torch"):
        import torch as module

        torch = module.__version__
    records.add(
        "machine",
        device=found["device"],
        memory_gb=memory / 1e9 if memory else None,
        cores=found["cores"],
        python=platform.python_version(),
        jax=found["jax"],
        torch=torch,
        plan=str(current_plan()),
    )
    for dtype in ("bfloat16", "float32"):
        speed.record_matmul(records, dtype, sizes.side)


def compare(records: Records, sizes: Sizes, method: str, dtype: str) -> None:
    """Record the differences from the reference numbers."""
    del sizes
    parity.parity(records, GOLDEN, method, dtype)


Step = Callable[[Records, Sizes], None]
BY_DTYPE: dict[str, Callable[..., None]] = {
    "{}_{}": speed.score,
    "torch_{}_{}": speed.torch_score,
    "against_torch_{}_{}": speed.compare_with_torch,
}


def steps() -> dict[str, Step]:
    """Return the steps by name."""
    named: dict[str, Step] = {"machine": describe, "attention": attend, "train": speed.train}
    for dtype in ("float32", "bfloat16"):
        for method in parity.COMPARISONS:
            named[f"parity_{method}_{dtype}"] = functools.partial(compare, method=method, dtype=dtype)
    for method in ("winclip", "anomalyclip"):
        for dtype in ("float32", "bfloat16"):
            for name, step in BY_DTYPE.items():
                named[name.format(method, dtype)] = functools.partial(step, method=method, dtype=dtype)
        compiled = functools.partial(speed.torch_score, method=method, dtype="bfloat16", compiled=True)
        named[f"torch_compile_{method}"] = compiled
        named[f"trace_{method}"] = functools.partial(trace, method=method)
        named[f"choices_{method}"] = functools.partial(speed.choices, method=method)
    return named


def main() -> None:
    """Run the step that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=sorted(steps()))
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--small", action="store_true", help="small models, to rehearse the run on a CPU")
    given = parser.parse_args()
    records = Records(given.out, given.step)
    with recorded(records, given.step):
        steps()[given.step](records, SMALL if given.small else FULL)


if __name__ == "__main__":
    main()
