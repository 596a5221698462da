"""Measuring speed and memory: random weights, random pictures, and the machine's own matmul rate beside them.

What is measured stands in `contender.py`; each contender has a process of its own (`process.py`), and
`turns.py` lets them take turns.
"""

from vlmad_jax.benchmark.setting import Setting, architecture
from vlmad_jax.benchmark.table import table
from vlmad_jax.benchmark.turns import Results, run
from vlmad_jax.benchmark.work import anomalyclip_flop, matmul_flop, winclip_flop

__all__ = [
    "Results",
    "Setting",
    "anomalyclip_flop",
    "architecture",
    "matmul_flop",
    "run",
    "table",
    "winclip_flop",
]
