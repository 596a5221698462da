"""Fixtures of the tests that run whole evaluations."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.bright_evaluation import Brightness, put_in_place
from tests.data.conftest import make_category
from tests.experiments.command import WEIGHTS
from vlmad_jax.backbones.checkpoints.tensors import read_tensors, write_safetensors
from vlmad_jax.runtime.compilation_cache import is_ready

# Kernels by XLA's older emitter, in one piece, compile sooner. Another value in the
# environment, an empty one too, is kept; processes that are started inherit it.
QUICK_KERNELS = (
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters --xla_cpu_parallel_codegen_split_count=1"
)


def pytest_configure(config: pytest.Config) -> None:
    """Choose XLA's kernels before anything is compiled; `long` and `parity` take those that people get."""
    if config.option.markexpr == "not parity and not long":
        os.environ.setdefault("XLA_FLAGS", QUICK_KERNELS)


def configure(**values: Any) -> None:
    """JAX with this configuration, here and in processes that are started."""
    for name, value in values.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)
    compilation_cache.reset_cache()


def programs_folder(config: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled programs are kept: in pytest's cache for later runs, or without one for this run."""
    if hasattr(config, "cache") and config.cache is not None:
        return config.cache.mkdir("programs")
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "programs"


@pytest.fixture(scope="session", autouse=True)
def compiled_quickly(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs are compiled quickly rather than well, and kept for all processes of the tests."""
    folder = programs_folder(request.config, tmp_path_factory)
    assert is_ready(folder)  # entries of processes that were killed are removed
    configure(
        jax_compilation_cache_dir=str(folder),
        jax_compilation_cache_max_size=2**31,
        jax_persistent_cache_min_compile_time_secs=0.1,
        jax_persistent_cache_min_entry_size_bytes=-1,
        jax_disable_most_optimizations=True,
    )


@pytest.fixture(scope="module")
def compiled_well(compiled_quickly: None) -> Iterator[None]:
    """Compile programs well, for tests that train long."""
    jax.clear_caches()
    configure(jax_disable_most_optimizations=False)
    yield
    jax.clear_caches()
    configure(jax_disable_most_optimizations=True)


@pytest.fixture(scope="module")
def as_people_run_it(request: pytest.FixtureRequest) -> None:
    """Compile programs well, for comparisons with published numbers, unless all kernels are quick."""
    if os.environ.get("XLA_FLAGS") != QUICK_KERNELS:
        request.getfixturevalue("compiled_well")


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """A list that grows with every program that XLA compiles."""
    compiled: list[str] = []

    def listen(event: str, _seconds: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield compiled
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture(scope="session", autouse=True)
def away_from_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes what the user's own runs keep; what is kept is for those that ask for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLMAD_JAX_CACHE", str(tmp_path_factory.mktemp("kept")))
        patch.setenv("VLMAD_JAX_KEEP", "0")
        yield


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference checkpoint cut to one layer, which compiles in a second: 64 pixels, a grid of 8 x 8."""
    folder = tmp_path_factory.mktemp("weights")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((WEIGHTS / name).read_bytes())
    config = json.loads((WEIGHTS / "config.json").read_text())
    for tower in ("text_config", "vision_config"):
        config[tower]["num_hidden_layers"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    tensors = read_tensors(WEIGHTS).items()
    first = {name: tensor for name, tensor in tensors if not re.search(r"layers\.[1-9]", name)}
    write_safetensors(folder / "model.safetensors", first)
    return folder


@pytest.fixture
def evaluating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of data sets of its own."""
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in the MVTec layout: `bottle` with masks, `metal_nut` without; 5 to test in each."""
    make_category(tmp_path / "products/bottle")
    make_category(tmp_path / "products/metal_nut", masks=False)
    return tmp_path / "products"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> list[Brightness]:
    """Puts Brightness in the place of every method; the list fills with the detectors made."""
    return put_in_place(monkeypatch)
