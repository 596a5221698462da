"""The machine: its processor and the peak of memory."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import sys
from typing import Any

CPU_INFO = pathlib.Path("/proc/cpuinfo")
# The instruction sets that decide how fast products of float32, bfloat16 and int8 are, by their names in
# /proc/cpuinfo on x86 and on ARM.
INSTRUCTION_SETS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "bf16",
    "i8mm",
)


def describe() -> dict[str, Any]:
    """Return the backend, the device, the processor and what it has, and the version of JAX."""
    import jax

    cpu, backend = cpu_model(), jax.default_backend()
    return {
        "backend": backend,
        "device": cpu if backend == "cpu" else jax.devices()[0].device_kind,
        "cpu": cpu,
        "instruction_sets": instruction_sets(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "jax": jax.__version__,
    }


def cpu_model() -> str:
    """Return the name of the processor, from /proc/cpuinfo where that has one.

    On x86 its family and model follow, since virtual machines have the same name for several generations.
    """
    name = cpu_entry("model name") or platform.processor() or platform.machine()
    family, model = cpu_entry("cpu family"), cpu_entry("model")
    return f"{name} (family {family}, model {model})" if family and model else name


def instruction_sets() -> list[str]:
    """Return the names in `INSTRUCTION_SETS` that the processor has; [] where there is no /proc/cpuinfo."""
    found = (cpu_entry("flags") or cpu_entry("Features")).split()
    return [name for name in INSTRUCTION_SETS if name in found]


def cpu_entry(name: str) -> str:
    """Return the first entry of a name in /proc/cpuinfo; "" if there is none."""
    try:
        text = CPU_INFO.read_text()
    except OSError:
        return ""
    found = re.search(rf"^{name}\s*: (.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else ""


def peak_memory() -> int:
    """Return the peak of memory in bytes: of the device if it has its own, otherwise of this process."""
    import jax

    statistics = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    return statistics["peak_bytes_in_use"] if statistics else process_peak()


def free_device_memory() -> int:
    """Return the bytes that this process may still allocate on JAX's default device.

    Returns:
      0 on a CPU, and where the backend does not say. Memory of other processes is not counted.
    """
    import jax

    if jax.default_backend() == "cpu":
        return 0
    statistics = jax.local_devices()[0].memory_stats() or {}
    limit, used = (statistics.get(name, -1) for name in ("bytes_limit", "bytes_in_use"))
    return max(0, limit - used) if limit >= 0 and used >= 0 else 0


def process_peak() -> int:
    """Return the peak of this process's host memory in bytes."""
    try:
        # Preferred to getrusage, whose peak is inherited from the process that started this one.
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        import resource  # not available on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
