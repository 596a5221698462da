"""Windows and their aggregation against loops over rows, columns and windows."""

import jax.numpy as jnp
import numpy as np
import pytest

from vlmad_jax import InputError
from vlmad_jax.scoring import windows
from vlmad_jax.scoring.windows import harmonic_aggregation, harmonic_mean, map_windows, sliding_windows


def windows_by_loops(rows: int, columns: int, size: int, stride: int = 1) -> list[list[int]]:
    return [
        [(row + down) * columns + column + right for down in range(size) for right in range(size)]
        for row in range(rows - size + 1)
        if row % stride == 0 or row == rows - size
        for column in range(columns - size + 1)
        if column % stride == 0 or column == columns - size
    ]


@pytest.mark.parametrize(("grid", "size"), [((4, 4), 1), ((4, 4), 4), ((3, 5), 2), ((7, 6), 3)])
def test_sliding_windows(grid, size):
    assert sliding_windows(grid, size).tolist() == windows_by_loops(*grid, size)


@pytest.mark.parametrize(
    ("grid", "size", "stride"), [((5, 6), 2, 2), ((7, 8), 3, 2), ((7, 8), 3, 3), ((3, 3), 3, 3)]
)
def test_windows_with_a_stride_cover_every_patch(grid, size, stride):
    windows = sliding_windows(grid, size, stride)
    assert windows.tolist() == windows_by_loops(*grid, size, stride)
    assert set(windows.flat) == set(range(grid[0] * grid[1]))


def test_number_of_windows_with_a_stride():
    assert [len(sliding_windows((15, 15), size, 2)) for size in (2, 3)] == [8**2, 7**2]


@pytest.mark.parametrize("stride", [0, 3])
def test_a_stride_that_leaves_patches_uncovered(stride):
    with pytest.raises(InputError) as caught:
        sliding_windows((5, 5), 2, stride)
    assert str(caught.value) == (
        f"window stride {stride} does not cover every patch with windows of 2 x 2; "
        "give 1 to the smallest window size"
    )


def test_published_number_of_windows():
    assert sliding_windows((15, 15), 2).shape == (196, 4)
    assert sliding_windows((15, 15), 3).shape == (169, 9)


@pytest.mark.parametrize("size", [0, -1, 4, 16])
def test_a_window_that_does_not_fit(size):
    with pytest.raises(InputError) as caught:
        sliding_windows((3, 5), size)
    assert str(caught.value) == (
        f"window size {size} does not fit a grid of 3 x 5 patches; give sizes from 1 to 3, or larger images"
    )


def weighted_sum(tokens):
    """Return embeddings that depend on class token, patches and order: (B, 1 + n, D) -> (B, D)."""
    return jnp.einsum("btd,t->bd", tokens, 1.0 + jnp.arange(tokens.shape[1], dtype=jnp.float32))


@pytest.mark.parametrize("chunk_tokens", [1, 20, 24, 8192])
def test_every_window_is_encoded_with_the_class_token(monkeypatch, chunk_tokens):
    """In chunks of one window, of 2 and of 3 of the 9, with an uneven last chunk, and all at once."""
    monkeypatch.setattr(windows, "chunk_tokens", lambda: chunk_tokens)
    tokens = np.random.default_rng(0).integers(-9, 9, (2, 17, 3)).astype(np.float32)
    patches = sliding_windows((4, 4), 2)
    expected = np.zeros((2, 9, 3), np.float32)
    for image in range(2):
        for number, window in enumerate(patches):
            for place, token in enumerate([0, *(window + 1)]):
                expected[image, number] += (place + 1) * tokens[image, token]
    encoded = map_windows(weighted_sum, jnp.asarray(tokens), patches)
    np.testing.assert_array_equal(encoded, expected)  # whole numbers: exact in any order


@pytest.mark.parametrize(("chunk_tokens", "together"), [(1, 1), (20, 2), (30, 3), (44, 3), (90, 9), (89, 5)])
def test_the_number_of_windows_in_a_chunk(monkeypatch, chunk_tokens, together):
    """At most `chunk_tokens` tokens, B (1 + n) a window, in chunks of equal size."""
    monkeypatch.setattr(windows, "chunk_tokens", lambda: chunk_tokens)
    seen = []
    monkeypatch.setattr(
        windows.jax.lax, "map", lambda f, xs, batch_size: seen.append(batch_size) or xs[:, None]
    )
    map_windows(weighted_sum, jnp.zeros((2, 17, 3)), sliding_windows((4, 4), 2))
    assert seen == [together]


@pytest.mark.parametrize(("grid", "size"), [((4, 4), 2), ((3, 5), 3), ((2, 2), 1)])
def test_harmonic_aggregation(grid, size):
    patches = sliding_windows(grid, size)
    scores = jnp.asarray(np.random.default_rng(1).uniform(0.01, 1, (2, len(patches))), jnp.float32)
    expected = np.zeros((2, *grid))
    for image in range(2):
        for patch in range(grid[0] * grid[1]):
            covering = [scores[image, n] for n, window in enumerate(patches) if patch in window]
            inverses = [1 / float(score) for score in covering]
            expected[image, patch // grid[1], patch % grid[1]] = len(covering) / sum(inverses)
    # float32 sums of up to 9 inverses.
    np.testing.assert_allclose(harmonic_aggregation(scores, patches, grid), expected, rtol=5e-7)


def test_a_window_of_score_zero_gives_its_patches_zero():
    patches = sliding_windows((3, 3), 2)
    scores = jnp.array([[0, 0.5, 0.5, 0.5]])
    patch_map = harmonic_aggregation(scores, patches, (3, 3))
    np.testing.assert_allclose(patch_map, [[[0, 0, 0.5], [0, 0, 0.5], [0.5, 0.5, 0.5]]], rtol=1e-7)


def test_harmonic_mean():
    maps = jnp.array([[0.5, 1, 0], [0.25, 1, 0.5], [1, 1, 1]])
    np.testing.assert_allclose(harmonic_mean(maps), [3 / 7, 1, 0], rtol=1e-7)
