"""The machine under the measurement: its name, its peak of memory, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import sys
from typing import Any


def describe() -> dict[str, Any]:
    """The machine by name: backend, device, processor, its cores, and jax's version."""
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
    """The processor's name, as the kernel gives it where there is /proc."""
    try:
        name = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        name = None
    return name.group(1).strip() if name else platform.processor() or platform.machine()


def cores(most: int = 8) -> int:
    """The cores that this process may use, at most `most`; $NPROC says fewer, to XLA too."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("NPROC", "")
    return min(allowed, most, int(told) if told.isdecimal() and int(told) else most)


def peak_memory() -> int:
    """The most bytes held so far: of the device where it has memory of its own, otherwise by this process."""
    import jax

    statistics = jax.devices()[0].memory_stats() if jax.default_backend() != "cpu" else None
    return statistics["peak_bytes_in_use"] if statistics else process_peak()


def process_peak() -> int:
    """The most bytes of the machine's own memory that this process held so far."""
    try:
        # Not getrusage where it can be helped: its peak is inherited from the process that started this one.
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        import resource  # which Windows lacks

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
