"""Measuring speed and memory: random weights, random images, and the machine's own matmul rate beside them.

What can be measured stands in `jobs.py`; each contender (`contender.py`) has a process of its own
(`vlmad_jax.runtime.child_process`), and `turns.py` lets them take turns.
"""

from vlmad_jax.benchmark.setting import WORKS, Setting, architecture
from vlmad_jax.benchmark.table import table
from vlmad_jax.benchmark.turns import Results, run
from vlmad_jax.benchmark.work import (
    anomalyclip_flop,
    aprilgan_flop,
    matmul_flop,
    prompt_training_flop,
    winclip_flop,
)

__all__ = [
    "WORKS",
    "Results",
    "Setting",
    "anomalyclip_flop",
    "aprilgan_flop",
    "architecture",
    "matmul_flop",
    "prompt_training_flop",
    "run",
    "table",
    "winclip_flop",
]
