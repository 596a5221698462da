"""The machine: its name and the peak of memory."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import sys
from typing import Any


def describe() -> dict[str, Any]:
    """Return the backend, the device, the processor, its number of cores, and JAX's version."""
    import jax

    cpu, backend = cpu_model(), jax.default_backend()
    return {
        "backend": backend,
        "device": cpu if backend == "cpu" else jax.devices()[0].device_kind,
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "jax": jax.__version__,
    }


def cpu_model() -> str:
    """Return the name of the processor, from /proc/cpuinfo where that exists."""
    try:
        name = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        name = None
    return name.group(1).strip() if name else platform.processor() or platform.machine()


def peak_memory() -> int:
    """Return the peak of memory in bytes: of the device if it has its own, otherwise of this process."""
    import jax

    statistics = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    return statistics["peak_bytes_in_use"] if statistics else process_peak()


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
