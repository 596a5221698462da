"""Mutual scoring against loops over images, whatever the blocks, and its memory."""

import jax
import numpy as np
import pytest

from tests.golden import difference
from vlmad_jax.scoring import mutual
from vlmad_jax.scoring.mutual import LARGEST_BLOCK, PAIRS, mutual_distances, mutual_scores, nearest_of_pairs

RNG = np.random.default_rng(0)
COUNT, LENGTH, WIDTH = 13, 6, 4


def unit(*shape: int) -> np.ndarray:
    x = RNG.standard_normal(shape, np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def by_loops(patches: np.ndarray, first: int, last: int) -> np.ndarray:
    """The mean of the distances from image number `first` to `last` - 1 of the others, sorted."""
    patches, scores = patches.astype(np.float64), []
    for n, image in enumerate(patches):
        others = [other for m, other in enumerate(patches) if m != n]
        far = [np.linalg.norm(image[:, None] - other, axis=-1).min(axis=1) for other in others]
        scores.append(np.sort(far, axis=0)[first:last].mean(axis=0))
    return np.stack(scores)


@pytest.mark.parametrize(
    ("interval", "bounds"), [((0.0, 0.3), (0, 3)), ((0.3, 0.95), (3, 11)), ((0.0, 1.0), (0, 12))]
)
def test_it_equals_loops(interval: tuple[float, float], bounds: tuple[int, int]) -> None:
    patches = unit(COUNT, LENGTH, WIDTH)
    assert difference(mutual_scores(patches, interval), by_loops(patches, *bounds)) <= 2e-6


@pytest.mark.parametrize("images", [1, 5, 13])
def test_blocks_change_nothing(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = unit(COUNT, LENGTH, WIDTH)
    whole, seen = mutual_scores(patches, (0.0, 0.3)), []

    def embed(block: jax.Array) -> jax.Array:
        seen.append(block.shape)
        return block

    monkeypatch.setattr(mutual, "LARGEST_BLOCK", images * LENGTH * WIDTH)
    assert difference(mutual_scores(patches, (0.0, 0.3), embed), whole) <= 1e-6
    assert set(seen) == {(images, LENGTH, WIDTH)}


def test_equal_images_have_distance_zero() -> None:
    """Products alone would give 3e-4 or so."""
    patches = np.concatenate([unit(1, LENGTH, 64)] * 5 + [unit(1, LENGTH, 64)])
    scores = mutual_scores(patches, (0.0, 0.3))
    assert not scores[:5].any()
    assert (scores[5] > 0.5).all()


def test_the_largest_array_is_that_of_one_pair() -> None:
    """At 518 pixels of a ViT-L/14: nothing grows with the number of images in a block."""
    length, width = 1369, 1024
    block = jax.ShapeDtypeStruct((LARGEST_BLOCK // (length * width), length, width), np.float32)
    pairs = jax.ShapeDtypeStruct((PAIRS, 2), np.int32)
    compiled = nearest_of_pairs.lower(block, block, pairs).compile().memory_analysis()
    assert block.size <= LARGEST_BLOCK
    # Of one pair: both images, what is nearest, and their cosines with the places of the largest.
    assert compiled.temp_size_in_bytes <= 4 * (8 * length * width + 6 * length**2) < 2**27
    assert compiled.output_size_in_bytes < 2**20


@pytest.mark.parametrize(("share", "nearest"), [(0.07, 5), (0.01, 1), (0.5, 36)])
@pytest.mark.parametrize("rows", [4, 1000])
def test_distances_from_all_others_equal_loops(
    share: float, nearest: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutual, "LARGEST_BUFFER", rows * COUNT * LENGTH)
    patches = 3 * unit(COUNT, LENGTH, WIDTH)
    found = mutual_distances(patches, share)
    for n, image in enumerate(patches.astype(np.float64) / 3):
        others = np.concatenate([other for m, other in enumerate(patches / 3) if m != n])
        ordered = np.sort(1 - image @ others.T, axis=1)
        assert difference(found[n], ordered[:, : max(1, nearest - 1)].mean(axis=1)) <= 1e-6


def test_equal_distances_are_their_own_mean() -> None:
    """Where the authors' code divides by zero."""
    patches = np.repeat(unit(1, 1, WIDTH), 5, axis=0)
    assert (
        difference(mutual_distances(np.concatenate([patches, -patches[:1]]), 0.6)[:5], np.zeros((5, 1)))
        <= 1e-6
    )
