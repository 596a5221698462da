"""Compiled programs are cached between runs, and slow modules are imported only when needed."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.experiments.command import there
from vlmad_jax.runtime import compilation_cache as programs
from vlmad_jax.runtime.compilation_cache import keep_programs, limit_programs

NAMES = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_compilation_cache_max_size",
)
# What takes long to import and a first score does not need.
SLOW = ["grain", "matplotlib", "optax", "orbax", "scipy", "tensorflow_datasets", "transformers"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of programs without a setting of the user; JAX's settings are restored afterwards."""
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path))
    monkeypatch.setenv("VLMAD_JAX_KEEP", "1")
    monkeypatch.setattr(programs, "SHORTEST_COMPILATION", 0.0)
    before = {name: getattr(jax.config, name) for name in NAMES}
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    yield tmp_path / "programs"
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def run(constant: float) -> np.ndarray:
    """Compile a program that holds the constants as in a new process, and run it."""
    jax.clear_caches()
    weights = np.full(1000, constant, np.float32)
    return np.asarray(jax.jit(lambda x: x * weights)(jnp.ones(1000)))


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("jit__lambda*-cache"))


def test_a_program_is_found_again_and_one_with_other_weights_is_another(folder):
    keep_programs()
    assert run(2.0)[0] == 2
    (entry,) = entries(folder)
    written = entry.stat().st_mtime_ns
    hits: list[str] = []
    jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
    try:
        assert run(2.0)[0] == 2
    finally:
        jax.monitoring.clear_event_listeners()
    assert "/jax/compilation_cache/cache_hits" in hits
    assert (entries(folder), entry.stat().st_mtime_ns) == ([entry], written)
    assert run(3.0)[0] == 3
    assert len(entries(folder)) == 2


def test_nothing_is_kept_when_it_is_not_wanted(folder, monkeypatch, tmp_path):
    keep_programs()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    limit_programs(programs.LARGEST_WEIGHTS)
    assert jax.config.jax_compilation_cache_dir == str(folder)
    limit_programs(programs.LARGEST_WEIGHTS + 1)
    assert jax.config.jax_compilation_cache_dir is None
    assert run(4.0)[0] == 4
    assert not entries(folder)
    monkeypatch.setenv("VLMAD_JAX_KEEP", "0")
    keep_programs()
    assert jax.config.jax_compilation_cache_dir is None


def test_a_users_folder_stays(folder, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    for change in (keep_programs, lambda: limit_programs(programs.LARGEST_WEIGHTS + 1)):
        change()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")
    assert not folder.exists()


def test_a_folder_that_cannot_be_made_is_done_without(folder):
    folder.touch()
    keep_programs()
    assert jax.config.jax_compilation_cache_dir is None


def test_entries_that_were_never_finished_are_removed(folder):
    folder.mkdir()
    old = time.time() - 2 * programs.ABANDONED
    for name in ("killed-cache", "whole-cache", "whole-atime", "writing-cache"):
        (folder / name).write_bytes(time.time_ns().to_bytes(8, "little"))
    for name in ("killed-cache", "whole-cache"):
        os.utime(folder / name, (old, old))
    keep_programs()
    assert {path.name for path in folder.iterdir()} == {"whole-cache", "whole-atime", "writing-cache"}


def test_what_is_slow_to_import_waits_until_it_is_needed():
    code = (
        f"import experiments.zero_shot, json, sys; print(json.dumps([m for m in {SLOW} if m in sys.modules]))"
    )
    assert json.loads(there("-c", code).stdout) == []


def test_loading_weights_changes_no_setting(tmp_path: Path):
    code = (
        "import jax, json, vlmad_jax; before = dict(jax.config.values); "
        "clip = vlmad_jax.load_clip('tiny'); vlmad_jax.WinCLIP(clip).prepare('nut'); "
        "print(json.dumps([k for k, x in jax.config.values.items() if before.get(k) != x]))"
    )
    assert json.loads(there("-c", code).stdout) == []
