"""Principal subspaces against a singular value decomposition in float64."""

import numpy as np
import pytest

from vlmad_jax import InputError
from vlmad_jax.scoring import principal_components
from vlmad_jax.scoring.principal_components import principal_subspace, residuals


def made_rows(count: int, width: int) -> np.ndarray:
    """Rows far from zero whose channels differ in their variance."""
    rng = np.random.default_rng(count)
    return (rng.normal(size=(count, width)) * np.linspace(0.1, 3, width) + 5).astype(np.float32)


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("exact", [2**25, 0])
@pytest.mark.parametrize("shape", [(300, 20), (12, 40)])
def test_the_fewest_components(
    shape: tuple[int, int], exact: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With fewer rows than channels too, several chunks, and products in float64 and in float32."""
    monkeypatch.setattr(principal_components, "CHUNK_ROWS", 7)
    monkeypatch.setattr(principal_components, "LARGEST_EXACT", exact)
    rows = made_rows(*shape)
    mean = rows.astype(np.float64).mean(axis=0)
    _, lengths, directions = np.linalg.svd(rows - mean, full_matrices=False)
    shares = np.cumsum(lengths**2) / (lengths**2).sum()
    count = next(n for n in range(1, len(shares) + 1) if shares[n - 1] >= share)

    found = principal_subspace(rows, share)
    assert found.components.shape == (shape[1], min(shape))
    assert np.asarray(found.components).any(axis=0).tolist() == [n < count for n in range(min(shape))]
    np.testing.assert_allclose(found.mean, mean, atol=1e-6)
    projector = directions[:count].T @ directions[:count]
    np.testing.assert_allclose(found.components @ found.components.T, projector, atol=2e-6)

    new = made_rows(5, shape[1]) + 1
    outside = (new - mean) @ (np.eye(shape[1]) - projector)
    np.testing.assert_allclose(residuals(new, found), (outside**2).sum(axis=1), rtol=2e-5)


def test_all_of_the_variance() -> None:
    rows = made_rows(6, 9)
    found = principal_subspace(rows, 1.0)
    assert np.asarray(residuals(rows, found)).max() <= 1e-9 * (rows**2).sum()


@pytest.mark.parametrize("share", [0, -1, 1.01])
def test_shares_that_there_are_not(share: float) -> None:
    with pytest.raises(InputError, match=r"is not above 0 and at most 1; give for example 0\.99"):
        principal_subspace(made_rows(3, 3), share)


def test_memory_beside_the_rows_is_bounded() -> None:
    """The peak of what NumPy allocates: a chunk, and matrices of the width."""
    import tracemalloc

    rows, width = made_rows(60_000, 64), 64
    tracemalloc.start()
    principal_subspace(rows, 0.99)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * (3 * principal_components.CHUNK_ROWS * width + 8 * width**2) < rows.nbytes / 3
