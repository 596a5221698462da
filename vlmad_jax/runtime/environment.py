"""The environment of a run: versions, commit and machine, stored in a separate file.

The other files of a run hold none of this, so equal results give equal bytes on any machine.
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
    """Write `environment.json` to the folder of a run."""
    write_json(out / FILE, environment())


def environment() -> dict[str, Any]:
    """Return the versions, the commit (None outside a clone), the devices and the machine."""
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
    """Return the commit of a git clone, read from its files, or None if there is none."""
    try:
        folder = clone / ".git"
        if folder.is_file():  # in a worktree, .git is a file that holds the folder's path
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
