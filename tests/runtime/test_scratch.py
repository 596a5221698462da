"""Large arrays are files that vanish, and no room for them is one clear line."""

from pathlib import Path

import numpy as np
import pytest

from vlmad_jax import InputError
from vlmad_jax.runtime import scratch


def test_small_in_memory_and_large_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(scratch, "IN_MEMORY", 400)
    small, large = scratch.scratch_array((10, 10)), scratch.scratch_array((10, 11))
    assert (type(small), type(large)) == (np.ndarray, np.memmap)
    large[:] = np.arange(110).reshape(10, 11)
    assert (large.dtype, large.sum()) == (np.float32, 109 * 110 / 2)
    assert not list((tmp_path / "kept").iterdir())  # it has no name, and ends with the process at the latest


def test_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"GB left, and 40000000\.0 GB are needed; set VLMAD_JAX_CACHE"):
        scratch.scratch_array((10**8, 10**8))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VLMAD_JAX_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"cannot hold 40000000\.0 GB"):
        scratch.scratch_array((10**8, 10**8))
