"""Numbers that change without a new `CACHE_VERSION` would be mixed with cached ones."""

import numpy as np

from tests.kept_outputs import STORED, outputs

REMEDY = "raise CACHE_VERSION in vlmad_jax/runtime/cache.py, then run python -m tests.kept_outputs"


def test_stored_outputs_equal_computed_ones() -> None:
    with np.load(STORED) as arrays:
        stored = dict(arrays)
    fresh = outputs()
    assert fresh.keys() == stored.keys(), REMEDY
    for name, array in stored.items():
        assert (fresh[name].shape, fresh[name].dtype) == (array.shape, array.dtype), f"{name}: {REMEDY}"
        if array.dtype == np.uint8:  # rendered with floats, which other machines may round differently
            apart = np.abs(fresh[name].astype(int) - array)
            assert apart.max() <= 1, f"{name}: {REMEDY}"
            assert (apart > 0).mean() < 0.01, f"{name}: {REMEDY}"
        else:
            close = np.allclose(fresh[name], array, rtol=1e-4, atol=1e-4 * np.abs(array).max())
            assert close, f"{name}: {REMEDY}"


def test_only_the_current_version_is_stored() -> None:
    assert [path.name for path in STORED.parent.iterdir()] == [STORED.name], REMEDY
