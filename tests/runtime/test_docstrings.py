"""The examples in docstrings are correct."""

import doctest
import importlib
from pathlib import Path

import pytest

import vlmad_jax

ROOT = Path(vlmad_jax.__file__).parent
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for package in ("data", "runtime", "metrics", "report")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_examples(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0
