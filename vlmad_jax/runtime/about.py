"""Which version this is, and what to cite; nothing here is slow to import."""

from __future__ import annotations

import functools
import importlib.metadata
import tomllib
from pathlib import Path

from vlmad_jax.runtime.citations import PAPERS, SOFTWARE

DISTRIBUTION = "vlmad-jax"


@functools.cache
def version() -> str:
    """The version, as pyproject.toml has it: read there in a clone, else from what the installation noted."""
    try:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
        if project["project"]["name"] == DISTRIBUTION:
            return project["project"]["version"]
    except (OSError, ValueError, KeyError):
        pass
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def citation(*methods: str) -> str:
    """BibTeX of the software, and of the papers of the methods; KeyError of a name without a paper."""
    names = dict.fromkeys(key for method in methods for key in PAPERS[method])
    return "\n\n".join([SOFTWARE.replace("VERSION", version()), *names])
