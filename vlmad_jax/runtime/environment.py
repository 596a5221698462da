"""What computed the results of a run: versions, commit and machine, in a file beside them.

It is a file of its own, so that the others are the same, byte for byte, wherever they are computed the same.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

from vlmad_jax.runtime.about import version
from vlmad_jax.runtime.files import write_json

FILE = "environment.json"
PACKAGES = ("jax", "jaxlib", "numpy", "pillow")
CLONE = Path(__file__).resolve().parents[2]


def write_environment(out: Path) -> None:
    """Writes `environment.json` to the folder of a run."""
    write_json(out / FILE, environment())


def environment() -> dict[str, Any]:
    """The versions, the commit of a clone (None elsewhere), the devices, and the machine."""
    import jax

    devices = jax.local_devices()
    return {
        "versions": {
            "vlmad_jax": version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
            "python": platform.python_version(),
        },
        "commit": commit(CLONE),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "devices": len(devices),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def commit(clone: Path) -> str | None:
    """The commit that a clone of this package stands at, read from its files; None where there is none."""
    try:
        folder = clone / ".git"
        if folder.is_file():  # of a worktree: it says where the folder is
            folder = clone / folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        common = folder / "commondir"
        shared = folder / common.read_text(encoding="utf-8").strip() if common.is_file() else folder
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head
        name = head.removeprefix("ref:").strip()
        for place in (folder / name, shared / name):
            if place.is_file():
                return place.read_text(encoding="utf-8").strip()
        packed = (shared / "packed-refs").read_text(encoding="utf-8")
        found = re.search(rf"^(\w+) {re.escape(name)}$", packed, re.MULTILINE)
        return found[1] if found else None
    except (OSError, ValueError):
        return None
