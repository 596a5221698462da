"""The greedy coreset against the plain loop in float64."""

from collections.abc import Iterator

import numpy as np
import pytest

from vlmad_jax import InputError
from vlmad_jax.scoring import coreset
from vlmad_jax.scoring.coreset import greedy_coreset


@pytest.fixture
def fresh() -> Iterator[None]:
    """Clear the caches of programs that were compiled with other constants."""
    coreset._greedy_coreset.clear_cache()
    yield
    coreset._greedy_coreset.clear_cache()


def plain(features: np.ndarray, count: int) -> list[int]:
    """Select one feature at a time, the first of equally far ones and none twice."""
    features = features.astype(np.float64)
    distances = ((features - features.mean(axis=0)) ** 2).sum(axis=1)
    chosen = [int(np.argmax(distances))]
    distances[:] = np.inf
    while len(chosen) < count:
        new = ((features - features[chosen[-1]]) ** 2).sum(axis=1)
        distances = np.minimum(distances, new)
        distances[chosen] = -1
        chosen.append(int(np.argmax(distances)))
    return chosen


def clustered(images: int, width: int = 24) -> np.ndarray:
    """40 patches of each image: a part that all share, a part of the image, and noise, far from zero."""
    rng = np.random.default_rng(4)
    shared = rng.normal(size=(1, 40, width))
    own = rng.normal(size=(images, 40, 4)) @ rng.normal(size=(images, 4, width)) / 2
    noise = 0.1 * rng.normal(size=(images, 40, width))
    return (shared + own + noise + 5).reshape(-1, width).astype(np.float32)


def test_the_selection_of_the_plain_algorithm():
    """Several groups of the full size, and rows that do not fill a chunk."""
    features = clustered(75)
    assert greedy_coreset(features, 600).tolist() == plain(features, 600)


@pytest.mark.parametrize(
    ("candidates", "together", "rows"), [(1, 1, 7), (16, 300, 1000), (300, 4, 33), (3000, 256, 512)]
)
def test_groups_and_chunks_change_nothing(candidates, together, rows, fresh, monkeypatch):
    features = clustered(10)
    monkeypatch.setattr(coreset, "CANDIDATES", candidates)
    monkeypatch.setattr(coreset, "GROUP_SIZE", together)
    monkeypatch.setattr(coreset, "CHUNK_ROWS", rows)
    assert greedy_coreset(features, 150).tolist() == plain(features, 150)


@pytest.mark.parametrize("candidates", [5, 1024])
def test_of_equally_far_the_first(candidates, fresh, monkeypatch):
    """Points of a grid about zero, where all distances are whole numbers and most are equal."""
    monkeypatch.setattr(coreset, "CANDIDATES", candidates)
    points = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3), axis=-1).reshape(-1, 3).astype(np.float32)
    points = np.random.default_rng(5).permutation(points)
    assert greedy_coreset(points, 343).tolist() == plain(points, 343)


def test_equal_features_are_selected_last_and_once():
    """Of ten features that occur eight times, the ten are selected first, then the others in order."""
    features = np.tile(np.random.default_rng(6).normal(size=(10, 300)) + 3, (8, 1)).astype(np.float32)
    chosen = greedy_coreset(features, 80).tolist()
    assert {k % 10 for k in chosen[:10]} == set(range(10))
    assert chosen[10:] == sorted(set(range(80)) - set(chosen[:10]))


def test_a_shorter_one_is_the_beginning():
    features = clustered(10)
    assert greedy_coreset(features, 20).tolist() == greedy_coreset(features, 150).tolist()[:20]


def test_few_features():
    assert greedy_coreset(np.ones((1, 3), np.float32), 1).tolist() == [0]
    assert greedy_coreset(np.array([[0.0], [1.0]], np.float32), 2).tolist() == [0, 1]


def test_nan_features_do_not_hang():
    assert greedy_coreset(np.full((4, 2), np.nan, np.float32), 3).shape == (3,)


@pytest.mark.parametrize("count", [0, 5])
def test_a_count_that_does_not_fit_is_refused(count):
    with pytest.raises(InputError, match=f"cannot select {count} of 4 features; give 1 to 4"):
        greedy_coreset(np.ones((4, 2), np.float32), count)
