"""The number of CPU cores that this process may use."""

from __future__ import annotations

import os


def cores(most: int = 8) -> int:
    """Return the number of cores that this process may use, at most `most`.

    The environment variable NPROC, which XLA reads too, lowers it further.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get("NPROC", "")
    return min(allowed, most, int(limit) if limit.isdecimal() and int(limit) else most)
