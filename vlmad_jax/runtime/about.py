"""The version of this package and what to cite, as BibTeX. This module is quick to import."""

from __future__ import annotations

import functools
import importlib.metadata
import tomllib
from pathlib import Path

DISTRIBUTION = "vlmad-jax"
BIBTEX = Path(__file__).with_name("papers.bib")
# The papers of each method by their keys in papers.bib. The method hybrid combines two.
PAPERS: dict[str, tuple[str, ...]] = {
    "winclip": ("jeong2023winclip",),
    "anomalyclip": ("zhou2024anomalyclip",),
    "aprilgan": ("chen2023aprilgan",),
    "coop": ("zhou2022coop",),
    "mrad": ("xu2026mrad",),
    "hybrid": (
        "jeong2023winclip",
        "zhou2024anomalyclip",
    ),
    "anomalydino": ("damm2025anomalydino",),
    "subspacead": ("lendering2026subspacead",),
    "patchcore": ("roth2022patchcore",),
    "padim": ("defard2021padim",),
    "spade": ("cohen2020spade",),
    "cutpaste": ("li2021cutpaste",),
    "autoencoder": ("kingma2014vae",),
    "musc": ("li2024musc",),
    "ganomaly": ("akcay2018ganomaly",),
    "draem": ("zavrtanik2021draem",),
}


@functools.cache
def version() -> str:
    """Return the version: from pyproject.toml in a clone, otherwise from the installed metadata."""
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
    """Return the BibTeX entries of the software and of the papers of the methods.

    Raises:
      KeyError: A method has no paper.
    """
    software, *papers = BIBTEX.read_text(encoding="utf-8").strip().split("\n\n")
    by_key = {paper[paper.index("{") + 1 : paper.index(",")]: paper for paper in papers}
    keys = dict.fromkeys(key for method in methods for key in PAPERS[method])
    return "\n\n".join([software.replace("VERSION", version()), *(by_key[key] for key in keys)])
