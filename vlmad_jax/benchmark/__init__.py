"""Benchmarks of speed and memory with random weights and images, next to the machine's matmul rate.

`jobs.py` defines the measured work. Each implementation (`jax_implementation.py`, `torch_implementation.py`)
runs in its own process (`vlmad_jax.runtime.child_process`), and `measure.py` measures them in turn.
"""

from vlmad_jax.benchmark.measure import CHOICES, Results, run
from vlmad_jax.benchmark.setting import WORKS, Setting, architecture
from vlmad_jax.benchmark.table import table
from vlmad_jax.benchmark.work import (
    anomalyclip_flop,
    aprilgan_flop,
    matmul_flop,
    prompt_training_flop,
    winclip_flop,
)

__all__ = [
    "CHOICES",
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
