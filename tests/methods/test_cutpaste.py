"""CutPaste: the training of its heads, and the Gaussians of their features."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import oas

from tests.golden import difference, golden_clip, shallow_clip
from vlmad_jax import InputError
from vlmad_jax.methods.cutpaste import CutPaste, Head, head_features, train_head
from vlmad_jax.scoring.gaussian import gaussian, mahalanobis
from vlmad_jax.scoring.maps import blur, upsample
from vlmad_jax.synthetic import make_product, render_good, render_pair

PRODUCT = make_product("gear", 0)


@functools.cache
def detector() -> CutPaste:
    return CutPaste(shallow_clip("winclip", 2), 64, (1, 2), pasted=12, width=16, steps=100)


@functools.cache
def good() -> np.ndarray:
    return np.stack([render_good(PRODUCT, seed, 64) for seed in range(3)])


@functools.cache
def state() -> Any:
    return detector().prepare("gear", good())


@pytest.mark.parametrize("count", [1, 5, 400])
def test_the_density_is_that_of_a_gaussian(count: int) -> None:
    """Against float64 NumPy. Few rows are shrunk to a sphere, and many hardly at all."""
    rng = np.random.default_rng(count)
    rows = rng.normal(2, 1, (count, 12)) @ rng.normal(0, 1, (12, 12))
    centre, whitening = gaussian(rows.astype(np.float32), 0.01)
    others = rng.normal(0, 3, (7, 12))
    covariance = np.cov(rows, rowvar=False, ddof=0) if count > 1 else np.zeros((12, 12))
    trace, square = np.trace(covariance), np.sum(covariance * covariance)
    share = (10 / 12 * square + trace**2) / ((count + 10 / 12) * (square - trace**2 / 12)) if trace else 1.0
    assert {1: share == 1, 5: 0.5 < share < 0.7, 400: share < 0.05}[count]
    shrunk = (1 - share) * covariance + share * trace / 12 * np.eye(12) + 0.01 * np.eye(12)
    expected = cdist(others, rows.mean(axis=0)[None], "mahalanobis", VI=np.linalg.inv(shrunk))[:, 0]
    found = mahalanobis(others.astype(np.float32), centre, whitening)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    if count == 400:  # scikit-learn leaves out the terms of 2 / D
        np.testing.assert_allclose(shrunk, oas(rows)[0] + 0.01 * np.eye(12), rtol=2e-2, atol=1e-2 * trace)


def test_a_head_learns_balanced_classes() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 30, 3])
    features = (rng.normal(0, 1, (333, 5)) + 3 * np.eye(5)[labels]).astype(np.float32)
    params, losses = train_head(Head(8, 3), features, labels, 150, 0.01, seed=0)
    assert losses.shape == (150,)
    assert 0.8 < losses[0] < 2.5  # about log 3
    assert losses[-10:].mean() < 0.3
    found = jax.jit(Head(8, 3).apply)(params, features)
    np.testing.assert_allclose(found.features, head_features(Head(8, 3), params, features), rtol=1e-5)
    predicted = np.asarray(found.logits).argmax(axis=1)
    assert all((predicted == labels)[labels == k].mean() > 0.85 for k in range(3))


def test_training_examples_of_the_heads() -> None:
    pasted, masks, kinds = detector().pasted_images(good())
    assert kinds.tolist() == [0] * 3 + [1] * 12 + [2] * 12
    np.testing.assert_array_equal(pasted[:3], good())
    assert (masks.any(axis=(1, 2)) == (kinds > 0)).all()
    share = masks.mean(axis=(1, 2))
    assert share[kinds == 1].mean() > 5 * share[kinds == 2].mean()
    labels = detector().patch_labels(masks, kinds)
    for number, row, column in ((4, 1, 5), (20, 3, 3), (3, 0, 0)):  # the grid is 8 x 8
        for n in (number, *range(len(kinds))):
            changed = masks[n, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].sum()
            expected = kinds[n] if changed > 6 else -1 if changed else 0  # 10% of 64 pixels
            assert labels[n, 8 * row + column] == expected
    images, patches = detector().examples(good())
    assert images.features.shape == (27, detector().backbone.embed_dim)
    assert len(patches.labels) == len(patches.features) == (labels >= 0).sum()
    assert patches.normal.sum() == 3 * 64
    assert not patches.labels[patches.normal].any()
    for kind in range(3):
        assert (patches.labels == kind).sum() == (labels == kind).sum() > 0


def test_scores_are_distances_of_the_heads_features() -> None:
    scores = detector().score(state(), good())
    features = jax.device_get(detector()._extract(good()))
    expected = {}
    for name, rows in (("image", features.image), ("patches", features.patches.reshape(3 * 64, -1))):
        part = getattr(state(), name)
        x = (rows.astype(np.float64) - part.mean) / part.scale
        layers = part.head["params"]
        x = np.maximum(x @ layers["first"]["kernel"] + layers["first"]["bias"], 0)
        x = x @ layers["second"]["kernel"] + layers["second"]["bias"]
        precision = part.whitening.astype(np.float64) @ part.whitening.T
        apart = x - part.centre
        expected[name] = np.sqrt(np.einsum("nd,de,ne->n", apart, precision, apart))
    # Features of the image and of patches differ by 1e-5 between programs, and are divided by small scales.
    np.testing.assert_allclose(scores.image, expected["image"], rtol=1e-3)
    maps = blur(upsample(expected["patches"].reshape(3, 8, 8).astype(np.float32), (64, 64)), 4 * 64 / 224)
    np.testing.assert_allclose(scores.map, maps, rtol=1e-3)


def test_defects_stand_out() -> None:
    found = [render_pair(PRODUCT, "crack", seed, 64) for seed in range(20, 26)]
    bad, masks = np.stack([x[1] for x in found]), np.stack([x[2] for x in found])
    maps = np.asarray(detector().score(state(), bad).map)
    inside = [m[mask > 0].mean() - m[mask == 0].mean() for m, mask in zip(maps, masks, strict=True)]
    assert np.mean(inside) > 0
    pasted, masks, kinds = detector().pasted_images(good())
    scores = detector().score(state(), pasted)
    maps, patched = np.asarray(scores.map), kinds == 1
    assert maps[patched][masks[patched] > 0].mean() > 1.1 * maps[masks == 0].mean()
    assert scores.image[patched].mean() > 1.1 * scores.image[kinds == 0].mean()


def test_the_same_seed_gives_the_same_scores() -> None:
    again = detector().prepare("anything", good())
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(state()), strict=True):
        np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(detector(), seed=1)
    shapes = jax.tree.map(np.shape, other.prepare("gear", good()[:1]))
    assert shapes == jax.tree.map(np.shape, state())  # of any number of images
    assert (
        difference(
            other.score(other.prepare("gear", good()), good()).image, detector().score(state(), good()).image
        )
        > 0.01
    )


def test_bad_input() -> None:
    with pytest.raises(InputError, match="cutpaste needs reference images"):
        detector().prepare("gear")
    with pytest.raises(InputError, match="references are uint8"):
        detector().prepare("gear", good()[:, :32])
    for name, value, message in (
        ("pasted", 0, "pasted 0 does not fit"),
        ("epsilon", 0.0, "epsilon 0.0 is not above 0"),
        ("feature_layers", (99,), "feature layer 99 does not fit"),
    ):
        with pytest.raises(InputError, match=message):
            dataclasses.replace(detector(), **{name: value})


def test_setting() -> None:
    assert CutPaste.for_backbone(golden_clip("winclip")).setting == {
        "image_size": 64,
        "feature_layers": list(CutPaste.for_backbone(golden_clip("winclip")).feature_layers),
        "pasted": 96,
        "width": 128,
        "steps": 400,
        "epsilon": 1e-3,
        "seed": 0,
    }
